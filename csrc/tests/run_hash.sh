#!/bin/sh
# Compares the bits of every kernel across instruction sets: scalar, AVX2 and AVX-512 on this machine (where it has
# them), scalar and NEON on AArch64 (native, or aarch64-linux-gnu-gcc with qemu-aarch64), all against golden.txt.
# Exit status 0 when all agree. Who means to change bits renews golden.txt with one of the outputs, and says so.
#     csrc/tests/run_hash.sh [folder for the programs]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-$(mktemp -d)}
mkdir -p "$work"
. "$here/tests/build.sh"
reference=$here/tests/golden.txt
status=0

# compare NAME ISA [EMULATOR]
compare() {
    file="$work/$1-$2.txt"
    code=0
    ${3:-} "$work/hash-$1" "$2" >"$file" || code=$?
    if [ "$code" = 2 ]; then return; fi # not an instruction set of this machine
    if [ "$code" != 0 ]; then echo "$1 $2: FAILED"; status=1; return; fi
    if cmp -s "$reference" "$file"; then
        echo "$1 $2: $(wc -l <"$file") hashes agree"
    else
        echo "$1 $2: DIFFERS"; diff "$reference" "$file" || true; status=1
    fi
}

build_host hash
for isa in scalar avx2 avx512 neon; do compare host $isa; done
if [ "$(uname -m)" != aarch64 ] && command -v aarch64-linux-gnu-gcc qemu-aarch64 >/dev/null; then
    build hash aarch64 aarch64-linux-gnu-gcc -static -DND_HAVE_NEON=1 "scalar=" "neon="
    for isa in scalar neon; do compare aarch64 $isa qemu-aarch64; done
fi
exit $status
