#!/usr/bin/env bash
# `ganinv monitor` on the head, from the start of Ray's control store to its end: `ray down` and a
# crash end both. A file of its own, for `ray stop` kills whoever has `gcs_server` in its command line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
store=$(pgrep --newest --euid "$(id -u)" --exact gcs_server)
python -m launch monitor monitor.host=127.0.0.1 monitor.port=9090 \
    monitor.ray=http://127.0.0.1:8265 &
tail --pid="$store" -f /dev/null
kill $!
wait
