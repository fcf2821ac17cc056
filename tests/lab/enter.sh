#!/usr/bin/env bash
# Runs a command in private namespaces (network, processes, mounts), in which it can build hosts. The
# kernel removes everything in them when the command ends, even by SIGKILL. Where namespaces are not
# available, GANINV_LAB_LACKS tells the command why, and the command skips what needs them.
# GANINV_LAB_DOWNLOAD: a folder for the packages of a host that has none, and GANINV_LAB_PYTHON, the
# interpreter for which they are.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=$PATH:/usr/sbin:/sbin

command=("$@")

skip() {
    echo "lab: skipped: $1"
    GANINV_LAB_LACKS=$1 exec "${command[@]}"
}

[ "$(id -u)" = 0 ] || skip "only root may make network namespaces"
for tool in ip ss sshd ssh ssh-keygen rsync curl pgrep unshare nsenter setpriv; do
    command -v "$tool" >/dev/null ||
        skip "no $tool (Debian: openssh-server openssh-client rsync iproute2 curl procps util-linux)"
done
unshare --net --mount --uts --ipc --pid --fork true 2>/dev/null ||
    skip "the kernel or the container does not allow namespaces"
unshare --net bash -c 'ip link add lab-a type veth peer name lab-b && ip link add lab-c type bridge' \
    2>/dev/null || skip "the kernel has no veth or no bridge"
unshare --mount bash -c 'mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w &&
    mount -t overlay -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w none /etc' 2>/dev/null ||
    skip "the kernel has no overlay file system"

command -v prometheus >/dev/null ||
    echo "lab: no prometheus (Debian package: prometheus): metrics and alerts are not checked"

if [ -n "${GANINV_LAB_DOWNLOAD-}" ]; then
    "$here/download.sh" "$GANINV_LAB_DOWNLOAD" "$GANINV_LAB_PYTHON"
    export GANINV_LAB_PACKAGES=$GANINV_LAB_DOWNLOAD
    unset GANINV_LAB_DOWNLOAD
fi

# Dies with the process that started it; everything inside dies, too.
exec setpriv --pdeathsig KILL \
    unshare --net --mount --pid --fork --kill-child=SIGKILL --mount-proc \
    bash "$here/world.sh" "${command[@]}"
