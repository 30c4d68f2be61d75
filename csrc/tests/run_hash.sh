#!/bin/sh
# Compares the bits of every kernel across instruction sets: scalar, AVX2 and AVX-512 on this machine (where it has them),
# scalar and NEON on AArch64 (native, or aarch64-linux-gnu-gcc with qemu-aarch64). Exit status 0 when all agree.
#     csrc/tests/run_hash.sh [folder for the programs]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-$(mktemp -d)}
mkdir -p "$work"
flags="-O2 -fno-math-errno -ffp-contract=off -fvisibility=hidden -std=c11 -Wall -Wextra -Werror"
reference=""
status=0

# build NAME COMPILER LINK_FLAGS MACROS ISA=FLAGS...
build() {
    name=$1 cc=$2 link=$3 macros=$4
    shift 4
    objects=""
    for pair in "$@"; do
        isa=${pair%%=*}
        # shellcheck disable=SC2086  # the flags are meant to split
        $cc $flags ${pair#*=} -c "$here/isa/$isa.c" -o "$work/$name-$isa.o"
        objects="$objects $work/$name-$isa.o"
    done
    # shellcheck disable=SC2086
    $cc $flags $macros "$here/core/cpu.c" "$here/core/dispatch.c" "$here/tests/hash.c" $objects $link -lm -o "$work/hash-$name"
}

# compare NAME ISA [EMULATOR]
compare() {
    file="$work/$1-$2.txt"
    code=0
    ${3:-} "$work/hash-$1" "$2" >"$file" || code=$?
    if [ "$code" = 2 ]; then echo "$1 $2: not available here"; return; fi
    if [ "$code" != 0 ]; then echo "$1 $2: FAILED"; status=1; return; fi
    if [ -z "$reference" ]; then reference=$file; fi
    if cmp -s "$reference" "$file"; then
        echo "$1 $2: $(wc -l <"$file") hashes agree"
    else
        echo "$1 $2: DIFFERS"; diff "$reference" "$file" || true; status=1
    fi
}

if [ "$(uname -m)" = x86_64 ]; then
    build x86_64 "${CC:-cc}" "" "-DND_HAVE_AVX2=1 -DND_HAVE_AVX512=1" "scalar=" "avx2=-mavx2 -mfma" \
        "avx512=-mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma"
    for isa in scalar avx2 avx512; do compare x86_64 $isa; done
fi
if [ "$(uname -m)" = aarch64 ]; then
    build aarch64 "${CC:-cc}" "" -DND_HAVE_NEON=1 "scalar=" "neon="
    for isa in scalar neon; do compare aarch64 $isa; done
elif command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64 >/dev/null; then
    build aarch64 aarch64-linux-gnu-gcc -static -DND_HAVE_NEON=1 "scalar=" "neon="
    for isa in scalar neon; do compare aarch64 $isa qemu-aarch64; done
fi
exit $status
