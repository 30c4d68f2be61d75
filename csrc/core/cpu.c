/* cpuid and xgetbv. An instruction set counts only when the operating system saves its registers: cpuid alone is not
   enough in a virtual machine or under a kernel that has switched the state off. */
#include "cpu.h"

#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64)

#ifdef _MSC_VER
#include <intrin.h>
static void cpuid(uint32_t leaf, uint32_t r[4]) { __cpuidex((int *)r, (int)leaf, 0); }
static uint64_t xcr0(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(uint32_t leaf, uint32_t r[4]) { __cpuid_count(leaf, 0, r[0], r[1], r[2], r[3]); }
static uint64_t xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}
#endif

enum { XMM_YMM = 0x6, XMM_YMM_ZMM = 0xe6 };
enum { FMA = 1u << 12, OSXSAVE = 1u << 27, AVX = 1u << 28 };                              /* leaf 1, ecx */
enum { AVX2 = 1u << 5, AVX512F = 1u << 16, AVX512DQ = 1u << 17, AVX512BW = 1u << 30 };   /* leaf 7, ebx */
#define AVX512VL 0x80000000u

/* Leaf 7's ebx when AVX and FMA are there and the state bits in `state` are enabled; otherwise 0. */
static uint32_t features(uint64_t state) {
    uint32_t r[4];
    const uint32_t need = FMA | OSXSAVE | AVX;
    cpuid(0, r);
    if (r[0] < 7) return 0;
    cpuid(1, r);
    if ((r[2] & need) != need) return 0;
    if ((xcr0() & state) != state) return 0;
    cpuid(7, r);
    return r[1];
}

int nd_cpu_has_avx2(void) { return (features(XMM_YMM) & AVX2) != 0; }

int nd_cpu_has_avx512(void) {
    const uint32_t need = AVX2 | AVX512F | AVX512DQ | AVX512BW | AVX512VL;
    return (features(XMM_YMM_ZMM) & need) == need;
}

#else

int nd_cpu_has_avx2(void) { return 0; }
int nd_cpu_has_avx512(void) { return 0; }

#endif
