/* pow, lgamma and digamma of floats, computed in double and rounded once. Coefficients: math_coef.h. */
#ifndef ND_MATH_DOUBLE_H
#define ND_MATH_DOUBLE_H

static inline vd poly_d(vd x, const double *c, int count) {
    vd y = vd_set1(c[count - 1]);
    ND_UNROLL
    for (int j = count - 2; j >= 0; j--) y = vd_fma(y, x, vd_set1(c[j]));
    return y;
}
#define ND_POLY_D(x, name) poly_d((x), name, name##_N)

/* log(x) for positive finite x, relative error 2^-43. */
static inline vd log_d(vf x) {
    vf shift;
    vi k;
    const vf m = split_power(normal_part(x, &shift), &k);
    const vd t = vf_widen(vf_sub(m, vf_set1(1.0f))); /* the difference is exact */
    const vd kf = vf_widen(vf_sub(vi_to_float(k), shift));
    return vd_fma(kf, vd_set1(nd_d_ln2), vd_mul(t, ND_POLY_D(t, nd_dlog_p)));
}

/* e^y rounded to float, relative error 2^-34 before that. */
static inline vf exp_d(vd y) {
    const vf low = vd_narrow(y), x = at_most(at_least(low, -105.0f), 90.0f);
    const vi n = vf_to_int(vf_mul(x, vf_set1(nd_log2_e)));
    const vd r = vd_fma(vf_widen(vi_to_float(n)), vd_set1(-nd_d_ln2), y);
    const vf e = vf_ldexp(vd_narrow(ND_POLY_D(r, nd_dexp_p)), n);
    const vf capped = vf_blend(vf_gt(low, vf_set1(89.5f)), vf_set1(INFINITY), e);
    return vf_blend(vf_lt(low, vf_set1(-104.5f)), vf_set1(0.0f), capped);
}

/* Whether x is a whole number (every float from 2^23 on is, and so are infinities). */
static inline vm is_whole(vf x) {
    const vf far = vf_set1(0x1p23f), a = vf_abs(x), near = vf_min(a, far);
    return vf_eq(vf_blend(vf_lt(a, far), vi_to_float(vf_to_int(near)), a), a);
}

/* a^b with the special values of IEEE 754: a^0 = 1^b = 1; a negative a takes whole b only. */
static inline vf v_pow(vf a, vf b) {
    const vf zero = vf_set1(0.0f), one = vf_set1(1.0f), inf = vf_set1(INFINITY), nan = vf_set1(NAN);
    const vf x = vf_abs(a);
    const vf rising = vf_blend(vf_gt(b, zero), inf, vf_blend(vf_lt(b, zero), zero, b)); /* inf^b; |b| = NaN stays */
    const vf falling = vf_blend(vf_gt(b, zero), zero, vf_blend(vf_lt(b, zero), inf, b)); /* 0^b */
    vf y = exp_d(vd_mul(vf_widen(b), log_d(x)));
    y = vf_blend(vf_eq(x, one), vf_blend(vf_eq(b, b), one, b), y); /* 1^inf would be e^NaN */
    y = vf_blend(vf_lt(x, inf), y, vf_blend(vf_eq(x, inf), rising, x));
    y = vf_blend(vf_eq(x, zero), falling, y);
    const vf odd = vf_blend(is_whole(vf_mul(b, vf_set1(0.5f))), y, vf_neg(y)); /* b whole */
    const vf broken = vf_blend(vf_lt(x, inf), vf_blend(vf_eq(x, zero), y, nan), y);
    const vf left = vf_blend(is_whole(b), odd, broken);
    y = vf_blend(vf_lt(vf_copysign(one, a), zero), left, y);
    return vf_blend(vf_eq(b, zero), one, vf_blend(vf_eq(a, one), one, y));
}

/* For a > 0: the argument moved into [1, 3] where it is below 3 (lgamma and digamma have zeros there), less 2. */
static inline vd gamma_offset(vf a) {
    const vf one = vf_set1(1.0f);
    return vd_add(vf_widen(a), vf_widen(vf_blend(vf_lt(a, one), vf_neg(one), vf_set1(-2.0f))));
}

/* The case of a > 0: below 3, below 8, or above. */
static inline vd gamma_cases(vf a, vd low, vd middle, vd high) {
    return vd_blend(vf_lt(a, vf_set1(3.0f)), low, vd_blend(vf_lt(a, vf_set1(8.0f)), middle, high));
}

/* lgamma(a) for a > 0: polynomials below 8, Stirling's series above. */
static inline vd lgamma_positive(vf a) {
    const vd x = vf_widen(a), u = gamma_offset(a), log_a = log_d(a);
    const vd near = vd_mul(vd_mul(u, vd_add(u, vd_set1(1.0))), ND_POLY_D(u, nd_lgamma_a));
    const vd low = vd_blend(vf_lt(a, vf_set1(1.0f)), vd_sub(near, log_a), near);
    const vd middle = ND_POLY_D(vd_sub(x, vd_set1(5.5)), nd_lgamma_b);
    const vd r = vd_div(vd_set1(1.0), x);
    const vd series = vd_fma(r, ND_POLY_D(vd_mul(r, r), nd_stirling), vd_set1(nd_d_half_log_2pi));
    const vd high = vd_fma(vd_sub(x, vd_set1(0.5)), log_a, vd_sub(series, x));
    return gamma_cases(a, low, middle, high);
}

/* digamma(a) for a > 0. */
static inline vd digamma_positive(vf a) {
    const vd one = vd_set1(1.0), x = vf_widen(a), u = gamma_offset(a), r = vd_div(one, x), s = vd_mul(r, r);
    const vd from_zero = vd_sub(vd_add(u, vd_set1(2.0 - nd_d_digamma_zero)), vd_set1(nd_d_digamma_zero_lo));
    const vd near = vd_mul(from_zero, ND_POLY_D(u, nd_digamma_a));
    const vd low = vd_blend(vf_lt(a, vf_set1(1.0f)), vd_sub(near, r), near);
    const vd middle = ND_POLY_D(vd_sub(x, vd_set1(5.5)), nd_digamma_b);
    const vd series = vd_fma(s, ND_POLY_D(s, nd_digamma_series), vd_mul(r, vd_set1(-0.5)));
    return gamma_cases(a, low, middle, vd_add(log_d(a), series));
}

/* The distance of a >= 0 from the nearest whole number; exact. */
static inline vf off_whole(vf a) {
    const vf far = vf_set1(0x1p23f);
    return vf_blend(vf_lt(a, far), vf_sub(a, vi_to_float(vf_to_int(vf_min(a, far)))), vf_set1(0.0f));
}

/* log |Gamma(-a)| = log(pi) - log(a) - log |sin(pi a)| - log Gamma(a), for a > 0. */
static inline vd lgamma_reflected(vf a, vd positive) {
    const vf off = off_whole(a);
    const vd r = vf_widen(vf_abs(off)), sine = vd_mul(r, ND_POLY_D(vd_mul(r, r), nd_dsin_p));
    const vf rounded = vd_narrow(sine);
    const vd lost = vd_div(vd_sub(sine, vf_widen(rounded)), vf_widen(rounded)); /* the log of sine / rounded */
    const vd log_sine = vd_add(log_d(rounded), lost);
    return vd_sub(vd_sub(vd_sub(vd_set1(nd_d_log_pi), log_d(a)), log_sine), positive);
}

static inline vf v_lgamma(vf x) {
    const vf a = vf_abs(x), zero = vf_set1(0.0f), inf = vf_set1(INFINITY);
    const vd positive = lgamma_positive(a);
    vf y = vd_narrow(positive);
    if (vm_any(vf_lt(x, zero))) {
        const vf left = vf_blend(vf_eq(off_whole(a), zero), inf, vd_narrow(lgamma_reflected(a, positive)));
        y = vf_blend(vf_lt(x, zero), left, y);
    }
    return vf_blend(vf_eq(a, zero), inf, vf_blend(vf_lt(a, inf), vf_add(y, zero), a)); /* + 0: no -0 at 1 */
}

static inline vf v_digamma(vf x) {
    const vf a = vf_abs(x), zero = vf_set1(0.0f), inf = vf_set1(INFINITY), nan = vf_set1(NAN);
    const vd positive = digamma_positive(a);
    vf y = vd_narrow(positive);
    if (vm_any(vf_lt(x, zero))) { /* digamma(-a) = digamma(a) + 1 / a + pi cot(pi a) */
        const vf off = off_whole(a);
        const vd r = vf_widen(off), s = vd_mul(r, r);
        const vd cot = vd_div(ND_POLY_D(s, nd_dcos_p), vd_mul(r, ND_POLY_D(s, nd_dsin_p)));
        const vd sum = vd_add(positive, vd_div(vd_set1(1.0), vf_widen(a)));
        const vf left = vf_blend(vf_eq(off, zero), nan, vd_narrow(vd_fma(cot, vd_set1(nd_d_pi), sum)));
        y = vf_blend(vf_lt(x, zero), left, y);
    }
    return vf_blend(vf_eq(a, zero), vf_copysign(inf, vf_neg(x)), vf_blend(vf_lt(a, inf), y, vf_blend(vf_gt(x, zero), x, nan)));
}

#endif
