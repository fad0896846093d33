#!/usr/bin/env bash
# Builds from the Go module proxy what the Kubernetes tests run, into $SHOAL_TOOLS/bin, where it is missing or of another
# version. Prints that folder. Ends with 77 where nothing can be built: without go, or without the network. Usage: tools.sh NAME...   (see `versions` below for the names)
set -euo pipefail

kubernetes=1.35.4
declare -A versions=(
  # Debian's etcd 3.4 is too old for the apiserver: watches on quiet resources fail with 504.
  [etcd]=3.6.16
  [kube-apiserver]=$kubernetes
  [kube-controller-manager]=$kubernetes
  [kube-scheduler]=$kubernetes
  [kubelet]=$kubernetes
  [kubectl]=$kubernetes
  [kube-proxy]=$kubernetes
  [containerd]=2.2.9
  [containerd-shim-runc-v2]=2.2.9
  [ctr]=2.2.9
  [bridge]=1.9.1
  [loopback]=1.9.1
  [host-local]=1.9.1
  [portmap]=1.9.1
  [coredns]=1.13.1
  [helm]=3.22.0
  [kwok]=0.8.0
)

tools=${SHOAL_TOOLS:-/var/cache/shoal-tools}
bin=$tools/bin
export GOMODCACHE=$tools/go/mod GOCACHE=$tools/go/build GOTOOLCHAIN=local CGO_ENABLED=0 GOWORK=off
export GOFLAGS="${GOFLAGS:-} -trimpath -modcacherw -buildvcs=false"

# A module of its own that does nothing but require others, so that their `replace` directives can be repeated.
scratch_module() {
  local folder=$tools/go/scratch/$1 go_version=$2 lines=$3
  mkdir -p "$folder"
  printf 'module scratch\n\ngo %s\n\n%s\n' "$go_version" "$lines" >"$folder/go.mod"
  cd "$folder"
}

build_etcd() {
  scratch_module etcd 1.25.0 "require go.etcd.io/etcd/server/v3 v${versions[etcd]}"
  go build -mod=mod -ldflags '-s -w' -o "$1" go.etcd.io/etcd/server/v3
}

# k8s.io/kubernetes replaces its staging modules by folders, which `go install` refuses; each is published as v0.<minor>.<patch>.
build_kubernetes() {
  local name=$1 target=$2 source staging replaces flags='-s -w' package
  source=$(go mod download -json "k8s.io/kubernetes@v$kubernetes" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  staging=v0.${kubernetes#1.}
  replaces=$(sed -n 's|^\t\(k8s.io/[a-z-]*\) => ./staging/.*|replace \1 => \1 '"$staging"'|p' "$source/go.mod")
  scratch_module kubernetes "$(sed -n 's/^go //p' "$source/go.mod")" "require k8s.io/kubernetes v$kubernetes
$replaces"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=v$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<<"$kubernetes")"
  done
  go build -mod=mod -ldflags "$flags" -o "$target" "k8s.io/kubernetes/cmd/$name"
}

build_module() {
  local package=$1 version=$2 target=$3 into
  into=$(mktemp -d "$bin/.install.XXXXXX")
  GOBIN=$into go install -ldflags '-s -w' "$package@v$version"
  mv "$into"/* "$target"
  rmdir "$into"
}

build() {
  local name=$1 target=$2 version=${versions[$1]}
  case $name in
    etcd) build_etcd "$target" ;;
    kube*) build_kubernetes "$name" "$target" ;;
    containerd | containerd-shim-runc-v2 | ctr) build_module "github.com/containerd/containerd/v2/cmd/$name" "$version" "$target" ;;
    bridge | loopback) build_module "github.com/containernetworking/plugins/plugins/main/$name" "$version" "$target" ;;
    host-local) build_module "github.com/containernetworking/plugins/plugins/ipam/$name" "$version" "$target" ;;
    portmap) build_module "github.com/containernetworking/plugins/plugins/meta/$name" "$version" "$target" ;;
    coredns) build_module github.com/coredns/coredns "$version" "$target" ;;
    helm) build_module helm.sh/helm/v3/cmd/helm "$version" "$target" ;;
    kwok) build_module sigs.k8s.io/kwok/cmd/kwok "$version" "$target" ;;
  esac
}

# Two runs at once would both build; the second waits and finds it done.
ensure() {
  local name=$1 began=$SECONDS
  [ -n "${versions[$name]:-}" ] || { echo "tools.sh: $name is unknown: ${!versions[*]} are allowed" >&2; exit 2; }
  exec 9>"$bin/.$name.lock"
  flock 9
  if [ -x "$bin/$name" ] && [ "$(cat "$bin/.$name.version" 2>/dev/null)" = "${versions[$name]}" ]; then return; fi
  command -v go >/dev/null || { echo "tools.sh: $name ${versions[$name]} is not in $bin, and there is no go to build it with" >&2; exit 77; }
  go list -m golang.org/x/mod@latest >/dev/null 2>&1 || { echo "tools.sh: $name ${versions[$name]} is not in $bin, and no module proxy can be reached" >&2; exit 77; }
  echo "tools.sh: building $name ${versions[$name]}" >&2
  (build "$name" "$bin/.$name.new")
  mv "$bin/.$name.new" "$bin/$name"
  echo "${versions[$name]}" >"$bin/.$name.version"
  echo "tools.sh: $name took $((SECONDS - began)) s" >&2
}

mkdir -p "$bin"
for name in "$@"; do ensure "$name"; done
echo "$bin"
