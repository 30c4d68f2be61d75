/* sin and cos of any float. x = n pi/2 + r: up to 2^15 by three fused steps (pi/2 in three floats; the first is exact), beyond
   by the bits of 2/pi that matter, in whole numbers, one lane at a time (Payne and Hanek 1983). */
#ifndef ND_MATH_TRIG_H
#define ND_MATH_TRIG_H

#define ND_TRIG_LIMIT 32768.0f

/* r in [-pi/4, pi/4] with |x| = n pi/2 + r (modulo 2 pi), for finite |x| >= 2^15; returns n modulo 4. */
static inline uint32_t reduce_large(float x, float *r) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    const uint64_t m = (bits & 0x7fffffu) | 0x800000u; /* |x| = m 2^e */
    const int e = (int)(bits >> 23 & 0xff) - 150;
    const int from = e + 31, shift = from & 31; /* bits of 2/pi above these give multiples of 4 */
    const uint32_t *w = nd_two_over_pi_bits + (from >> 5);
    uint64_t a[3];
    for (int i = 0; i < 3; i++) a[i] = (uint32_t)((((uint64_t)w[i] << 32 | w[i + 1]) << shift) >> 32);
    const uint64_t product = ((m * a[0]) << 32) + m * a[1] + ((m * a[2]) >> 32); /* m 2^e 2/pi in units of 2^-62, modulo 4 */
    const uint64_t n = (product + ((uint64_t)1 << 61)) >> 62;
    *r = (float)((double)(int64_t)(product - (n << 62)) * (0x1p-62 * 1.57079632679489661923));
    return (uint32_t)n;
}

static inline vf trig_reduce(vf x, vi *n) {
    *n = vf_to_int(vf_mul(x, vf_set1(nd_two_over_pi)));
    const vf nf = vi_to_float(*n);
    const vf exact = vf_fnma(nf, vf_set1(nd_half_pi_1), x);
    vf r = vf_fnma(nf, vf_set1(nd_half_pi_3), vf_fnma(nf, vf_set1(nd_half_pi_2), exact));
    if (vm_any(vf_gt(vf_abs(x), vf_set1(ND_TRIG_LIMIT)))) {
        float xs[ND_W], rs[ND_W], ns[ND_W];
        vf_store(xs, x);
        vf_store(rs, r);
        vf_store(ns, vi_to_float(*n));
        for (int i = 0; i < ND_W; i++) {
            if (!(fabsf(xs[i]) > ND_TRIG_LIMIT) || isinf(xs[i])) continue;
            ns[i] = (float)reduce_large(xs[i], &rs[i]);
            if (xs[i] < 0.0f) {
                ns[i] = -ns[i];
                rs[i] = -rs[i];
            }
        }
        r = vf_load(rs);
        *n = vf_to_int(vf_load(ns));
    }
    return r;
}

/* sin(n pi/2 + r). 1 - r^2/2 is taken with what its rounding lost. */
static inline vf trig_sine(vf r, vi n) {
    const vf one = vf_set1(1.0f);
    const vf s = vf_mul(r, r), h = vf_mul(vf_set1(0.5f), s), w = vf_sub(one, h);
    const vf sine = vf_fma(vf_mul(r, s), ND_POLY(s, nd_sin_q), r);
    const vf cosine = vf_add(w, vf_fma(vf_mul(s, s), ND_POLY(s, nd_cos_q), vf_sub(vf_sub(one, w), h)));
    const vf y = vf_blend(vi_ltu(vi_and(n, vi_set1(1)), vi_set1(1)), sine, cosine);
    return vf_blend(vi_ltu(vi_and(n, vi_set1(2)), vi_set1(2)), y, vf_neg(y));
}

static inline vf v_sin(vf x) {
    vi n;
    const vf r = trig_reduce(x, &n);
    const vf y = vf_blend(vf_lt(vf_abs(x), vf_set1(0x1p-13f)), x, trig_sine(r, n)); /* keeps the sign of zero, and subnormals */
    return vf_blend(vf_lt(vf_abs(x), vf_set1(INFINITY)), y, vf_set1(NAN));
}

static inline vf v_cos(vf x) {
    vi n;
    const vf r = trig_reduce(x, &n);
    return vf_blend(vf_lt(vf_abs(x), vf_set1(INFINITY)), trig_sine(r, vi_add(n, vi_set1(1))), vf_set1(NAN));
}

#endif
