#!/bin/sh
# One hash per model: forecast and three training steps of every model, run by the executor on every instruction set of this
# machine, on 1, 2 and 3 threads, and on AArch64 (scalar and NEON, by aarch64-linux-gnu-gcc and qemu-aarch64). All must agree.
#     csrc/tests/run_models.sh [folder [python]]        python: one that can import ndiv with the extension
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-$(mktemp -d)}
python=${2:-python3}
mkdir -p "$work"
. "$here/tests/build.sh"
rm -rf "$work/plans"
"$python" "$here/tests/write_models.py" "$work/plans"
status=0
reference=""

# compare NAME ISA THREADS [EMULATOR]
compare() {
    file="$work/$1-$2-$3.txt"
    code=0
    ${4:-} "$work/model-$1" "$2" "$3" "$work"/plans/* >"$file" || code=$?
    if [ "$code" = 2 ]; then return; fi # not an instruction set of this machine
    if [ "$code" != 0 ]; then echo "$1 $2, $3 threads: FAILED"; status=1; return; fi
    if [ -z "$reference" ]; then
        reference=$file
        cat "$file"
    elif cmp -s "$reference" "$file"; then
        echo "$1 $2, $3 threads: the same $(wc -l <"$file") hashes"
    else
        echo "$1 $2, $3 threads: DIFFERS"; diff "$reference" "$file" || true; status=1
    fi
}

build_host model
for isa in scalar avx2 avx512 neon; do
    for threads in 1 2 3; do compare host $isa $threads; done
done
if [ "$(uname -m)" != aarch64 ] && command -v aarch64-linux-gnu-gcc qemu-aarch64 >/dev/null; then
    build model aarch64 aarch64-linux-gnu-gcc "-static -pthread" -DND_HAVE_NEON=1 "scalar=" "neon="
    for isa in scalar neon; do compare aarch64 $isa 2 qemu-aarch64; done
fi
exit $status
