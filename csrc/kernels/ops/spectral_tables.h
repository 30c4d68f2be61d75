/* The tables of a transform: where each value goes before the stages, and sines and cosines. */

/* cos and sin of 2 pi j / n for 0 <= j < n: whole octants apart, Taylor's polynomials on an eighth of a turn; the error
   is below 2^-52, far below the float's. Plain products and sums of doubles, which are the same on every processor. */
static void fft_unit(int64_t j, int64_t n, float *cosine, float *sine) {
    static const double c[9] = {-1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600,
                                -1.0 / 87178291200, 1.0 / 20922789888000, -1.0 / 6402373705728000};
    static const double s[9] = {-1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800,
                                -1.0 / 1307674368000, 1.0 / 355687428096000, -1.0 / 121645100408832000};
    const int octant = (int)(8 * j / n);
    const int64_t rest = 8 * j - octant * n, part = octant % 2 ? n - rest : rest;
    const double x = 0.78539816339744830962 * ((double)part / (double)n), z = x * x;
    double even = c[8], odd = s[8];
    for (int i = 7; i >= 0; i--) {
        even = even * z + c[i];
        odd = odd * z + s[i];
    }
    const float a = (float)(even * z + 1.0), b = (float)(odd * z * x + x);
    const int swap = octant == 1 || octant == 2 || octant == 5 || octant == 6;
    const float u = swap ? b : a, v = swap ? a : b;
    *cosine = octant >= 2 && octant <= 5 ? -u : u;
    *sine = octant >= 4 ? -v : v;
}

/* persist: slot of each of the n values (or, for an inverse, of each of `length` bins), the factors of the stages,
   those between bins k and length - k, and tables of the generic radices. */
typedef struct {
    const int64_t *slot;
    const float *stage, *between, *generic;
} fft_tables;

static fft_tables fft_find(const fft_shape *s, const void *persist) {
    fft_tables t;
    t.slot = persist;
    t.stage = (const float *)(const void *)(t.slot + s->n + s->length);
    t.between = t.stage + 2 * s->length;
    t.generic = t.between + 2 * s->bins;
    return t;
}

/* Where element t of the complex transform lies before the first stage: its digits reversed. */
static int64_t fft_reverse(const fft_shape *s, int64_t t) {
    int64_t block = s->length, at = 0;
    for (int i = s->stages - 1; i >= 0; i--) {
        block /= s->radix[i];
        at += t % s->radix[i] * block;
        t /= s->radix[i];
    }
    return at;
}

static int32_t fft_pack(const nd_call *c, int inverse, void *persist) {
    fft_shape s;
    const int32_t status = fft_read(c, inverse, &s);
    ND_REQUIRE(status == ND_OK, status);
    int64_t *slot = persist;
    float *stage = (float *)(void *)(slot + s.n + s.length), *between = stage + 2 * s.length;
    float *generic = between + 2 * s.bins;
    for (int64_t t = 0; t < s.n; t++) slot[t] = s.n % 2 ? 2 * fft_reverse(&s, t) : 2 * fft_reverse(&s, t / 2) + t % 2;
    for (int64_t t = 0; t < s.length; t++) slot[s.n + t] = 2 * fft_reverse(&s, t);
    for (int64_t k = 0; k < s.bins; k++) fft_unit(k, s.n, &between[2 * k], &between[2 * k + 1]);
    int64_t m = 1;
    for (int i = 0; i < s.stages; i++) {
        const int64_t r = s.radix[i];
        for (int64_t k = 0; m > 1 && k < m; k++)
            for (int64_t j = 1; j < r; j++, stage += 2) fft_unit(j * k, r * m, stage, stage + 1);
        for (int64_t j = 0; r > 5 && j < r; j++, generic += 2) fft_unit(j, r, generic, generic + 1);
        m *= r;
    }
    return ND_OK;
}
