#!/usr/bin/env bash
# Installs exactly the packages of constraints.txt in ~/.ganinv, and makes every shell use them. Does
# nothing if they are installed already. The cluster files' setup runs this script from a checkout.
set -euo pipefail
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv=$HOME/.ganinv
python_version=3.11.14
uv_version=0.13.8

if ! cmp -s "$checkout/constraints.txt" "$venv/constraints.txt"; then
    # uv installs its own Python, so the node's Python may have any version. pip only installs uv.
    python3 -m pip install --quiet --upgrade --target "$HOME/.uv" "uv==$uv_version"
    "$HOME/.uv/bin/uv" venv --quiet --clear --python "$python_version" "$venv"
    # The project's dependencies without the project: jobs ship their own copy of the project.
    "$HOME/.uv/bin/uv" pip install --quiet --python "$venv/bin/python" \
        --constraint "$checkout/constraints.txt" --requirements "$checkout/pyproject.toml" \
        --extra train --extra aws
    cp "$checkout/constraints.txt" "$venv/constraints.txt"
fi

[ ! -f "$HOME/.ray/auth_token" ] || chmod 600 "$HOME/.ray/auth_token"

# Ray's commands run in login shells that read ~/.bashrc, and Ray's processes inherit its variables.
# The line must be at the top, because most ~/.bashrc files return early in non-interactive shells.
if ! grep -qs 'ganinv/environment' "$HOME/.bashrc"; then
    {
        echo '. "$HOME/.ganinv/environment"  # packages and settings of the cluster'
        cat "$HOME/.bashrc" 2>/dev/null || true
    } >"$HOME/.bashrc.new"
    mv "$HOME/.bashrc.new" "$HOME/.bashrc"
fi
cat >"$venv/environment" <<'SETTINGS'
export PATH="$HOME/.ganinv/bin:$PATH"
export RAY_AUTH_MODE=token             # clients need the token in ~/.ray/auth_token
export RAY_USAGE_STATS_ENABLED=0       # send no usage data
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0
SETTINGS
