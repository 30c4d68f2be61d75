/* Elementary functions on vectors, float32, written once over the simd operations.
 *
 * Largest errors in ULP of normal results (csrc/tests/run_ulp.sh), over all 2^32 inputs: exp 0.99, expm1 1.45, log1p 1.43,
 * tanh 2.42, sigmoid 2.41, erf 1.30, silu 1.10, gelu 2.37; over every 31st to 401st: log 0.77, sin and cos 1.49, softplus 1.58,
 * erfc 2.01, gelu_tanh 1.04, lgamma, digamma and pow 0.52 (lgamma and digamma near their zeros below 0: ULP of 1).
 * All return the limits at +-inf and a NaN for a NaN, and keep subnormals and the sign of zero.
 * Polynomials: math_coef.h, derived by csrc/tools/fit_coefficients.py.
 */
#ifndef ND_MATH_H
#define ND_MATH_H

#include "math_coef.h"

/* Horner's rule; inlined with a constant length. */
static inline vf poly(vf x, const float *c, int count) {
    vf y = vf_set1(c[count - 1]);
    ND_UNROLL
    for (int j = count - 2; j >= 0; j--) y = vf_fma(y, x, vf_set1(c[j]));
    return y;
}
#define ND_POLY(x, name) poly((x), name, name##_N)

/* Clamps that let a NaN through: the operand that may be NaN comes second. */
static inline vf at_least(vf x, float low) { return vf_max(vf_set1(low), x); }
static inline vf at_most(vf x, float high) { return vf_min(vf_set1(high), x); }

/* x = n ln(2) + r, |r| <= ln(2)/2; returns e^r - 1. n * nd_ln2_hi is exact, so only r itself is rounded. */
static inline vf exp_reduced(vf x, vi *n) {
    *n = vf_to_int(vf_mul(x, vf_set1(nd_log2_e)));
    const vf nf = vi_to_float(*n);
    const vf r = vf_fnma(nf, vf_set1(nd_ln2_lo), vf_fnma(nf, vf_set1(nd_ln2_hi), x));
    return vf_fma(vf_mul(r, r), ND_POLY(r, nd_exp_q), r);
}

/* e^x. The clamps are just past the arguments that give 0 and inf. */
static inline vf v_exp(vf x) {
    vi n;
    const vf m = exp_reduced(at_most(at_least(x, -104.0f), 89.0f), &n);
    return vf_ldexp(vf_add(m, vf_set1(1.0f)), n);
}

/* (e^x - 1) / 2 = 2^(n-1) (e^r - 1) + (2^(n-1) - 1/2) for -20 <= x <= 89; the half keeps n = 128 from overflowing. */
static inline vf half_expm1(vf x) {
    vi n;
    const vf m = exp_reduced(x, &n);
    const vf s = vf_pow2(vi_sub(n, vi_set1(1)));
    return vf_fma(m, s, vf_sub(s, vf_set1(0.5f)));
}

static inline vf v_expm1(vf x) {
    const vf half = half_expm1(at_most(at_least(x, -20.0f), 89.0f));
    const vm small = vf_lt(vf_abs(x), vf_set1(0x1p-25f)); /* x itself: keeps the sign of zero, and subnormals */
    return vf_blend(small, x, vf_add(half, half));
}

/* u = 2^k m with m in [sqrt(1/2), sqrt(2)), for positive normal u. */
static inline vf split_power(vf u, vi *k) {
    *k = vi_sar23(vi_sub(vf_bits(u), vi_set1(0x3f3504f3u))); /* the bits of sqrt(1/2) */
    return vi_as_float(vi_sub(vf_bits(u), vi_shl23(*k)));
}

/* log(2^k (1 + t)). */
static inline vf log_reduced(vf kf, vf t) {
    const vf low = vf_fma(vf_mul(t, t), ND_POLY(t, nd_log_q), vf_mul(kf, vf_set1(nd_ln2_lo)));
    return vf_fma(kf, vf_set1(nd_ln2_hi), vf_add(low, t));
}

/* log(1 + x) for finite x > -1: 1 + x = 2^k (1 + t), t rounded once; c is what rounding 1 + x to u lost. */
static inline vf log1p_finite(vf x) {
    const vf one = vf_set1(1.0f);
    const vf u = vf_add(x, one);
    const vf c = vf_blend(vf_lt(x, one), vf_sub(x, vf_sub(u, one)), vf_sub(one, vf_sub(u, x)));
    vi k;
    const vf m = split_power(u, &k);
    const vf scale = vf_pow2(vi_max(vi_sub(vi_set1(0), k), vi_set1((uint32_t)-126))); /* c is 0 where this clamps */
    return log_reduced(vi_to_float(k), vf_fma(c, scale, vf_sub(m, one)));
}

/* x scaled out of the subnormals; the power of two that was added goes to `shift`. */
static inline vf normal_part(vf x, vf *shift) {
    const vm tiny = vf_lt(x, vf_set1(0x1p-126f));
    *shift = vf_blend(tiny, vf_set1(24.0f), vf_set1(0.0f));
    return vf_blend(tiny, vf_mul(x, vf_set1(0x1p24f)), x);
}

static inline vf v_log(vf x) {
    const vf zero = vf_set1(0.0f);
    vf shift;
    vi k;
    const vf m = split_power(normal_part(x, &shift), &k);
    vf y = log_reduced(vf_sub(vi_to_float(k), shift), vf_sub(m, vf_set1(1.0f)));
    y = vf_blend(vf_lt(x, vf_set1(INFINITY)), y, x); /* inf and NaN give themselves */
    y = vf_blend(vf_lt(x, zero), vf_set1(NAN), y);
    return vf_blend(vf_eq(x, zero), vf_set1(-INFINITY), y);
}

static inline vf v_log1p(vf x) {
    const vf inf = vf_set1(INFINITY), minus_one = vf_set1(-1.0f);
    vf y = vf_blend(vf_lt(x, inf), log1p_finite(x), x); /* inf and NaN give themselves */
    y = vf_blend(vf_eq(x, vf_set1(0.0f)), x, y);
    y = vf_blend(vf_lt(x, minus_one), vf_set1(NAN), y);
    return vf_blend(vf_eq(x, minus_one), vf_neg(inf), y);
}

/* tanh |x| = h / (h + 1), h = (e^(2|x|) - 1) / 2. */
static inline vf v_tanh(vf x) {
    const vf a = at_most(vf_abs(x), 10.0f);
    const vf h = half_expm1(vf_add(a, a));
    return vf_copysign(vf_div(h, vf_add(h, vf_set1(1.0f))), x);
}

/* 1 / (1 + e^-x), with e^-|x| so that nothing overflows and the negative tail keeps its relative accuracy. */
static inline vf v_sigmoid(vf x) {
    const vf one = vf_set1(1.0f);
    const vf z = v_exp(vf_neg(vf_abs(x)));
    return vf_div(vf_blend(vf_lt(x, vf_set1(0.0f)), z, one), vf_add(one, z));
}

/* sigmoid(x), and 1 - sigmoid(x) without cancellation; for derivatives. One rounding more than v_sigmoid. */
static inline vf sigmoid_pair(vf x, vf *complement) {
    const vf one = vf_set1(1.0f);
    const vm negative = vf_lt(x, vf_set1(0.0f));
    const vf z = v_exp(vf_neg(vf_abs(x)));
    const vf r = vf_div(one, vf_add(one, z)), q = vf_mul(z, r);
    *complement = vf_blend(negative, r, q);
    return vf_blend(negative, q, r);
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). */
static inline vf v_softplus(vf x) {
    return vf_add(vf_max(vf_set1(0.0f), x), log1p_finite(v_exp(vf_neg(vf_abs(x)))));
}

/* e^-(s + e) for s >= 0 and an e that is far below 1. */
static inline vf exp_minus(vf s, vf e) {
    const vf y = v_exp(vf_neg(s));
    return vf_fnma(y, e, y);
}

/* e^(z^2) erfc(z) for 0 <= z <= 11. */
static inline vf erfcx(vf z) {
    const vf r = vf_div(vf_set1(1.0f), vf_add(z, vf_set1(2.0f)));
    return vf_mul(r, ND_POLY(vf_fnma(vf_set1(4.0f), r, vf_set1(1.0f)), nd_erfcx_p));
}

/* A polynomial below 1; 1 - erfc above, with z^2 kept in two parts. */
static inline vf v_erf(vf x) {
    const vf one = vf_set1(1.0f);
    const vf z = at_most(vf_abs(x), 10.0f);
    const vf s = vf_mul(z, z), e = vf_fma(z, z, vf_neg(s));
    const vf small = vf_fma(z, ND_POLY(s, nd_erf_p), z);
    const vf large = vf_fnma(exp_minus(s, e), erfcx(z), one);
    return vf_copysign(vf_blend(vf_lt(z, one), small, large), x);
}

/* e^(high + low) = 2^n (1 + m) for -150 <= high <= 89 and a low that is far below 1. */
static inline vf exp_parts(vf high, vf low, vi *n) {
    *n = vf_to_int(vf_mul(high, vf_set1(nd_log2_e)));
    const vf nf = vi_to_float(*n);
    const vf r = vf_add(vf_fnma(nf, vf_set1(nd_ln2_hi), high), vf_fnma(nf, vf_set1(nd_ln2_lo), low));
    return vf_fma(vf_mul(r, r), ND_POLY(r, nd_exp_q), r);
}

/* 2^n (1 + m) (t + low), rounded once but for what m lacks. */
static inline vf scaled(vf t, vf low, vf m, vi n) { return vf_ldexp(vf_add(t, vf_fma(t, m, low)), n); }

/* 1 / (a + c) for positive a and c, and what rounding it and the sum lost. */
static inline vf inverse_of_sum(vf a, vf c, vf *low) {
    const vf one = vf_set1(1.0f), d = vf_add(a, c), r = vf_div(one, d);
    const vf d_low = vf_sub(vf_min(a, c), vf_sub(d, vf_max(a, c)));
    *low = vf_mul(r, vf_fnma(d_low, r, vf_fnma(d, r, one)));
    return r;
}

/* erfc(z) for 1/2 <= z <= 10.5: e^(-z^2) p(y) / (z + 1.5), each factor with what its rounding lost. */
static inline vf erfc_tail(vf z) {
    const vf c = vf_set1(1.5f);
    const vf s = vf_mul(z, z), e = vf_fma(z, z, vf_neg(s));
    vi n;
    const vf m = exp_parts(vf_neg(s), vf_neg(e), &n);
    vf r_low;
    const vf r = inverse_of_sum(z, c, &r_low), k = vf_set1(3.0f);
    const vf y = vf_fnma(k, r_low, vf_fnma(k, r, vf_set1(1.0f)));
    const vf q = poly(y, nd_erfc_p + 1, nd_erfc_p_N - 1);
    const vf p = vf_fma(y, q, vf_set1(nd_erfc_p[0])), p_low = vf_fma(y, q, vf_sub(vf_set1(nd_erfc_p[0]), p));
    const vf t = vf_mul(r, p), t_low = vf_fma(r, p, vf_neg(t));
    return scaled(t, vf_add(t_low, vf_fma(r, p_low, vf_mul(r_low, p))), m, n);
}

/* 1 - erf below 1/2, the tail above; 2 - erfc(-x) on the left. */
static inline vf v_erfc(vf x) {
    const vf one = vf_set1(1.0f), half = vf_set1(0.5f), a = vf_abs(x);
    const vf near = vf_sub(one, vf_fma(x, ND_POLY(vf_mul(x, x), nd_erf_p), x));
    const vf tail = erfc_tail(at_most(vf_max(half, a), 10.5f)); /* a NaN gives `near` */
    const vf far = vf_blend(vf_lt(x, vf_set1(0.0f)), vf_sub(vf_set1(2.0f), tail), tail);
    return vf_blend(vf_le(half, a), far, near);
}

/* x Phi(x): x / 2 + x^2 q(x^2) near 0; elsewhere the tail t = a Phi(-a), a = |x|, and x - t on the right. */
static inline vf v_gelu(vf x) {
    const vf half = vf_set1(0.5f), least = vf_set1(0.625f), c = vf_set1(0x1.2cp1f), size = vf_abs(x);
    const vf square = vf_mul(x, x), near = vf_fma(square, ND_POLY(square, nd_gelu_q), vf_mul(half, x));
    const vf a = at_most(vf_max(least, size), 14.5f); /* the tail is 0 from here */
    const vf s = vf_mul(a, a), e = vf_fma(a, a, vf_neg(s));
    vi n;
    const vf m = exp_parts(vf_mul(s, vf_neg(half)), vf_mul(e, vf_neg(half)), &n);
    vf r_low;
    const vf r = inverse_of_sum(a, c, &r_low), k = vf_set1(0x1.2cp2f);
    const vf y = vf_fnma(k, r_low, vf_fnma(k, r, vf_set1(1.0f)));
    const vf q = poly(y, nd_gelu_t + 1, nd_gelu_t_N - 1);
    const vf t = vf_fma(y, q, vf_set1(nd_gelu_t[0])), t_low = vf_fma(y, q, vf_sub(vf_set1(nd_gelu_t[0]), t));
    const vf tail = scaled(t, t_low, m, n);
    const vf far = vf_blend(vf_lt(x, vf_set1(0.0f)), vf_neg(tail), vf_sub(x, tail));
    return vf_blend(vf_le(least, size), far, near);
}

/* z / (1 + e^w) for e^w = 2^n (1 + m), w <= 0, or z e^w / (1 + e^w) where z < 0: the gate of silu and of gelu's tanh form.
   The quotient is corrected by its remainder, so that numerator and denominator may have two parts. */
static inline vf gate(vf z, vf m, vi n) {
    const vf one = vf_set1(1.0f), zero = vf_set1(0.0f);
    const vm left = vf_lt(z, zero);
    const vf e = vf_ldexp(vf_add(one, m), n), d = vf_add(one, e), d_low = vf_sub(e, vf_sub(d, one));
    const vf grown = vf_fma(z, m, z), top = vf_blend(left, grown, z);
    const vf top_low = vf_blend(left, vf_fma(z, m, vf_sub(z, grown)), zero);
    const vf q = vf_div(top, d);
    const vf rest = vf_add(vf_fnma(q, d, top), vf_fnma(q, d_low, top_low));
    const vf inverse = vf_fnma(vf_set1(0.5f), d, vf_set1(1.457f)); /* 1 / d within 5 %: enough for the correction */
    const vf y = vf_fma(rest, inverse, q);
    return vf_blend(left, vf_ldexp(y, n), y);
}

/* x sigmoid(x). */
static inline vf v_silu(vf x) {
    vi n;
    const vf z = at_least(x, -110.0f); /* 0 from here; beyond 50 it is x itself */
    const vf m = exp_parts(vf_neg(at_most(vf_abs(x), 110.0f)), vf_set1(0.0f), &n);
    return vf_blend(vf_gt(x, vf_set1(50.0f)), x, gate(z, m, n));
}

/* x (1 + tanh(u)) / 2 = x sigmoid(2 u), 2 u = x (A + B x^2) in double, since its error grows with it. */
static inline vf v_gelu_tanh(vf x) {
    vi n;
    const vf a = at_most(vf_abs(x), 12.0f), z = at_least(x, -12.0f);
    const vd wide = vf_widen(a);
    const vd w = vd_mul(wide, vd_fma(vd_mul(wide, wide), vd_set1(-nd_d_gelu_b), vd_set1(-nd_d_gelu_a)));
    const vf high = vd_narrow(w), low = vd_narrow(vd_sub(w, vf_widen(high)));
    const vf m = exp_parts(high, low, &n);
    return vf_blend(vf_gt(x, vf_set1(12.0f)), x, gate(z, m, n));
}

/* Phi(x), the standard normal distribution function, accurate in the negative tail; e^(-x^2/2) goes to `bell`. */
static inline vf normal_cdf(vf x, vf *bell) {
    const vf half = vf_set1(0.5f);
    const vf a = at_most(vf_abs(x), 14.5f); /* the density is 0 in float32 from here */
    const vf s = vf_mul(a, a), e = vf_fma(a, a, vf_neg(s));
    *bell = exp_minus(vf_mul(half, s), vf_mul(half, e));
    const vf q = vf_mul(*bell, vf_mul(half, erfcx(vf_mul(a, vf_set1(nd_sqrt_half)))));
    return vf_blend(vf_lt(x, vf_set1(0.0f)), q, vf_sub(vf_set1(1.0f), q));
}

#include "math_trig.h"
#include "math_double.h"

#endif
