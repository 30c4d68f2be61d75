/* The complex transform: decimation in time, in place, after the digits of the index have been reversed. Element i is
   two registers (real, imaginary) whose lanes are different transforms. A stage of radix r joins r transforms of length
   m: elements j m + k, times exp(-2 pi i j k / (r m)), go through a transform of length r. */

typedef struct {
    vf re, im;
} fft_pair;

static inline fft_pair fft_load(const float *p) { return (fft_pair){vf_load(p), vf_load(p + ND_W)}; }

static inline void fft_store(float *p, fft_pair a) {
    vf_store(p, a.re);
    vf_store(p + ND_W, a.im);
}

static inline fft_pair fft_add(fft_pair a, fft_pair b) { return (fft_pair){vf_add(a.re, b.re), vf_add(a.im, b.im)}; }
static inline fft_pair fft_sub(fft_pair a, fft_pair b) { return (fft_pair){vf_sub(a.re, b.re), vf_sub(a.im, b.im)}; }
static inline fft_pair fft_scale(fft_pair a, vf s, fft_pair b) { /* a s + b */
    return (fft_pair){vf_fma(a.re, s, b.re), vf_fma(a.im, s, b.im)};
}
static inline fft_pair fft_plus_i(fft_pair a, fft_pair b) { /* a + i b */
    return (fft_pair){vf_sub(a.re, b.im), vf_add(a.im, b.re)};
}
static inline fft_pair fft_minus_i(fft_pair a, fft_pair b) { /* a - i b */
    return (fft_pair){vf_add(a.re, b.im), vf_sub(a.im, b.re)};
}

/* Element p times cos - i sin, factors that lie at w; without factors where w is NULL. */
static inline fft_pair fft_turn(const float *p, const float *w) {
    const fft_pair a = fft_load(p);
    if (!w) return a;
    const vf c = vf_set1(w[0]), s = vf_set1(w[1]);
    return (fft_pair){vf_fma(a.im, s, vf_mul(a.re, c)), vf_fnma(a.re, s, vf_mul(a.im, c))};
}

static inline void fft_2(float *p, int64_t step, const float *w) {
    const fft_pair a = fft_load(p), b = fft_turn(p + step, w);
    fft_store(p, fft_add(a, b));
    fft_store(p + step, fft_sub(a, b));
}

static inline void fft_3(float *p, int64_t step, const float *w) {
    const fft_pair a = fft_load(p), b = fft_turn(p + step, w), c = fft_turn(p + 2 * step, w ? w + 2 : 0);
    const fft_pair sum = fft_add(b, c), d = fft_sub(b, c);
    const vf root = vf_set1(0.866025403784438646763f);
    const fft_pair mid = fft_scale(sum, vf_set1(-0.5f), a), turned = {vf_mul(d.re, root), vf_mul(d.im, root)};
    fft_store(p, fft_add(a, sum));
    fft_store(p + step, fft_minus_i(mid, turned));
    fft_store(p + 2 * step, fft_plus_i(mid, turned));
}

static inline void fft_4(float *p, int64_t step, const float *w) {
    const fft_pair a = fft_load(p), b = fft_turn(p + step, w), c = fft_turn(p + 2 * step, w ? w + 2 : 0);
    const fft_pair d = fft_turn(p + 3 * step, w ? w + 4 : 0);
    const fft_pair even = fft_add(a, c), odd = fft_add(b, d), low = fft_sub(a, c), high = fft_sub(b, d);
    fft_store(p, fft_add(even, odd));
    fft_store(p + step, fft_minus_i(low, high));
    fft_store(p + 2 * step, fft_sub(even, odd));
    fft_store(p + 3 * step, fft_plus_i(low, high));
}

static inline void fft_5(float *p, int64_t step, const float *w) {
    const vf c1 = vf_set1(0.309016994374947424102f), c2 = vf_set1(-0.809016994374947424102f);
    const vf s1 = vf_set1(0.951056516295153572116f), s2 = vf_set1(0.587785252292473129169f);
    const fft_pair a = fft_load(p), b = fft_turn(p + step, w), c = fft_turn(p + 2 * step, w ? w + 2 : 0);
    const fft_pair d = fft_turn(p + 3 * step, w ? w + 4 : 0), e = fft_turn(p + 4 * step, w ? w + 6 : 0);
    const fft_pair be = fft_add(b, e), cd = fft_add(c, d), bme = fft_sub(b, e), cmd = fft_sub(c, d);
    const fft_pair m1 = fft_scale(be, c1, fft_scale(cd, c2, a)), m2 = fft_scale(be, c2, fft_scale(cd, c1, a));
    const fft_pair t1 = {vf_mul(cmd.re, s2), vf_mul(cmd.im, s2)}, t2 = {vf_mul(cmd.re, s1), vf_mul(cmd.im, s1)};
    const fft_pair n1 = fft_scale(bme, s1, t1);
    const fft_pair n2 = {vf_fma(bme.re, s2, vf_neg(t2.re)), vf_fma(bme.im, s2, vf_neg(t2.im))};
    fft_store(p, fft_add(a, fft_add(be, cd)));
    fft_store(p + step, fft_minus_i(m1, n1));
    fft_store(p + 2 * step, fft_minus_i(m2, n2));
    fft_store(p + 3 * step, fft_plus_i(m2, n2));
    fft_store(p + 4 * step, fft_plus_i(m1, n1));
}

/* Any odd r by its definition, with sums and differences of elements j and r - j; `held` has room for r elements. */
static void fft_any(float *p, int64_t step, const float *w, int64_t r, const float *table, float *held) {
    const fft_pair a = fft_load(p);
    const int64_t half = r / 2;
    fft_pair total = a;
    for (int64_t j = 1; j <= half; j++) {
        const fft_pair b = fft_turn(p + j * step, w ? w + 2 * (j - 1) : 0);
        const fft_pair c = fft_turn(p + (r - j) * step, w ? w + 2 * (r - j - 1) : 0);
        const fft_pair sum = fft_add(b, c);
        fft_store(held + 2 * ND_W * (2 * j - 2), sum);
        fft_store(held + 2 * ND_W * (2 * j - 1), fft_sub(b, c));
        total = fft_add(total, sum);
    }
    fft_store(p, total);
    for (int64_t q = 1; q <= half; q++) {
        fft_pair even = a, odd = {vf_set1(0.0f), vf_set1(0.0f)};
        for (int64_t j = 1, at = q; j <= half; j++, at = at + q < r ? at + q : at + q - r) {
            even = fft_scale(fft_load(held + 2 * ND_W * (2 * j - 2)), vf_set1(table[2 * at]), even);
            odd = fft_scale(fft_load(held + 2 * ND_W * (2 * j - 1)), vf_set1(table[2 * at + 1]), odd);
        }
        fft_store(p + q * step, fft_minus_i(even, odd));
        fft_store(p + (r - q) * step, fft_plus_i(even, odd));
    }
}

#define FFT_STAGE(call)                                                                                               \
    for (int64_t base = 0; base < length; base += r * m) {                                                            \
        const float *f = w;                                                                                           \
        for (int64_t k = 0; k < m; k++) {                                                                             \
            float *p = z + (base + k) * 2 * ND_W;                                                                     \
            if (m == 1) call(p, step, 0 FFT_MORE);                                                                    \
            else call(p, step, f FFT_MORE);                                                                           \
            f += 2 * (r - 1);                                                                                         \
        }                                                                                                             \
    }

static void fft_stages(const fft_shape *s, const fft_tables *t, float *z, float *held) {
    const int64_t length = s->length;
    const float *w = t->stage, *table = t->generic;
    int64_t m = 1;
    for (int i = 0; i < s->stages; i++) {
        const int64_t r = s->radix[i], step = m * 2 * ND_W;
#define FFT_MORE
        if (r == 2) FFT_STAGE(fft_2)
        else if (r == 3) FFT_STAGE(fft_3)
        else if (r == 4) FFT_STAGE(fft_4)
        else if (r == 5) FFT_STAGE(fft_5)
#undef FFT_MORE
#define FFT_MORE , r, table, held
        else FFT_STAGE(fft_any)
#undef FFT_MORE
        if (m > 1) w += 2 * (r - 1) * m;
        if (r > 5) table += 2 * r;
        m *= r;
    }
}

/* From the transform Z of (x_0 + i x_1, x_2 + i x_3, ...) to that of x: with E, O the halves of Z_k +- conj(Z_(N-k)),
   X_k = E - i exp(-2 pi i k / n) O and X_(N-k) its mirror image. In place; there is room for bin N. */
static void fft_untangle(const fft_shape *s, const fft_tables *t, float *z) {
    const int64_t n = s->length;
    const vf half = vf_set1(0.5f), zero = vf_set1(0.0f);
    const fft_pair first = fft_load(z);
    fft_store(z, (fft_pair){vf_add(first.re, first.im), zero});
    fft_store(z + n * 2 * ND_W, (fft_pair){vf_sub(first.re, first.im), zero});
    for (int64_t k = 1; k <= n - k; k++) {
        float *p = z + k * 2 * ND_W, *q = z + (n - k) * 2 * ND_W;
        const fft_pair a = fft_load(p), b = fft_load(q);
        const vf er = vf_mul(half, vf_add(a.re, b.re)), ei = vf_mul(half, vf_sub(a.im, b.im));
        const vf re = vf_mul(half, vf_add(a.im, b.im)), im = vf_mul(half, vf_sub(b.re, a.re));
        const vf c = vf_set1(t->between[2 * k]), d = vf_set1(t->between[2 * k + 1]);
        const vf tr = vf_fma(im, d, vf_mul(re, c)), ti = vf_fnma(re, d, vf_mul(im, c));
        fft_store(p, (fft_pair){vf_add(er, tr), vf_add(ei, ti)});
        fft_store(q, (fft_pair){vf_sub(er, tr), vf_sub(ti, ei)});
    }
}

/* The other way: bins x to the input of the stages at z, real and imaginary parts exchanged so that the same stages
   give the inverse, and with the factor 1 / n. */
static void fft_tangle(const fft_shape *s, const fft_tables *t, const float *x, float *z) {
    const int64_t n = s->length, *slot = t->slot + s->n;
    const vf share = vf_set1((float)(1.0 / (double)s->n));
    for (int64_t k = 0; k <= n - k; k++) {
        const fft_pair a = fft_load(x + k * 2 * ND_W), b = fft_load(x + (n - k) * 2 * ND_W);
        const vf er = vf_mul(share, vf_add(a.re, b.re)), ei = vf_mul(share, vf_sub(a.im, b.im));
        const vf re = vf_mul(share, vf_sub(a.re, b.re)), im = vf_mul(share, vf_add(a.im, b.im));
        const vf c = vf_set1(t->between[2 * k]), d = vf_set1(t->between[2 * k + 1]);
        const vf tr = vf_fnma(im, d, vf_mul(re, c)), ti = vf_fma(re, d, vf_mul(im, c)); /* O exp(2 pi i k / n) */
        fft_store(z + slot[k] * ND_W, (fft_pair){vf_add(ei, tr), vf_sub(er, ti)});
        if (k > 0) fft_store(z + slot[n - k] * ND_W, (fft_pair){vf_sub(tr, ei), vf_add(er, ti)});
    }
}

/* The same for odd n: the whole spectrum, its second half the mirror image of the first. */
static void fft_mirror(const fft_shape *s, const fft_tables *t, const float *x, float *z) {
    const int64_t n = s->n, *slot = t->slot + s->n;
    const vf share = vf_set1((float)(1.0 / (double)n));
    for (int64_t k = 0; k <= n / 2; k++) {
        const fft_pair a = fft_load(x + k * 2 * ND_W);
        const vf re = vf_mul(share, a.re), im = vf_mul(share, a.im);
        fft_store(z + slot[k] * ND_W, (fft_pair){im, re});
        if (k > 0) fft_store(z + slot[n - k] * ND_W, (fft_pair){vf_neg(im), re});
    }
}
