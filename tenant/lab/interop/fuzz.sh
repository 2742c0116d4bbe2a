#!/bin/sh
# fuzz.sh TIME: runs every fuzz target of the module for TIME, one after the other.
set -eu
time=${1:-30s}
cd "$(dirname "$0")/../../.."
status=0
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' cmd tenant client policy payload | xargs -n1 dirname | sort -u); do
    for target in $(grep -h --include='*_test.go' '^func Fuzz' "$dir"/*_test.go | sed 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/'); do
        echo "== ./$dir $target for $time"
        go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "./$dir" || status=1
    done
done
exit $status
