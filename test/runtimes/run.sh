#!/usr/bin/env bash
# Installs from Debian what the runtime tests need (real registries, real container runtimes, stock BitTorrent clients),
# then runs the vitest project that the first argument names. Further arguments go to vitest, e.g. a file's name.
set -euo pipefail
cd "$(dirname "$0")/../.."

# program or file that proves the package is there, then the package
needs=(
  'docker-registry docker-registry'
  'htpasswd        apache2-utils'
  'containerd      containerd'
  'ctr             containerd'
  'runc            runc'
  'skopeo          skopeo'
  'podman          podman'
  'aria2c          aria2'
  'openssl         openssl'
  'python3         python3'
  'prometheus      prometheus'
  'buildah         buildah'
  'busybox         busybox-static'
)

missing=()
for need in "${needs[@]}"; do
  read -r program package <<<"$need"
  PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing+=("$package")
done
# Debian builds libtorrent's binding for its own interpreter only, whatever `python3` the PATH finds first.
/usr/bin/python3 -c 'import libtorrent' 2>/dev/null || missing+=(python3 python3-libtorrent)

if [ "$(id -u)" -ne 0 ]; then
  echo "test:integration: containerd, podman's storage and port 443 need root; run it as root" \
    "(missing packages: ${missing[*]:-none})" >&2
  exit 77
fi

if [ "${#missing[@]}" -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    echo "test:integration: missing: ${missing[*]}, and there is no apt-get to install them with" >&2
    exit 77
  fi
  echo "test:integration: installing from Debian: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Installed daemons must not start by themselves: each test starts its own, on its own directories.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  apt-get update -q
  apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

export PATH="$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin"
vitest run --project "$@"
