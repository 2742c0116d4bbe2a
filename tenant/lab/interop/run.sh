#!/bin/sh
# run.sh BINARY: installs the real Keylime, then runs the interop tests against BINARY.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
binary=$(cd "$(dirname "${1:-$root/bin/keylime_tenant}")" && pwd)/$(basename "${1:-keylime_tenant}")
dir=$(sh "$here/setup.sh" | tail -1)
cd "$root"
KEYLIME_INTEROP_DIR=$dir KEYLIME_INTEROP_BINARY=$binary \
    go test -tags interop -count=1 -timeout 55m -v ${INTEROP_RUN:+-run "$INTEROP_RUN"} ./tenant/lab/interop
