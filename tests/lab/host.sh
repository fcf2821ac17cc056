#!/usr/bin/env bash
# Process 1 of a host with its own name, processes, home, /tmp, /etc and SSH server. The host's "disk"
# is $state, which survives a crash. All hosts share the Python installation, read-only. The checkout
# is not visible. $venv: the shared environment of a host that comes with packages. $packages: the
# folder of download.sh, for a host without them. One of the two is empty.
set -euo pipefail
name=$1 state=$2 python=$3 venv=$4 checkout=$5 packages=$6
PATH=$PATH:/usr/sbin:/sbin
mount --make-rprivate /
hostname "$name"

mkdir -p "$state"/{home,tmp,python,venv}
mount --bind "$python" "$state/python"
[ -z "$venv" ] || mount --bind "$venv" "$state/venv"
[ -z "$packages" ] || mount --bind "$packages" /mnt
for folder in etc var; do
    mkdir -p "$state/$folder"/{upper,work}
    mount -t overlay -o "lowerdir=/$folder,upperdir=$state/$folder/upper,workdir=$state/$folder/work" \
        overlay "/$folder"
done
mount -t tmpfs tmpfs "$checkout"
rm -rf "${state:?}"/tmp/*
mount --bind "$state/tmp" /tmp
mount --bind "$state/home" /root
for shared in "python=$python" ${venv:+"venv=$venv"}; do
    mkdir -p "${shared#*=}"
    mount --bind "$state/${shared%%=*}" "${shared#*=}"
    mount -o remount,bind,ro "${shared#*=}"
done
cp "$state/hosts" /etc/hosts
: >/etc/resolv.conf
mount -t tmpfs -o size=1g tmpfs /dev/shm
mount -t proc proc /proc
cp "$state/host_key" "$state/sshd_config" /etc/ssh/
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd
/usr/sbin/sshd -D -e -f /etc/ssh/sshd_config &
wait $! # a waiting shell also reaps orphans, as process 1 must
