#!/usr/bin/env bash
# Process 1 of the lab's world (enter.sh): a bridge that hosts are plugged into, then the command.
set -euo pipefail
mount --make-rprivate /
mount -t tmpfs -o size=10g tmpfs /run # the state of the lab, gone with it
mkdir -p /run/netns /run/lab
case $PWD in
/tmp/*) ;; # the checkout itself is there
*) mount -t tmpfs tmpfs /tmp ;; # Ray's launcher keeps sockets and configurations in it
esac
ip link set lo up
ip link add lab0 type bridge
ip address add 10.77.0.1/24 dev lab0
ip link set lab0 up
GANINV_LAB=1 "$@" # not exec: this shell goes on to bury orphans
