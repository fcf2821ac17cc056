#!/usr/bin/env bash
# Installs exactly the packages of constraints.txt in ~/.ganinv, and makes every shell use them. Does
# nothing if they are installed already. The cluster files' setup runs this script from a checkout.
#
#   setup_node.sh [PYTHON]
#
# PYTHON is a version, which uv downloads from GitHub, or the path of an interpreter on the node. Ray
# refuses a node whose Python differs from the head's, even in the last number.
set -euo pipefail
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${1:-3.11.14}
venv=$HOME/.ganinv
uv_version=0.13.8

fail() {
    echo "setup_node.sh: $1" >&2
    exit 1
}

# What decides the packages. It is written down after they are installed.
wanted=$(echo "$python" && cat "${BASH_SOURCE[0]}" "$checkout"/{constraints.txt,pyproject.toml})
if [ "$wanted" != "$(cat "$venv/installed" 2>/dev/null)" ]; then
    # uv installs its own Python, so the node's Python may have any version. pip only installs uv.
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --upgrade --target "$HOME/.uv" "uv==$uv_version" ||
        fail "pip could not install uv; install python3 with pip, and check the package index"
    uv=$HOME/.uv/bin/uv
    # A run may use the environment, so it is replaced only if it has another Python.
    if [ "$python" != "$(head -n 1 "$venv/installed" 2>/dev/null)" ]; then
        "$uv" venv --quiet --clear --python "$python" "$venv" || fail "there is no Python $python; \
without access to GitHub, give the path of an interpreter, of the same version on all nodes"
    fi
    # The project's dependencies without the project: jobs ship their own copy of the project.
    "$uv" pip install --quiet --exact --python "$venv/bin/python" \
        --constraint "$checkout/constraints.txt" --requirements "$checkout/pyproject.toml" \
        --extra train --extra metrics --extra aws ||
        fail "the packages could not be installed; correct what uv names above, and try again"
    echo "$wanted" >"$venv/installed"
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
