/* The vector operations on 16 floats with AVX-512 F, VL, BW and DQ. Contract: simd_scalar.h. */
#ifndef ND_SIMD_H
#define ND_SIMD_H

#include <immintrin.h>
#include <stdint.h>

#define ND_W 16

typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;
typedef struct { __m512d low, high; } vd;

static inline __mmask16 part_mask(int n) { return (__mmask16)((1u << n) - 1u); }

static inline vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void vf_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
static inline vf vf_load_part(const float *p, int n) { return _mm512_maskz_loadu_ps(part_mask(n), p); }
static inline void vf_store_part(float *p, vf a, int n) { _mm512_mask_storeu_ps(p, part_mask(n), a); }
static inline vf vf_set1(float a) { return _mm512_set1_ps(a); }

static inline vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
static inline vf vf_sqrt(vf a) { return _mm512_sqrt_ps(a); }
static inline vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }

static inline float vf_sum(vf a) {
    const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

static inline vm vf_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline vm vf_gt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
static inline vm vf_eq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline vf vf_blend(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }

static inline vi vf_bits(vf a) { return _mm512_castps_si512(a); }
static inline vf vi_as_float(vi a) { return _mm512_castsi512_ps(a); }
static inline vf vf_abs(vf a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
static inline vf vf_neg(vf a) { return _mm512_xor_ps(_mm512_set1_ps(-0.0f), a); }
static inline vf vf_copysign(vf a, vf sign) {
    return _mm512_or_ps(vf_abs(a), _mm512_and_ps(_mm512_set1_ps(-0.0f), sign));
}

static inline vi vf_to_int(vf a) { return _mm512_cvtps_epi32(a); }
static inline vf vi_to_float(vi a) { return _mm512_cvtepi32_ps(a); }
static inline vi vi_sar23(vi a) { return _mm512_srai_epi32(a, 23); }
static inline vi vi_shl23(vi a) { return _mm512_slli_epi32(a, 23); }
static inline vf vf_pow2(vi n) { return vi_as_float(vi_shl23(_mm512_add_epi32(n, _mm512_set1_epi32(127)))); }
static inline vf vf_ldexp(vf a, vi n) { return _mm512_scalef_ps(a, vi_to_float(n)); }

static inline vi vi_set1(uint32_t a) { return _mm512_set1_epi32((int32_t)a); }
static inline vi vi_iota(void) { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
static inline void vi_store(uint32_t *p, vi a) { _mm512_storeu_si512(p, a); }
static inline void vi_store_part(uint32_t *p, vi a, int n) { _mm512_mask_storeu_epi32(p, part_mask(n), a); }
static inline vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
static inline vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
static inline vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
static inline vi vi_max(vi a, vi b) { return _mm512_max_epi32(a, b); }
static inline vm vi_ltu(vi a, vi b) { return _mm512_cmplt_epu32_mask(a, b); }
static inline vi vi_blend(vm m, vi a, vi b) { return _mm512_mask_blend_epi32(m, b, a); }
static inline void vi_mulwide(vi a, vi b, vi *hi, vi *lo) {
    const __m512i even = _mm512_mul_epu32(a, b);
    const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
    *lo = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
    *hi = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
}
static inline void vi_interleave4(vi a, vi b, vi c, vi d, vi out[4]) {
    const __m512i ab0 = _mm512_unpacklo_epi32(a, b), ab1 = _mm512_unpackhi_epi32(a, b);
    const __m512i cd0 = _mm512_unpacklo_epi32(c, d), cd1 = _mm512_unpackhi_epi32(c, d);
    /* q0 holds the quadruples 0 4 8 12, q1 holds 1 5 9 13, and so on: a 4 x 4 transpose of 128-bit parts follows. */
    const __m512i q0 = _mm512_unpacklo_epi64(ab0, cd0), q1 = _mm512_unpackhi_epi64(ab0, cd0);
    const __m512i q2 = _mm512_unpacklo_epi64(ab1, cd1), q3 = _mm512_unpackhi_epi64(ab1, cd1);
    const __m512i s0 = _mm512_shuffle_i32x4(q0, q1, 0x44), s1 = _mm512_shuffle_i32x4(q2, q3, 0x44);
    const __m512i s2 = _mm512_shuffle_i32x4(q0, q1, 0xee), s3 = _mm512_shuffle_i32x4(q2, q3, 0xee);
    out[0] = _mm512_shuffle_i32x4(s0, s1, 0x88);
    out[1] = _mm512_shuffle_i32x4(s0, s1, 0xdd);
    out[2] = _mm512_shuffle_i32x4(s2, s3, 0x88);
    out[3] = _mm512_shuffle_i32x4(s2, s3, 0xdd);
}

static inline vd vd_zero(void) { return (vd){_mm512_setzero_pd(), _mm512_setzero_pd()}; }
static inline vd vd_add_squares(vd acc, vf a) {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(a));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
    return (vd){_mm512_fmadd_pd(low, low, acc.low), _mm512_fmadd_pd(high, high, acc.high)};
}
static inline void vd_store(double *p, vd a) {
    _mm512_storeu_pd(p, a.low);
    _mm512_storeu_pd(p + 8, a.high);
}

#endif
