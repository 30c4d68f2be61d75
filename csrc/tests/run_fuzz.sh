#!/bin/sh
# Fuzzes plans under the address and undefined-behaviour sanitizers (needs clang with libFuzzer) for so many seconds, on every
# instruction set that this machine has. Exit status 0 when nothing was found; a finding stays in the folder.
#     csrc/tests/run_fuzz.sh [seconds] [folder for programs, corpus and findings]
# ISAS names the instruction sets (default: all of this processor), PYTHON an interpreter with ndiv's tests
# (default: python3, without whose ndiv the corpus starts empty).
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
seconds=${1:-60}
work=${2:-$(mktemp -d)}
mkdir -p "$work/corpus"
flags="-O1 -gline-tables-only -fno-math-errno -ffp-contract=off -std=c11 -Wno-pass-failed"
flags="$flags -fsanitize=address,undefined,float-cast-overflow,fuzzer-no-link -fno-sanitize-recover=all"
# An absent operand plus 0 elements is what every compiler takes it for.
flags="$flags -fno-sanitize=pointer-overflow"
# Loops unrolled in full take the sanitizer minutes to compile.
flags="$flags -mllvm -pragma-unroll-threshold=1 -mllvm -unroll-full-max-count=1"
case $(uname -m) in
    x86_64) isas="scalar avx2 avx512" ;;
    aarch64) isas="scalar neon" ;;
    *) isas="scalar" ;;
esac
isas=${ISAS:-$isas}
macros=""
for isa in $isas; do
    if [ "$isa" != scalar ]; then macros="$macros -DND_HAVE_$(echo "$isa" | tr a-z A-Z)=1"; fi
done
objects=""
for isa in $isas; do
    case $isa in
        avx2) own="-mavx2 -mfma" ;;
        avx512) own="-mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma" ;;
        *) own="" ;;
    esac
    # shellcheck disable=SC2086  # the flags are meant to split
    clang $flags $own -c "$here/isa/$isa.c" -o "$work/$isa.o" &
    objects="$objects $work/$isa.o"
done
wait
# shellcheck disable=SC2086
clang $flags $macros -fsanitize=fuzzer "$here"/core/*.c "$here/tests/fuzz_plan.c" $objects -lm -lpthread -o "$work/fuzz_plan"
if [ -z "$(ls "$work/corpus")" ]; then
    "${PYTHON:-python3}" "$here/tests/fuzz_corpus.py" "$work/corpus" >"$work/corpus.txt" 2>&1 ||
        { tail -3 "$work/corpus.txt"; test -z "${PYTHON:-}"; }
fi
status=0
count=$(echo "$isas" | wc -w)
for isa in $isas; do
    # A plan may ask for much memory: then there is none, and that has a status of its own.
    ASAN_OPTIONS="allocator_may_return_null=1:max_allocation_size_mb=256:detect_leaks=1" ISA=$isa "$work/fuzz_plan" \
        -max_total_time=$((seconds / count)) -timeout=20 -rss_limit_mb=3000 -malloc_limit_mb=0 -max_len=8192 \
        -print_final_stats=1 -artifact_prefix="$work/finding-$isa-" "$work/corpus" >"$work/$isa.txt" 2>&1 || status=1
    grep -E "stat::number_of_executed|ERROR|SUMMARY|runtime error|Test unit" "$work/$isa.txt" || true
done
exit $status
