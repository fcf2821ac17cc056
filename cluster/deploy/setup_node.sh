#!/usr/bin/env bash
# Gives a node exactly the packages of constraints.txt, in ~/.ganinv, and makes every shell use them.
# Does nothing where they are installed already. Run from a checkout, by the cluster files' setup.
set -euo pipefail
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv=$HOME/.ganinv
python_version=3.11.14
uv_version=0.13.8

if ! cmp -s "$checkout/constraints.txt" "$venv/constraints.txt"; then
    # uv brings its own Python, so the node's may be of any version; it needs pip only to get uv.
    python3 -m pip install --quiet --upgrade --target "$HOME/.uv" "uv==$uv_version"
    "$HOME/.uv/bin/uv" venv --quiet --clear --python "$python_version" "$venv"
    # The project's dependencies, not the project: jobs bring their own copy of it.
    "$HOME/.uv/bin/uv" pip install --quiet --python "$venv/bin/python" \
        --constraint "$checkout/constraints.txt" --requirements "$checkout/pyproject.toml" \
        --extra train --extra aws
    cp "$checkout/constraints.txt" "$venv/constraints.txt"
fi

[ ! -f "$HOME/.ray/auth_token" ] || chmod 600 "$HOME/.ray/auth_token"

# Ray's commands come through login shells that read ~/.bashrc; its processes inherit what it sets.
# At the top, for most of them leave non-interactive shells at the first line.
if ! grep -qs 'ganinv/environment' "$HOME/.bashrc"; then
    {
        echo '. "$HOME/.ganinv/environment"  # packages and settings of the cluster'
        cat "$HOME/.bashrc" 2>/dev/null || true
    } >"$HOME/.bashrc.new"
    mv "$HOME/.bashrc.new" "$HOME/.bashrc"
fi
cat >"$venv/environment" <<'SETTINGS'
export PATH="$HOME/.ganinv/bin:$PATH"
export RAY_AUTH_MODE=token             # nobody is admitted without ~/.ray/auth_token
export RAY_USAGE_STATS_ENABLED=0       # nobody is told what is trained here
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0
SETTINGS
