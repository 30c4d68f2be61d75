/* The vector operations on one float: the definition that the other simd_*.h must equal bit for bit, and the kernels'
   slow path on processors without FMA, where fmaf is the C library's exact one.

   Contract of every simd_*.h. Types: vf (ND_W floats), vi (ND_W 32-bit integers), vm (ND_W truth values), vd (the
   ND_W doubles that belong to one vf). Arithmetic is IEEE, rounded to nearest; vf_fma rounds once. Where a comparison
   meets a NaN it is false, so vf_min and vf_max give their second operand. Partial loads fill with zeros; partial
   loads and stores take 1 .. ND_W - 1 elements and touch no others. */
#ifndef ND_SIMD_H
#define ND_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define ND_W 1

/* For functions on whole arrays of vectors, which must stay in registers. */
#if defined(__GNUC__) || defined(__clang__)
#define ND_INLINE static inline __attribute__((always_inline))
#else
#define ND_INLINE static inline
#endif

typedef float vf;
typedef uint32_t vi;
typedef int vm;
typedef double vd;

static inline vf vf_load(const float *p) { return *p; }
static inline void vf_store(float *p, vf a) { *p = a; }
static inline vf vf_load_part(const float *p, int n) { return n > 0 ? *p : 0.0f; }
static inline void vf_store_part(float *p, vf a, int n) { if (n > 0) *p = a; }
static inline vf vf_set1(float a) { return a; }

static inline vf vf_add(vf a, vf b) { return a + b; }
static inline vf vf_sub(vf a, vf b) { return a - b; }
static inline vf vf_mul(vf a, vf b) { return a * b; }
static inline vf vf_div(vf a, vf b) { return a / b; }
static inline vf vf_fma(vf a, vf b, vf c) { return fmaf(a, b, c); }   /* a b + c */
static inline vf vf_fnma(vf a, vf b, vf c) { return fmaf(-a, b, c); } /* c - a b */
static inline vf vf_sqrt(vf a) { return sqrtf(a); }
static inline vf vf_min(vf a, vf b) { return a < b ? a : b; }
static inline vf vf_max(vf a, vf b) { return a > b ? a : b; }

static inline float vf_sum(vf a) { return a; } /* lane l takes lane l + ND_W / 2, and so on down to one */
static inline float vf_top(vf a) { return a; } /* the largest lane by vf_max, in the order of vf_sum */

static inline vm vf_lt(vf a, vf b) { return a < b; }
static inline vm vf_gt(vf a, vf b) { return a > b; }
static inline vm vf_eq(vf a, vf b) { return a == b; }
static inline vf vf_blend(vm m, vf a, vf b) { return m ? a : b; } /* m ? a : b */

static inline vi vf_bits(vf a) { vi r; memcpy(&r, &a, 4); return r; }
static inline vf vi_as_float(vi a) { vf r; memcpy(&r, &a, 4); return r; }
static inline vf vf_abs(vf a) { return vi_as_float(vf_bits(a) & 0x7fffffffu); }
static inline vf vf_neg(vf a) { return vi_as_float(vf_bits(a) ^ 0x80000000u); }
static inline vf vf_copysign(vf a, vf sign) {
    return vi_as_float((vf_bits(a) & 0x7fffffffu) | (vf_bits(sign) & 0x80000000u));
}

/* To the nearest integer; defined for |a| < 2^31, any value otherwise. */
static inline vi vf_to_int(vf a) { return fabsf(a) < 2147483648.0f ? (vi)(int32_t)rintf(a) : 0; }
static inline vf vi_to_float(vi a) { return (float)(int32_t)a; }
static inline vi vi_sar23(vi a) { return (vi)((int32_t)a >> 23); } /* the exponent field of float bits, arithmetic */
static inline vi vi_shl23(vi a) { return a << 23; }
static inline vf vf_pow2(vi n) { return vi_as_float((n + 127u) << 23); } /* 2^n for -126 <= n <= 127 */
/* a 2^n for -150 <= n <= 129, rounded once. */
static inline vf vf_ldexp(vf a, vi n) {
    const vi half = (vi)((int32_t)n >> 1);
    return a * vf_pow2(half) * vf_pow2(n - half);
}

static inline vi vi_set1(uint32_t a) { return a; }
static inline vi vi_iota(void) { return 0; }
static inline void vi_store(uint32_t *p, vi a) { *p = a; }
static inline void vi_store_part(uint32_t *p, vi a, int n) { if (n > 0) *p = a; }
static inline vi vi_add(vi a, vi b) { return a + b; }
static inline vi vi_sub(vi a, vi b) { return a - b; }
static inline vi vi_and(vi a, vi b) { return a & b; }
static inline vi vi_xor(vi a, vi b) { return a ^ b; }
static inline vi vi_max(vi a, vi b) { return (int32_t)a > (int32_t)b ? a : b; } /* signed */
static inline vm vi_ltu(vi a, vi b) { return a < b; }                           /* unsigned */
static inline vi vi_blend(vm m, vi a, vi b) { return m ? a : b; }
static inline void vi_mulwide(vi a, vi b, vi *hi, vi *lo) { /* unsigned 32 x 32 -> 64 */
    const uint64_t product = (uint64_t)a * b;
    *hi = (vi)(product >> 32);
    *lo = (vi)product;
}
/* Memory order a0 b0 c0 d0 a1 b1 c1 d1 ... over four vectors. */
static inline void vi_interleave4(vi a, vi b, vi c, vi d, vi out[4]) {
    out[0] = a;
    out[1] = b;
    out[2] = c;
    out[3] = d;
}

static inline vd vd_zero(void) { return 0.0; }
static inline vd vd_add_squares(vd acc, vf a) { return acc + (double)a * (double)a; } /* the product is exact */
static inline void vd_store(double *p, vd a) { *p = a; }

/* out[i] lane j = in[j] lane i, for ND_W vectors. */
ND_INLINE void vf_transpose(const vf in[ND_W], vf out[ND_W]) { out[0] = in[0]; }

/* For elementwise programs: truth as bytes (0 or 1), and double arithmetic on widened lanes. */
static inline vm vf_le(vf a, vf b) { return a <= b; }
static inline int vm_any(vm m) { return m; }
static inline vf vf_load_bytes(const uint8_t *p) { return (float)*p; }
static inline void vf_store_truth(uint8_t *p, vf a) { *p = a != 0.0f; } /* 1 where a is not 0 (a NaN is not) */
static inline vd vd_set1(double a) { return a; }
static inline vd vf_widen(vf a) { return (double)a; }
static inline vf vd_narrow(vd a) { return (float)a; }
static inline vd vd_add(vd a, vd b) { return a + b; }
static inline vd vd_sub(vd a, vd b) { return a - b; }
static inline vd vd_mul(vd a, vd b) { return a * b; }
static inline vd vd_div(vd a, vd b) { return a / b; }
static inline vd vd_fma(vd a, vd b, vd c) { return fma(a, b, c); }

/* even takes the elements with even numbers of a followed by b, odd the others; vf_zip is the inverse. */
static inline void vf_unzip(vf a, vf b, vf *even, vf *odd) { *even = a; *odd = b; }
static inline void vf_zip(vf even, vf odd, vf *a, vf *b) { *a = even; *b = odd; }
static inline vd vd_blend(vm m, vd a, vd b) { return m ? a : b; }
/* Lane l takes lane l ^ h, h a power of two below ND_W; the first lane. */
static inline vf vf_cross(vf a, int h) { (void)h; return a; }
static inline float vf_first(vf a) { return a; }

#endif
