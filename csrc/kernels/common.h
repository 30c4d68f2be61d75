/* Argument checks, tails, and the 16-lane reduction that all instruction sets share. */
#ifndef ND_COMMON_H
#define ND_COMMON_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#define ND_REQUIRE(condition, status) \
    do {                              \
        if (!(condition)) return (status); \
    } while (0)

/* rows * cols elements must fit in memory with room for byte offsets. */
static int32_t check_extent(int64_t rows, int64_t cols) {
    ND_REQUIRE(rows >= 0 && cols >= 0, ND_ESIZE);
    ND_REQUIRE(cols == 0 || rows <= (INT64_MAX / 8) / cols, ND_ESIZE);
    return ND_OK;
}

/* The width of a reduction: lane l sums the elements l, l + 16, l + 32 ... in order, whatever the register width. */
#define ND_LANES 16
#define ND_REGS (ND_LANES / ND_W)

/* Unrolled so that the accumulators of one 16-lane sum stay in registers. */
#if defined(__clang__)
#define ND_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define ND_UNROLL _Pragma("GCC unroll 16")
#else
#define ND_UNROLL
#endif
#if defined(__clang__) || defined(__GNUC__)
#define ND_PREFETCH(p) __builtin_prefetch(p) /* any address will do */
#define ND_PREFETCH_NEAR(p) __builtin_prefetch((p), 0, 2) /* into the second cache */
#else
#define ND_PREFETCH(p) ((void)(p))
#define ND_PREFETCH_NEAR(p) ((void)(p))
#endif

typedef struct {
    vf r[ND_REGS];
} lanes16;

static inline lanes16 lanes_zero(void) {
    lanes16 a;
    ND_UNROLL
    for (int k = 0; k < ND_REGS; k++) a.r[k] = vf_set1(0.0f);
    return a;
}

/* The fixed tree: lane l takes lane l + 8, then + 4, + 2, + 1; between registers first, then inside one. */
static inline float lanes_sum(lanes16 a) {
    ND_UNROLL
    for (int h = ND_REGS / 2; h > 0; h /= 2) {
        ND_UNROLL
        for (int k = 0; k < h; k++) a.r[k] = vf_add(a.r[k], a.r[k + h]);
    }
    return vf_sum(a.r[0]);
}

/* Register k of a last block of n < 16 elements; lanes past the end hold `fill`, which adds nothing to the sum. */
static inline vf load_tail(const float *p, int n, int k, vf fill) {
    const int left = n - k * ND_W;
    if (left >= ND_W) return vf_load(p + k * ND_W);
    if (left <= 0) return fill;
    return vf_blend(vi_ltu(vi_iota(), vi_set1((uint32_t)left)), vf_load_part(p + k * ND_W, left), fill);
}

/* A vector of n = 1 .. ND_W elements: absent ones read as 0 and are not written. */
static inline vf load_left(const float *p, int n) {
    return n == ND_W ? vf_load(p) : vf_load_part(p, n);
}

static inline void store_left(float *p, vf v, int n) {
    if (n == ND_W) vf_store(p, v);
    else vf_store_part(p, v, n);
}

#endif
