#!/bin/sh
# Largest ULP error of every vector function, by ulp.c, which fails above the published bounds. All 2^32 inputs take about
# half a minute a function; a stride (an odd one, so that every exponent and sign is met) takes a sample.
#     csrc/tests/run_ulp.sh [stride] [folder for the program]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
work=${2:-$(mktemp -d)}
mkdir -p "$work"
. "$here/tests/build.sh"
build_host ulp
status=0
for name in rsqrt exp expm1 log log1p sin cos tanh sigmoid softplus silu erf erfc gelu gelu_tanh lgamma digamma pow; do
    "$work/ulp-host" $name "${1:-1}" || status=1
done
exit $status
