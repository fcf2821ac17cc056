#!/usr/bin/env bash
# Downloads what a host without packages installs, because hosts reach no package index. The nodes' own
# script does it, in a home that is thrown away: uv keeps everything in its cache.
#   download.sh FOLDER PYTHON
set -euo pipefail
folder=$1 python=$2
script=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/cluster/deploy/setup_node.sh
mkdir -p "$folder"

# uv does not read pip's settings.
setting() { "$python" -m pip config list | sed -n "s/^[^=]*\.$1='\(.*\)'$/\1/p" | tail -n 1; }
links=${UV_FIND_LINKS-$(setting find-links)}
index=${UV_DEFAULT_INDEX-$(setting index-url)}
[ -z "$index" ] || export UV_DEFAULT_INDEX=$index
[ -z "$links" ] || export UV_FIND_LINKS=$links
{
    printf 'offline = true\ncache-dir = "/mnt/cache"\nlink-mode = "copy"\n'
    [ -z "$links" ] || printf 'find-links = ["%s"]\n' "${links// /\", \"}"
    [ -z "$index" ] || printf '[[index]]\nurl = "%s"\ndefault = true\n' "$index"
} >"$folder/uv.toml"
printf '[global]\nno-index = true\nfind-links = /mnt/uv\n' >"$folder/pip.conf"

"$python" -m pip download --quiet --quiet --no-deps --dest "$folder/uv" \
    "uv==$(sed -n 's/^uv_version=//p' "$script")"
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
export XDG_CONFIG_HOME=${XDG_CONFIG_HOME:-$HOME/.config} UV_CACHE_DIR=$folder/cache
HOME=$home bash "$script" "$python"
