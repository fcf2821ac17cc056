#!/usr/bin/env bash
# Process 1 of the lab's namespaces (enter.sh): makes the bridge between hosts, runs the command.
set -euo pipefail
mount --make-rprivate /
mount -t tmpfs -o size=10g tmpfs /run # holds the state of the lab and disappears with it
mkdir -p /run/netns /run/lab
case $PWD in
/tmp/*) ;; # the checkout is in /tmp
*) mount -t tmpfs tmpfs /tmp ;; # Ray's launcher keeps sockets and configurations in /tmp
esac
ip link set lo up
ip link add lab0 type bridge
ip address add 10.77.0.1/24 dev lab0
ip link set lab0 up
GANINV_LAB=1 "$@" # without exec: this shell must reap orphans
