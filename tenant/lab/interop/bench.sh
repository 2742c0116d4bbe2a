#!/bin/sh
# bench.sh BINARY: whole-process figures beside other tools, measured in turn in one run.
#
# Every row is the median of RUNS pairs (ours, theirs, ours, theirs, ...), so
# that a machine whose speed drifts slows both; what counts is the ratio.
# A tool that is not installed leaves its row out and says so.
set -eu
binary=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
runs=${RUNS:-15}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

now() { date +%s%N; }
median() { sort -n "$1" | awk '{a[NR]=$1} END {print a[int((NR+1)/2)]}'; }

# pair NAME OURS THEIRS: prints both medians in milliseconds and the ratio.
pair() {
    name=$1
    : > "$work/a"; : > "$work/b"
    sh -c "$2" >/dev/null 2>&1 || { echo "bench: $name: ours failed: $2" >&2; return 1; }
    sh -c "$3" >/dev/null 2>&1 || { echo "bench: $name: the other failed: $3" >&2; return 1; }
    i=0
    while [ $i -lt "$runs" ]; do
        t=$(now); sh -c "$2" >/dev/null 2>&1; echo $(( $(now) - t )) >> "$work/a"
        t=$(now); sh -c "$3" >/dev/null 2>&1; echo $(( $(now) - t )) >> "$work/b"
        i=$((i + 1))
    done
    awk -v n="$name" -v a="$(median "$work/a")" -v b="$(median "$work/b")" \
        'BEGIN { printf "%-44s ours %9.1f ms   other %9.1f ms   ratio %.2f\n", n, a/1e6, b/1e6, a/b }'
}

printf '# whole processes, median of %s pairs\n' "$runs"
cat > "$work/bare.go" <<'G'
package main

func main() { println("bare") }
G
(cd "$work" && CGO_ENABLED=0 go build -o bare bare.go)
pair "-h : a bare Go program" "exec $binary -h" "exec $work/bare"

if command -v curl >/dev/null 2>&1; then
    cat > "$work/cvstatus.sh" <<S
set -eu
$binary -c add -u "\$LAB_AGENT" -t 127.0.0.1 >/dev/null
RUNS=$runs WORK=$work BINARY=$binary sh "$work/inlab.sh"
S
    sed -n '/^now()/,/^}$/p' "$0" > "$work/functions.sh"
    cat > "$work/inlab.sh" <<'S'
set -eu
work=$WORK runs=$RUNS
. "$work/functions.sh"
value() { sed -n "s/^$1 *= *//p" "$KEYLIME_TENANT_CONFIG" | tail -1 | tr -d '"'; }
tls=$(value tls_dir)
url="https://$(value verifier_ip):$(value verifier_port)/v2.6/agents/$LAB_AGENT"
pair "cvstatus : curl, the same request" "exec $BINARY cvstatus $LAB_AGENT -o json" \
     "exec curl -sf --cacert $tls/cacert.crt --cert $tls/client-cert.crt --key $tls/client-private.pem -k $url"
S
    "$binary" lab run -- sh "$work/cvstatus.sh"
else
    echo "curl is not installed: no row for cvstatus"
fi

mkdir "$work/tree"
i=0
while [ $i -lt 2000 ]; do head -c $(( (i % 50 + 1) * 4096 )) /dev/urandom > "$work/tree/file$i"; i=$((i + 1)); done
pair "hash a tree of 2,000 files : sha256sum on all cores" \
    "exec $binary policy create runtime --rootfs $work/tree -o $work/policy.json --quiet" \
    "find $work/tree -type f -print0 | xargs -0 -n 200 -P $(nproc) sha256sum"

if command -v tpm2_eventlog >/dev/null 2>&1; then
    log=testdata/evidence/sb-on/binary_bios_measurements
    pair "boot log in words : tpm2_eventlog" "exec $binary policy show $log" "exec tpm2_eventlog $log"
else
    echo "tpm2_eventlog is not installed: no row for boot logs"
fi

keylime=${KEYLIME_INTEROP_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/keylime-tenant/interop-7.14.3}
if [ -x "$keylime/venv/bin/keylime_tenant" ]; then
    lines=1000000 sample=20000
    theirs=$(KEYLIME_TEST=true KEYLIME_DIR=$work "$keylime/venv/bin/python" "$(dirname "$0")/bench_ima.py" "$work" $lines $sample 2>/dev/null)
    t=$(now)
    "$binary" policy check --runtime-policy "$work/policy.json" "$work/list.txt" >/dev/null 2>&1 || { echo "bench: the list was refused" >&2; exit 1; }
    awk -v ns=$(( $(now) - t )) -v theirs="$theirs" -v n=$lines -v m=$sample 'BEGIN {
        printf "%-44s ours %9.0f a s   other %8.0f a s   ratio %.0f\n", "IMA entries judged : Keylime in Python", n / (ns / 1e9), m / theirs, (n / (ns / 1e9)) / (m / theirs)
        print "    (ours is a whole process over " n " entries, policy read and checked; theirs the function alone over " m ")" }'
    runs=3 pair "-h : the Python tenant" "exec $binary -h" "exec $keylime/venv/bin/keylime_tenant -h"
else
    echo "the Python tenant is not installed (make interop installs it): no row for it"
fi
