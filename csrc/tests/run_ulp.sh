#!/bin/sh
# Largest ULP error of every vector function, by ulp.c. All 2^32 inputs take about half a minute a function.
#     csrc/tests/run_ulp.sh [stride] [folder for the program]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
work=${2:-$(mktemp -d)}
mkdir -p "$work"
. "$here/tests/build.sh"
build_host ulp
status=0
for name in exp expm1 log1p tanh sigmoid erf elu silu softplus gelu; do
    "$work/ulp-host" $name "${1:-1}" || status=1
done
exit $status
