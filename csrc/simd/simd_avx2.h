/* The vector operations on 8 floats with AVX2 and FMA. Contract: simd_scalar.h. */
#ifndef ND_SIMD_H
#define ND_SIMD_H

#include <immintrin.h>
#include <stdint.h>

#define ND_W 8

/* For functions on whole arrays of vectors, which must stay in registers. */
#if defined(__GNUC__) || defined(__clang__)
#define ND_INLINE static inline __attribute__((always_inline))
#else
#define ND_INLINE static inline
#endif

typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;
typedef struct { __m256d low, high; } vd;

static inline __m256i part_mask(int n) {
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(ones + 8 - n));
}

static inline vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void vf_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
static inline vf vf_load_part(const float *p, int n) { return _mm256_maskload_ps(p, part_mask(n)); }
static inline void vf_store_part(float *p, vf a, int n) { _mm256_maskstore_ps(p, part_mask(n), a); }
static inline vf vf_set1(float a) { return _mm256_set1_ps(a); }

static inline vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf vf_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
static inline vf vf_sqrt(vf a) { return _mm256_sqrt_ps(a); }
static inline vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }

static inline float vf_sum(vf a) {
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
static inline float vf_top(vf a) {
    const __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_max_ss(s2, _mm_movehdup_ps(s2)));
}

static inline vm vf_lt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline vm vf_gt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
static inline vm vf_eq(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
static inline vf vf_blend(vm m, vf a, vf b) { return _mm256_blendv_ps(b, a, m); }

static inline vi vf_bits(vf a) { return _mm256_castps_si256(a); }
static inline vf vi_as_float(vi a) { return _mm256_castsi256_ps(a); }
static inline vf vf_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline vf vf_neg(vf a) { return _mm256_xor_ps(_mm256_set1_ps(-0.0f), a); }
static inline vf vf_copysign(vf a, vf sign) {
    return _mm256_or_ps(vf_abs(a), _mm256_and_ps(_mm256_set1_ps(-0.0f), sign));
}

static inline vi vf_to_int(vf a) { return _mm256_cvtps_epi32(a); }
static inline vf vi_to_float(vi a) { return _mm256_cvtepi32_ps(a); }
static inline vi vi_sar23(vi a) { return _mm256_srai_epi32(a, 23); }
static inline vi vi_shl23(vi a) { return _mm256_slli_epi32(a, 23); }
static inline vf vf_pow2(vi n) { return vi_as_float(vi_shl23(_mm256_add_epi32(n, _mm256_set1_epi32(127)))); }
static inline vf vf_ldexp(vf a, vi n) {
    const vi half = _mm256_srai_epi32(n, 1);
    return vf_mul(vf_mul(a, vf_pow2(half)), vf_pow2(_mm256_sub_epi32(n, half)));
}

static inline vi vi_set1(uint32_t a) { return _mm256_set1_epi32((int32_t)a); }
static inline vi vi_iota(void) { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
static inline void vi_store(uint32_t *p, vi a) { _mm256_storeu_si256((__m256i *)p, a); }
static inline void vi_store_part(uint32_t *p, vi a, int n) { _mm256_maskstore_epi32((int *)p, part_mask(n), a); }
static inline vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
static inline vi vi_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
static inline vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
static inline vi vi_xor(vi a, vi b) { return _mm256_xor_si256(a, b); }
static inline vi vi_max(vi a, vi b) { return _mm256_max_epi32(a, b); }
static inline vm vi_ltu(vi a, vi b) { /* no unsigned comparison: flip the sign bits */
    const vi top = _mm256_set1_epi32(INT32_MIN);
    return vi_as_float(_mm256_cmpgt_epi32(vi_xor(b, top), vi_xor(a, top)));
}
static inline vi vi_blend(vm m, vi a, vi b) { return vf_bits(vf_blend(m, vi_as_float(a), vi_as_float(b))); }
static inline void vi_mulwide(vi a, vi b, vi *hi, vi *lo) {
    const __m256i even = _mm256_mul_epu32(a, b);
    const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));
    *lo = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
    *hi = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}
static inline void vi_interleave4(vi a, vi b, vi c, vi d, vi out[4]) {
    const __m256i ab0 = _mm256_unpacklo_epi32(a, b), ab1 = _mm256_unpackhi_epi32(a, b);
    const __m256i cd0 = _mm256_unpacklo_epi32(c, d), cd1 = _mm256_unpackhi_epi32(c, d);
    const __m256i q04 = _mm256_unpacklo_epi64(ab0, cd0), q15 = _mm256_unpackhi_epi64(ab0, cd0);
    const __m256i q26 = _mm256_unpacklo_epi64(ab1, cd1), q37 = _mm256_unpackhi_epi64(ab1, cd1);
    out[0] = _mm256_permute2x128_si256(q04, q15, 0x20);
    out[1] = _mm256_permute2x128_si256(q26, q37, 0x20);
    out[2] = _mm256_permute2x128_si256(q04, q15, 0x31);
    out[3] = _mm256_permute2x128_si256(q26, q37, 0x31);
}

static inline vd vd_zero(void) { return (vd){_mm256_setzero_pd(), _mm256_setzero_pd()}; }
static inline vd vd_add_squares(vd acc, vf a) {
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(a));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1));
    return (vd){_mm256_fmadd_pd(low, low, acc.low), _mm256_fmadd_pd(high, high, acc.high)};
}
static inline void vd_store(double *p, vd a) {
    _mm256_storeu_pd(p, a.low);
    _mm256_storeu_pd(p + 4, a.high);
}

/* Four rows of 8: 4 x 4 transposes inside the 128-bit halves; q[i] has columns i and i + 4. */
ND_INLINE void transpose_4(const vf *in, vf q[4]) {
    const __m256 ab0 = _mm256_unpacklo_ps(in[0], in[1]), ab1 = _mm256_unpackhi_ps(in[0], in[1]);
    const __m256 cd0 = _mm256_unpacklo_ps(in[2], in[3]), cd1 = _mm256_unpackhi_ps(in[2], in[3]);
    q[0] = _mm256_shuffle_ps(ab0, cd0, 0x44);
    q[1] = _mm256_shuffle_ps(ab0, cd0, 0xee);
    q[2] = _mm256_shuffle_ps(ab1, cd1, 0x44);
    q[3] = _mm256_shuffle_ps(ab1, cd1, 0xee);
}
ND_INLINE void vf_transpose(const vf in[ND_W], vf out[ND_W]) {
    vf p[4], q[4];
    transpose_4(in, p);
    transpose_4(in + 4, q);
    out[0] = _mm256_permute2f128_ps(p[0], q[0], 0x20);
    out[1] = _mm256_permute2f128_ps(p[1], q[1], 0x20);
    out[2] = _mm256_permute2f128_ps(p[2], q[2], 0x20);
    out[3] = _mm256_permute2f128_ps(p[3], q[3], 0x20);
    out[4] = _mm256_permute2f128_ps(p[0], q[0], 0x31);
    out[5] = _mm256_permute2f128_ps(p[1], q[1], 0x31);
    out[6] = _mm256_permute2f128_ps(p[2], q[2], 0x31);
    out[7] = _mm256_permute2f128_ps(p[3], q[3], 0x31);
}

static inline vm vf_le(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
static inline int vm_any(vm m) { return _mm256_movemask_ps(m) != 0; }
static inline vf vf_load_bytes(const uint8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}
static inline void vf_store_truth(uint8_t *p, vf a) {
    const __m256i m = _mm256_castps_si256(_mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_NEQ_UQ));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
    const __m128i bytes = _mm_and_si128(_mm_packs_epi16(words, words), _mm_set1_epi8(1));
    _mm_storel_epi64((__m128i *)(void *)p, bytes);
}
static inline vd vd_set1(double a) { return (vd){_mm256_set1_pd(a), _mm256_set1_pd(a)}; }
static inline vd vf_widen(vf a) {
    return (vd){_mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1))};
}
static inline vf vd_narrow(vd a) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(a.low)), _mm256_cvtpd_ps(a.high), 1);
}
#define ND_VD_BINARY(name) \
    static inline vd vd_##name(vd a, vd b) { \
        return (vd){_mm256_##name##_pd(a.low, b.low), _mm256_##name##_pd(a.high, b.high)}; \
    }
ND_VD_BINARY(add) ND_VD_BINARY(sub) ND_VD_BINARY(mul) ND_VD_BINARY(div)
static inline vd vd_fma(vd a, vd b, vd c) {
    return (vd){_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)};
}

static inline void vf_unzip(vf a, vf b, vf *even, vf *odd) {
    const __m256d e = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88)), o = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xdd));
    *even = _mm256_castpd_ps(_mm256_permute4x64_pd(e, 0xd8));
    *odd = _mm256_castpd_ps(_mm256_permute4x64_pd(o, 0xd8));
}
static inline void vf_zip(vf even, vf odd, vf *a, vf *b) {
    const vf low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
    *a = _mm256_permute2f128_ps(low, high, 0x20);
    *b = _mm256_permute2f128_ps(low, high, 0x31);
}
static inline vd vd_blend(vm m, vd a, vd b) {
    const __m256i wide = _mm256_castps_si256(m);
    const __m256d low = _mm256_castsi256_pd(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(wide)));
    const __m256d high = _mm256_castsi256_pd(_mm256_cvtepi32_epi64(_mm256_extracti128_si256(wide, 1)));
    return (vd){_mm256_blendv_pd(b.low, a.low, low), _mm256_blendv_pd(b.high, a.high, high)};
}
static inline vf vf_cross(vf a, int h) {
    return h == 4 ? _mm256_permute2f128_ps(a, a, 1) : h == 2 ? _mm256_permute_ps(a, 0x4e) : _mm256_permute_ps(a, 0xb1);
}
static inline float vf_first(vf a) { return _mm256_cvtss_f32(a); }

#endif
