/* Windows in whole registers: lanes are windows. For windows of 2, 4, 8 and 16 elements that tile a row, registers are
   split into the places of a window (and joined again) by log2(kernel) rounds of taking even and odd elements. The
   functions return how many windows (or elements) they have done; the caller does the rest one by one. */

/* Where the rounds put place j of a window of k. */
static inline int pool_slot(int k, int j) {
    int slot = 0;
    for (int h = k; h > 1; h /= 2, j /= 2) slot += (j & 1) * (h / 2);
    return slot;
}

static inline void pool_split(const int k, const float *x, vf *p) {
    vf t[16];
    ND_UNROLL
    for (int j = 0; j < k; j++) p[j] = vf_load(x + j * ND_W);
    ND_UNROLL
    for (int h = k; h > 1; h /= 2) {
        ND_UNROLL
        for (int q = 0; q < k / 2; q++) {
            const int group = q / (h / 2) * h, at = q % (h / 2);
            vf_unzip(p[group + 2 * at], p[group + 2 * at + 1], &t[group + at], &t[group + h / 2 + at]);
        }
        ND_UNROLL
        for (int j = 0; j < k; j++) p[j] = t[j];
    }
}

static inline void pool_join(const int k, vf *p, float *x) {
    vf t[16];
    ND_UNROLL
    for (int h = 2; h <= k; h *= 2) {
        ND_UNROLL
        for (int q = 0; q < k / 2; q++) {
            const int group = q / (h / 2) * h, at = q % (h / 2);
            vf_zip(p[group + at], p[group + h / 2 + at], &t[group + 2 * at], &t[group + 2 * at + 1]);
        }
        ND_UNROLL
        for (int j = 0; j < k; j++) p[j] = t[j];
    }
    ND_UNROLL
    for (int j = 0; j < k; j++) vf_store(x + j * ND_W, p[j]);
}

static inline int64_t pool_max_k(const int k, int64_t m, const float *x, float *y) {
    int64_t i = 0;
    for (; i + ND_W <= m; i += ND_W) {
        vf p[16];
        pool_split(k, x + i * k, p);
        vf best = p[0];
        ND_UNROLL
        for (int j = 1; j < k; j++) best = pool_larger(best, p[pool_slot(k, j)]);
        vf_store(y + i, best);
    }
    return i;
}

static inline int64_t pool_max_bwd_k(const int k, int64_t m, const float *g, const float *x, float *gx) {
    const vf zero = vf_set1(0.0f);
    int64_t i = 0;
    for (; i + ND_W <= m; i += ND_W) {
        vf p[16];
        pool_split(k, x + i * k, p);
        vf best = p[0], place = zero;
        ND_UNROLL
        for (int j = 1; j < k; j++) {
            const vf at = p[pool_slot(k, j)], here = vf_set1((float)j);
            const vf number = vf_blend(vf_gt(at, best), here, place), nan = vf_blend(vf_eq(best, best), here, place);
            place = vf_blend(vf_eq(at, at), number, nan);
            best = pool_larger(best, at);
        }
        const vf u = vf_add(vf_load(g + i), zero); /* as a sum that starts from 0 */
        ND_UNROLL
        for (int j = 0; j < k; j++) p[pool_slot(k, j)] = vf_blend(vf_eq(place, vf_set1((float)j)), u, zero);
        pool_join(k, p, gx + i * k);
    }
    return i;
}

static inline int64_t pool_mean_k(const int k, int64_t m, const float *x, float *y, float share) {
    int64_t i = 0;
    for (; i + ND_W <= m; i += ND_W) {
        vf p[16], sum = vf_set1(0.0f);
        pool_split(k, x + i * k, p);
        ND_UNROLL
        for (int j = 0; j < k; j++) sum = vf_add(sum, p[pool_slot(k, j)]);
        vf_store(y + i, vf_mul(sum, vf_set1(share)));
    }
    return i;
}

static inline int64_t pool_spread_k(const int k, int64_t m, const float *g, float *gx, float share) {
    int64_t i = 0;
    for (; i + ND_W <= m; i += ND_W) {
        vf p[16];
        const vf u = vf_add(vf_mul(vf_load(g + i), vf_set1(share)), vf_set1(0.0f));
        ND_UNROLL
        for (int j = 0; j < k; j++) p[j] = u;
        pool_join(k, p, gx + i * k);
    }
    return i;
}

#define POOL_BY_KERNEL(call)         \
    switch (kernel) {                \
        case 2: return call(2);      \
        case 4: return call(4);      \
        case 8: return call(8);      \
        case 16: return call(16);    \
        default: return 0;           \
    }

static int64_t pool_max_blocks(int64_t m, int64_t kernel, const float *x, float *y) {
#define POOL_CALL(k) pool_max_k(k, m, x, y)
    POOL_BY_KERNEL(POOL_CALL)
#undef POOL_CALL
}

static int64_t pool_max_bwd_blocks(int64_t m, int64_t kernel, const float *g, const float *x, float *gx) {
#define POOL_CALL(k) pool_max_bwd_k(k, m, g, x, gx)
    POOL_BY_KERNEL(POOL_CALL)
#undef POOL_CALL
}

static int64_t pool_mean_blocks(int64_t m, int64_t kernel, const float *x, float *y, float share) {
#define POOL_CALL(k) pool_mean_k(k, m, x, y, share)
    POOL_BY_KERNEL(POOL_CALL)
#undef POOL_CALL
}

static int64_t pool_spread_blocks(int64_t m, int64_t kernel, const float *g, float *gx, float share) {
#define POOL_CALL(k) pool_spread_k(k, m, g, gx, share)
    POOL_BY_KERNEL(POOL_CALL)
#undef POOL_CALL
}

/* x[0], x[stride], ..., of which ND_W are inside; `room` elements may be read. */
static inline vf pool_gather(const float *x, int64_t stride, int64_t room) {
    if (stride == 1) return vf_load(x);
    if (stride == 2 && room >= 2 * ND_W) {
        vf even, odd;
        vf_unzip(vf_load(x), vf_load(x + ND_W), &even, &odd);
        return even;
    }
    float t[ND_W];
    for (int l = 0; l < ND_W; l++) t[l] = x[l * stride];
    return vf_load(t);
}

/* y[i] = scale (x[i] + x[i + step] + ... in order, `kernel` terms), four registers at a time; step is 1 or -1. */
static inline int64_t pool_sum_dense(int64_t n, int64_t kernel, int64_t step, const float *x, float *y, vf scale) {
    int64_t i = 0;
    for (; i + 4 * ND_W <= n; i += 4 * ND_W) {
        vf a = vf_set1(0.0f), b = a, c = a, d = a;
        const float *from = x + i;
        for (int64_t j = 0; j < kernel; j++, from += step) {
            a = vf_add(a, vf_load(from));
            b = vf_add(b, vf_load(from + ND_W));
            c = vf_add(c, vf_load(from + 2 * ND_W));
            d = vf_add(d, vf_load(from + 3 * ND_W));
        }
        vf_store(y + i, vf_mul(a, scale));
        vf_store(y + i + ND_W, vf_mul(b, scale));
        vf_store(y + i + 2 * ND_W, vf_mul(c, scale));
        vf_store(y + i + 3 * ND_W, vf_mul(d, scale));
    }
    for (; i < n; i += ND_W) {
        const int left = n - i < ND_W ? (int)(n - i) : ND_W;
        vf a = vf_set1(0.0f);
        for (int64_t j = 0; j < kernel; j++) a = vf_add(a, load_left(x + i + j * step, left));
        store_left(y + i, vf_mul(a, scale), left);
    }
    return n;
}
