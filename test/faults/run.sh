#!/usr/bin/env bash
# Installs from Debian what the rig and the faults need, then runs the matrix; arguments go to faults.ts.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash test/support/debian-packages.sh 'ip iproute2' 'nginx nginx-light' 'setpriv util-linux' 'faketime faketime'
exec node test/faults/faults.ts "$@"
