/* The vector operations on 4 floats with AArch64 NEON. Contract: simd_scalar.h. */
#ifndef ND_SIMD_H
#define ND_SIMD_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define ND_W 4

/* For functions on whole arrays of vectors, which must stay in registers. */
#if defined(__GNUC__) || defined(__clang__)
#define ND_INLINE static inline __attribute__((always_inline))
#else
#define ND_INLINE static inline
#endif

typedef float32x4_t vf;
typedef uint32x4_t vi;
typedef uint32x4_t vm;
typedef struct { float64x2_t low, high; } vd;

static inline vf vf_load(const float *p) { return vld1q_f32(p); }
static inline void vf_store(float *p, vf a) { vst1q_f32(p, a); }
static inline vf vf_load_part(const float *p, int n) { /* no masked loads: through the stack */
    float t[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    memcpy(t, p, (size_t)n * 4);
    return vld1q_f32(t);
}
static inline void vf_store_part(float *p, vf a, int n) {
    float t[4];
    vst1q_f32(t, a);
    memcpy(p, t, (size_t)n * 4);
}
static inline vf vf_set1(float a) { return vdupq_n_f32(a); }

static inline vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
static inline vf vf_sub(vf a, vf b) { return vsubq_f32(a, b); }
static inline vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
static inline vf vf_div(vf a, vf b) { return vdivq_f32(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
static inline vf vf_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
static inline vf vf_sqrt(vf a) { return vsqrtq_f32(a); }
/* Not FMIN and FMAX: those propagate a NaN from either side. */
static inline vf vf_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
static inline vf vf_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }

static inline float vf_sum(vf a) {
    const float32x2_t s2 = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(vpadd_f32(s2, s2), 0);
}
static inline float vf_top(vf a) {
    const vf s2 = vf_max(a, vextq_f32(a, a, 2));
    return vgetq_lane_f32(vf_max(s2, vextq_f32(s2, s2, 1)), 0);
}

static inline vm vf_lt(vf a, vf b) { return vcltq_f32(a, b); }
static inline vm vf_gt(vf a, vf b) { return vcgtq_f32(a, b); }
static inline vm vf_eq(vf a, vf b) { return vceqq_f32(a, b); }
static inline vf vf_blend(vm m, vf a, vf b) { return vbslq_f32(m, a, b); }

static inline vi vf_bits(vf a) { return vreinterpretq_u32_f32(a); }
static inline vf vi_as_float(vi a) { return vreinterpretq_f32_u32(a); }
static inline vf vf_abs(vf a) { return vabsq_f32(a); }
static inline vf vf_neg(vf a) { return vnegq_f32(a); }
static inline vf vf_copysign(vf a, vf sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, a); }

static inline vi vf_to_int(vf a) { return vreinterpretq_u32_s32(vcvtnq_s32_f32(a)); }
static inline vf vi_to_float(vi a) { return vcvtq_f32_s32(vreinterpretq_s32_u32(a)); }
static inline vi vi_sar23(vi a) { return vreinterpretq_u32_s32(vshrq_n_s32(vreinterpretq_s32_u32(a), 23)); }
static inline vi vi_shl23(vi a) { return vshlq_n_u32(a, 23); }
static inline vf vf_pow2(vi n) { return vi_as_float(vi_shl23(vaddq_u32(n, vdupq_n_u32(127)))); }
static inline vf vf_ldexp(vf a, vi n) {
    const vi half = vreinterpretq_u32_s32(vshrq_n_s32(vreinterpretq_s32_u32(n), 1));
    return vf_mul(vf_mul(a, vf_pow2(half)), vf_pow2(vsubq_u32(n, half)));
}

static inline vi vi_set1(uint32_t a) { return vdupq_n_u32(a); }
static inline vi vi_iota(void) {
    static const uint32_t iota[4] = {0, 1, 2, 3};
    return vld1q_u32(iota);
}
static inline void vi_store(uint32_t *p, vi a) { vst1q_u32(p, a); }
static inline void vi_store_part(uint32_t *p, vi a, int n) {
    uint32_t t[4];
    vst1q_u32(t, a);
    memcpy(p, t, (size_t)n * 4);
}
static inline vi vi_add(vi a, vi b) { return vaddq_u32(a, b); }
static inline vi vi_sub(vi a, vi b) { return vsubq_u32(a, b); }
static inline vi vi_and(vi a, vi b) { return vandq_u32(a, b); }
static inline vi vi_xor(vi a, vi b) { return veorq_u32(a, b); }
static inline vi vi_max(vi a, vi b) {
    return vreinterpretq_u32_s32(vmaxq_s32(vreinterpretq_s32_u32(a), vreinterpretq_s32_u32(b)));
}
static inline vm vi_ltu(vi a, vi b) { return vcltq_u32(a, b); }
static inline vi vi_blend(vm m, vi a, vi b) { return vbslq_u32(m, a, b); }
static inline void vi_mulwide(vi a, vi b, vi *hi, vi *lo) {
    const vi low = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(a), vget_low_u32(b)));
    const vi high = vreinterpretq_u32_u64(vmull_high_u32(a, b));
    *lo = vuzp1q_u32(low, high);
    *hi = vuzp2q_u32(low, high);
}
static inline void vi_interleave4(vi a, vi b, vi c, vi d, vi out[4]) {
    const uint64x2_t ab0 = vreinterpretq_u64_u32(vzip1q_u32(a, b)), ab1 = vreinterpretq_u64_u32(vzip2q_u32(a, b));
    const uint64x2_t cd0 = vreinterpretq_u64_u32(vzip1q_u32(c, d)), cd1 = vreinterpretq_u64_u32(vzip2q_u32(c, d));
    out[0] = vreinterpretq_u32_u64(vzip1q_u64(ab0, cd0));
    out[1] = vreinterpretq_u32_u64(vzip2q_u64(ab0, cd0));
    out[2] = vreinterpretq_u32_u64(vzip1q_u64(ab1, cd1));
    out[3] = vreinterpretq_u32_u64(vzip2q_u64(ab1, cd1));
}

static inline vd vd_zero(void) { return (vd){vdupq_n_f64(0.0), vdupq_n_f64(0.0)}; }
static inline vd vd_add_squares(vd acc, vf a) {
    const float64x2_t low = vcvt_f64_f32(vget_low_f32(a)), high = vcvt_high_f64_f32(a);
    return (vd){vfmaq_f64(acc.low, low, low), vfmaq_f64(acc.high, high, high)};
}
static inline void vd_store(double *p, vd a) {
    vst1q_f64(p, a.low);
    vst1q_f64(p + 2, a.high);
}

ND_INLINE void vf_transpose(const vf in[ND_W], vf out[ND_W]) {
    const float64x2_t ab0 = vreinterpretq_f64_f32(vzip1q_f32(in[0], in[1]));
    const float64x2_t ab1 = vreinterpretq_f64_f32(vzip2q_f32(in[0], in[1]));
    const float64x2_t cd0 = vreinterpretq_f64_f32(vzip1q_f32(in[2], in[3]));
    const float64x2_t cd1 = vreinterpretq_f64_f32(vzip2q_f32(in[2], in[3]));
    out[0] = vreinterpretq_f32_f64(vzip1q_f64(ab0, cd0));
    out[1] = vreinterpretq_f32_f64(vzip2q_f64(ab0, cd0));
    out[2] = vreinterpretq_f32_f64(vzip1q_f64(ab1, cd1));
    out[3] = vreinterpretq_f32_f64(vzip2q_f64(ab1, cd1));
}

static inline vm vf_le(vf a, vf b) { return vcleq_f32(a, b); }
static inline int vm_any(vm m) { return vmaxvq_u32(m) != 0; }
static inline vf vf_load_bytes(const uint8_t *p) {
    uint32_t four;
    memcpy(&four, p, 4);
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four)))));
}
static inline void vf_store_truth(uint8_t *p, vf a) {
    const uint32x4_t one = vbicq_u32(vdupq_n_u32(1), vceqzq_f32(a));
    const uint16x4_t half = vmovn_u32(one);
    const uint8x8_t bytes = vmovn_u16(vcombine_u16(half, half));
    const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
    memcpy(p, &four, 4);
}
static inline vd vd_set1(double a) { return (vd){vdupq_n_f64(a), vdupq_n_f64(a)}; }
static inline vd vf_widen(vf a) { return (vd){vcvt_f64_f32(vget_low_f32(a)), vcvt_high_f64_f32(a)}; }
static inline vf vd_narrow(vd a) { return vcvt_high_f32_f64(vcvt_f32_f64(a.low), a.high); }
#define ND_VD_BINARY(name) \
    static inline vd vd_##name(vd a, vd b) { \
        return (vd){v##name##q_f64(a.low, b.low), v##name##q_f64(a.high, b.high)}; \
    }
ND_VD_BINARY(add) ND_VD_BINARY(sub) ND_VD_BINARY(mul) ND_VD_BINARY(div)
static inline vd vd_fma(vd a, vd b, vd c) {
    return (vd){vfmaq_f64(c.low, a.low, b.low), vfmaq_f64(c.high, a.high, b.high)};
}

static inline void vf_unzip(vf a, vf b, vf *even, vf *odd) {
    *even = vuzp1q_f32(a, b);
    *odd = vuzp2q_f32(a, b);
}
static inline void vf_zip(vf even, vf odd, vf *a, vf *b) {
    *a = vzip1q_f32(even, odd);
    *b = vzip2q_f32(even, odd);
}
static inline vd vd_blend(vm m, vd a, vd b) {
    const int32x4_t wide = vreinterpretq_s32_u32(m);
    return (vd){vbslq_f64(vreinterpretq_u64_s64(vmovl_s32(vget_low_s32(wide))), a.low, b.low),
                vbslq_f64(vreinterpretq_u64_s64(vmovl_high_s32(wide)), a.high, b.high)};
}
static inline vf vf_cross(vf a, int h) { return h == 2 ? vextq_f32(a, a, 2) : vrev64q_f32(a); }
static inline float vf_first(vf a) { return vgetq_lane_f32(a, 0); }

#endif
