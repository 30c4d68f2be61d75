/* The floating-point state that plans run in: round to nearest, no traps, subnormals flushed to zero. Results must not
   depend on what else runs in the process, so the executor sets it on entry and puts back what was there on exit. Where
   the processor is neither x86-64 nor AArch64 nothing is changed. */
#ifndef ND_FP_H
#define ND_FP_H

#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64)

#include <xmmintrin.h>
#define ND_FP_PLAN 0x9fc0u /* FTZ, all exceptions masked, DAZ */
static inline uint64_t nd_fp_get(void) { return _mm_getcsr(); } /* with the sticky flags */
static inline void nd_fp_set(uint64_t state) { _mm_setcsr((unsigned)state); }

#elif defined(__aarch64__)

#define ND_FP_PLAN (1u << 24) /* FPCR.FZ */
static inline uint64_t nd_fp_get(void) { /* FPSR, which holds the sticky flags, above FPCR */
    uint64_t control, flags;
    __asm__ volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(control), "=r"(flags));
    return control | flags << 32;
}
static inline void nd_fp_set(uint64_t state) {
    __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %1" : : "r"(state & 0xffffffffu), "r"(state >> 32) : "memory");
}

#else

#define ND_FP_PLAN 0u
static inline uint64_t nd_fp_get(void) { return 0; }
static inline void nd_fp_set(uint64_t state) { (void)state; }

#endif

/* Enters the plan's state; gives what nd_fp_set takes to leave it. */
static inline uint64_t nd_fp_enter(void) {
    const uint64_t before = nd_fp_get();
    nd_fp_set(ND_FP_PLAN);
    return before;
}

#endif
