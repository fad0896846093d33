#!/usr/bin/env bash
# Runs the tests on real nodes: installs and builds what they need, then runs them in namespaces of their own, so that
# nothing of them outlives this script. Arguments go to vitest. Ends with 77 where a machine cannot run them.
set -euo pipefail
cd "$(dirname "$0")/../../.."

skip() {
  echo "test:kubernetes: skipped: $*" >&2
  exit 77
}

[ "$(id -u)" -eq 0 ] || skip 'nodes need root'
[ -w /sys/fs/cgroup/memory ] || skip 'nodes are tried with the hierarchies of cgroup v1 only'
bash test/support/debian-packages.sh 'docker-registry docker-registry' 'htpasswd apache2-utils' 'runc runc' 'skopeo skopeo' \
  'openssl openssl' 'iptables iptables' 'ip iproute2' 'unshare util-linux' 'busybox busybox-static'
built=0
bin=$(timeout 60m test/kubernetes/tools.sh \
  etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl helm coredns \
  containerd containerd-shim-runc-v2 ctr bridge loopback host-local portmap) \
  || built=$?
[ "$built" -ne 77 ] || skip 'the programs of Kubernetes are not there and cannot be built here'
[ "$built" -eq 0 ] || exit "$built"

work=$(mktemp -d "${TMPDIR:-/tmp}/shoal-nodes-XXXXXX")
cgroup=${work##*/}
child=

# Process 1 of the tests' pid namespace takes all others with it, and with them the namespaces and what is mounted there.
clean_up() {
  if [ -n "$child" ]; then kill -KILL "$child" 2>/dev/null || true; fi
  wait
  for _ in $(seq 50); do
    find /sys/fs/cgroup/*/"$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || true
    compgen -G "/sys/fs/cgroup/*/$cgroup" >/dev/null || break
    sleep 0.1
  done
  for log in "$work"/*.log; do
    if [ -e "$log" ]; then mv "$log" "${work%/*}" && echo "kept: ${work%/*}/${log##*/}" >&2; fi
  done
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

node_modules/.bin/node deploy/image/image.ts --output "$work/image"

export PATH="$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin"
export TMPDIR="$work" SHOAL_NODES_BIN="$bin" SHOAL_NODES_CGROUP="$cgroup" SHOAL_NODES_IMAGE="$work/image"
# Not `exec`: the shell is process 1 and buries whom daemons leave behind.
unshare --net --mount --uts --ipc --pid --fork --kill-child --mount-proc --propagation private \
  bash -c '# Each test finds the cluster as the one before has left it.
    vitest run --project kubernetes-nodes --bail=1 "$@"
    exit $?' bash "$@" &
child=$!
code=0
wait "$child" || code=$?
child=
exit "$code"
