#!/usr/bin/env bash
# Runs `ganinv monitor` on the head as long as Ray's control store runs: `ray down` or a crash ends
# both. A separate file, because `ray stop` kills processes with `gcs_server` in their command line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
store=$(pgrep --newest --euid "$(id -u)" --exact gcs_server)
python -m launch monitor monitor.host=127.0.0.1 monitor.port=9090 \
    monitor.ray=http://127.0.0.1:8265 &
tail --pid="$store" -f /dev/null
kill $!
wait
