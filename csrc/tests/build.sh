# Sourced by the scripts here, which set $here (csrc) and $work (a folder): builds a test program with all kernels.
flags="-O2 -fno-math-errno -ffp-contract=off -fvisibility=hidden -std=c11 -Wall -Wextra -Werror"

# build PROGRAM NAME COMPILER LINK_FLAGS MACROS ISA=FLAGS...   ->   $work/PROGRAM-NAME
build() {
    program=$1 name=$2 cc=$3 link=$4 macros=$5
    shift 5
    objects=""
    for pair in "$@"; do
        isa=${pair%%=*}
        # shellcheck disable=SC2086  # the flags are meant to split
        $cc $flags ${pair#*=} -c "$here/isa/$isa.c" -o "$work/$name-$isa.o"
        objects="$objects $work/$name-$isa.o"
    done
    # shellcheck disable=SC2086
    $cc $flags $macros "$here"/core/*.c "$here/tests/$program.c" $objects $link -lm \
        -o "$work/$program-$name"
}

# build_host PROGRAM   ->   $work/PROGRAM-host, with every instruction set of this kind of processor
build_host() {
    case $(uname -m) in
        x86_64) build "$1" host "${CC:-cc}" "" "-DND_HAVE_AVX2=1 -DND_HAVE_AVX512=1" "scalar=" "avx2=-mavx2 -mfma" \
            "avx512=-mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma" ;;
        aarch64) build "$1" host "${CC:-cc}" "" -DND_HAVE_NEON=1 "scalar=" "neon=" ;;
        *) build "$1" host "${CC:-cc}" "" "" "scalar=" ;;
    esac
}
