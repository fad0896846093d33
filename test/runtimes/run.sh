#!/usr/bin/env bash
# Installs from Debian what the runtime tests need (real registries, real container runtimes, stock BitTorrent clients),
# then runs the vitest project that the first argument names. Further arguments go to vitest, e.g. a file's name.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "$(id -u)" -ne 0 ]; then
  echo "test:integration: containerd, podman's storage and port 443 need root; run it as root" >&2
  exit 77
fi

# program that proves the package is there, then the package
needs=(
  'docker-registry docker-registry'
  'htpasswd        apache2-utils'
  'containerd      containerd'
  'ctr             containerd'
  'runc            runc'
  'skopeo          skopeo'
  'podman          podman'
  'dockerd         docker.io'
  'docker          docker.io'
  'aria2c          aria2'
  'openssl         openssl'
  'python3         python3'
  'python3:libtorrent python3-libtorrent'
  'prometheus      prometheus'
  'buildah         buildah'
  'busybox         busybox-static'
)
bash test/support/debian-packages.sh "${needs[@]}"

export PATH="$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin"
vitest run --project "$@"
