#!/usr/bin/env bash
# Process 1 of a node, in namespaces of its own: gives it a host name, a file system and cgroups, then waits to be killed.
# Usage: node-init.sh DIRECTORY NAME CGROUP   (the directory keeps what the node writes, and gets a file `booted`)
set -euo pipefail
directory=$1 name=$2 cgroup=$3

hostname "$name"

# The machine's files with the node's own over them; what containers write lies on the disk itself, for overlays do not nest.
for tree in etc var; do
  mkdir -p "$directory/$tree/upper" "$directory/$tree/work"
  mount -t overlay overlay -o "lowerdir=/$tree,upperdir=$directory/$tree/upper,workdir=$directory/$tree/work" "/$tree"
done
for state in containerd kubelet; do
  mkdir -p "$directory/$state" "/var/lib/$state"
  mount --bind "$directory/$state" "/var/lib/$state"
done
mount -t tmpfs tmpfs /run
mount --make-rshared /

# The kubelet sets these for the whole machine: it is shown that they are as it wants them.
mkdir -p "$directory/sysctl"
for wish in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1 vm/panic_on_oom=0 \
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file=$directory/sysctl/$(basename "${wish%=*}")
  echo "${wish#*=}" >"$file"
  mount --bind "$file" "/proc/sys/${wish%=*}"
done
echo 1 >/proc/sys/net/ipv4/ip_forward

for hierarchy in /sys/fs/cgroup/*/; do
  for group in "$hierarchy$cgroup" "$hierarchy$cgroup/$name"; do
    mkdir -p "$group"
    [ -e "$group/cpuset.cpus" ] || continue
    cat "${hierarchy}cpuset.cpus" >"$group/cpuset.cpus"
    cat "${hierarchy}cpuset.mems" >"$group/cpuset.mems"
  done
done

touch "$directory/booted"
exec sleep infinity
