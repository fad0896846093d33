#!/usr/bin/env bash
# Installs from Debian what is missing. Usage: debian-packages.sh 'PROGRAM PACKAGE'...
# A program that is there, or a Python module named `python3:MODULE`, proves its package. Ends with 77 where it cannot install.
set -euo pipefail

missing=()
for need in "$@"; do
  read -r program package <<<"$need"
  case $program in
    # Debian builds its modules for its own interpreter only, whatever `python3` the PATH finds first.
    python3:*) /usr/bin/python3 -c "import ${program#*:}" 2>/dev/null || missing+=(python3 "$package") ;;
    *) PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing+=("$package") ;;
  esac
done
[ "${#missing[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing packages: ${missing[*]}; to install them takes root and apt-get" >&2
  exit 77
fi

echo "installing from Debian: ${missing[*]}"
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
