#!/bin/sh
# The thread pool under ThreadSanitizer: several callers, nested regions, resizing, forks. Exit status 0 when all is well.
# "run_tsan.sh time" measures regions instead, without the sanitizer.
#     csrc/tests/run_tsan.sh [rounds | time]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sanitize="-fsanitize=thread -g"
if [ "${1:-}" = time ]; then sanitize=""; fi
# shellcheck disable=SC2086  # the flags are meant to split
${CC:-cc} -O2 -std=c11 -Wall -Wextra -Werror $sanitize "$here/core/pool.c" "$here/tests/tsan_pool.c" -lpthread \
    -o "$work/tsan_pool"
# A child of a fork makes threads of its own, which the sanitizer must be told to allow.
TSAN_OPTIONS="die_after_fork=0 halt_on_error=1" "$work/tsan_pool" "${1:-1000}"
