/* The vector operations on 16 floats with AVX-512 F, VL, BW and DQ. Contract: simd_scalar.h. */
#ifndef ND_SIMD_H
#define ND_SIMD_H

#include <immintrin.h>
#include <stdint.h>

#define ND_W 16

/* For functions on whole arrays of vectors, which must stay in registers. */
#if defined(__GNUC__) || defined(__clang__)
#define ND_INLINE static inline __attribute__((always_inline))
#else
#define ND_INLINE static inline
#endif

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
static inline float vf_top(vf a) {
    const __m256 s8 = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_max_ss(s2, _mm_movehdup_ps(s2)));
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
static inline vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
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

/* Four rows of 16: 4 x 4 transposes inside the 128-bit parts; q[i] has columns i, i + 4, i + 8, i + 12. */
ND_INLINE void transpose_4(const vf *in, vf q[4]) {
    const __m512 ab0 = _mm512_unpacklo_ps(in[0], in[1]), ab1 = _mm512_unpackhi_ps(in[0], in[1]);
    const __m512 cd0 = _mm512_unpacklo_ps(in[2], in[3]), cd1 = _mm512_unpackhi_ps(in[2], in[3]);
    q[0] = _mm512_shuffle_ps(ab0, cd0, 0x44);
    q[1] = _mm512_shuffle_ps(ab0, cd0, 0xee);
    q[2] = _mm512_shuffle_ps(ab1, cd1, 0x44);
    q[3] = _mm512_shuffle_ps(ab1, cd1, 0xee);
}
/* Columns i, i + 4, i + 8, i + 12 of all 16 rows from the parts of four groups of rows. */
ND_INLINE void transpose_parts(vf a, vf b, vf c, vf d, vf *out) {
    const __m512 ab0 = _mm512_shuffle_f32x4(a, b, 0x44), ab1 = _mm512_shuffle_f32x4(a, b, 0xee);
    const __m512 cd0 = _mm512_shuffle_f32x4(c, d, 0x44), cd1 = _mm512_shuffle_f32x4(c, d, 0xee);
    out[0] = _mm512_shuffle_f32x4(ab0, cd0, 0x88);
    out[4] = _mm512_shuffle_f32x4(ab0, cd0, 0xdd);
    out[8] = _mm512_shuffle_f32x4(ab1, cd1, 0x88);
    out[12] = _mm512_shuffle_f32x4(ab1, cd1, 0xdd);
}
ND_INLINE void vf_transpose(const vf in[ND_W], vf out[ND_W]) {
    vf p[4], q[4], r[4], s[4];
    transpose_4(in, p);
    transpose_4(in + 4, q);
    transpose_4(in + 8, r);
    transpose_4(in + 12, s);
    transpose_parts(p[0], q[0], r[0], s[0], out);
    transpose_parts(p[1], q[1], r[1], s[1], out + 1);
    transpose_parts(p[2], q[2], r[2], s[2], out + 2);
    transpose_parts(p[3], q[3], r[3], s[3], out + 3);
}

static inline vm vf_le(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
static inline int vm_any(vm m) { return m != 0; }
static inline vf vf_load_bytes(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
static inline void vf_store_truth(uint8_t *p, vf a) {
    const __mmask16 m = _mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    _mm_storeu_si128((__m128i *)(void *)p, _mm_maskz_set1_epi8(m, 1));
}
static inline vd vd_set1(double a) { return (vd){_mm512_set1_pd(a), _mm512_set1_pd(a)}; }
static inline vd vf_widen(vf a) {
    return (vd){_mm512_cvtps_pd(_mm512_castps512_ps256(a)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1))};
}
static inline vf vd_narrow(vd a) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a.low)), _mm512_cvtpd_ps(a.high), 1);
}
#define ND_VD_BINARY(name) \
    static inline vd vd_##name(vd a, vd b) { \
        return (vd){_mm512_##name##_pd(a.low, b.low), _mm512_##name##_pd(a.high, b.high)}; \
    }
ND_VD_BINARY(add) ND_VD_BINARY(sub) ND_VD_BINARY(mul) ND_VD_BINARY(div)
static inline vd vd_fma(vd a, vd b, vd c) {
    return (vd){_mm512_fmadd_pd(a.low, b.low, c.low), _mm512_fmadd_pd(a.high, b.high, c.high)};
}

static inline void vf_unzip(vf a, vf b, vf *even, vf *odd) {
    const __m512i e = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *even = _mm512_permutex2var_ps(a, e, b);
    *odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(e, _mm512_set1_epi32(1)), b);
}
static inline void vf_zip(vf even, vf odd, vf *a, vf *b) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *a = _mm512_permutex2var_ps(even, low, odd);
    *b = _mm512_permutex2var_ps(even, _mm512_add_epi32(low, _mm512_set1_epi32(8)), odd);
}
static inline vd vd_blend(vm m, vd a, vd b) {
    return (vd){_mm512_mask_blend_pd((__mmask8)m, b.low, a.low), _mm512_mask_blend_pd((__mmask8)(m >> 8), b.high, a.high)};
}
static inline vf vf_cross(vf a, int h) {
    if (h >= 4) return h == 8 ? _mm512_shuffle_f32x4(a, a, 0x4e) : _mm512_shuffle_f32x4(a, a, 0xb1);
    return h == 2 ? _mm512_permute_ps(a, 0x4e) : _mm512_permute_ps(a, 0xb1);
}
static inline float vf_first(vf a) { return _mm512_cvtss_f32(a); }

#endif
