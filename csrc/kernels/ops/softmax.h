/* softmax(x [*A, n]) -> y [*A, n]: along the last axis, y = exp(x - top) / sum of exp(x - top), top the largest of the
 *     row (0 where that is not finite, so that a row with +inf or a NaN, or of -inf alone, follows from the formula).
 * log_softmax(x) -> y: x - top - log(sum of exp(x - top)).
 * softmax_bwd(g, y) -> y (g - sum of g y);  log_softmax_bwd(g, y) -> g - exp(y) (sum of g).
 *
 * Dense float32, no attributes. The output may be any input. Sums on 16 lanes and the fixed tree; rows run in parallel.
 * The division is a product with the reciprocal of the sum: 1 ULP more than a division, at a fraction of its time.
 */
#include "norm_rows.h"

/* The largest element, or 0 where that is not finite. NaNs are passed over. n >= 1. */
static float softmax_top(int64_t n, const float *x) {
    const vf low = vf_set1(-INFINITY);
    lanes16 top;
    int64_t i = 0;
    ND_UNROLL
    for (int k = 0; k < ND_REGS; k++) top.r[k] = low;
    for (; i + ND_LANES <= n; i += ND_LANES) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) top.r[k] = vf_max(vf_load(x + i + k * ND_W), top.r[k]);
    }
    if (i < n) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) top.r[k] = vf_max(load_tail(x + i, (int)(n - i), k, low), top.r[k]);
    }
    ND_UNROLL
    for (int k = 1; k < ND_REGS; k++) top.r[0] = vf_max(top.r[0], top.r[k]);
    const float most = vf_top(top.r[0]);
    return most - most == 0.0f ? most : 0.0f;
}

/* The sum of exp(x - top), which also go to `out` where it is not NULL. */
static float softmax_exp(int64_t n, const float *x, float top, float *out) {
    const vf m = vf_set1(top), zero = vf_set1(0.0f);
    lanes16 acc = lanes_zero();
    int64_t i = 0;
    for (; i + ND_LANES <= n; i += ND_LANES) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) {
            const vf e = v_exp(vf_sub(vf_load(x + i + k * ND_W), m));
            acc.r[k] = vf_add(acc.r[k], e);
            if (out) vf_store(out + i + k * ND_W, e);
        }
    }
    if (i < n) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) {
            const int left = (int)(n - i) - k * ND_W;
            if (left <= 0) continue;
            const int part = left < ND_W ? left : ND_W;
            const vf e = v_exp(vf_sub(load_left(x + i + k * ND_W, part), m));
            const vm valid = vi_ltu(vi_iota(), vi_set1((uint32_t)part));
            acc.r[k] = vf_add(acc.r[k], vf_blend(valid, e, zero));
            if (out) store_left(out + i + k * ND_W, e, part);
        }
    }
    return lanes_sum(acc);
}

static void softmax_rows(const rows_work *w, int64_t first, int64_t end, int worker) {
    const int64_t n = w->call->k[1];
    (void)worker;
    for (int64_t r = first; r < end; r++) {
        const float *x = (const float *)w->data[0] + r * n;
        float *y = (float *)w->data[1] + r * n;
        const vf scale = vf_set1(1.0f / softmax_exp(n, x, softmax_top(n, x), y));
        int64_t i = 0;
        for (; i + ND_W <= n; i += ND_W) vf_store(y + i, vf_mul(vf_load(y + i), scale));
        if (i < n) vf_store_part(y + i, vf_mul(vf_load_part(y + i, (int)(n - i)), scale), (int)(n - i));
    }
}

static void log_softmax_rows(const rows_work *w, int64_t first, int64_t end, int worker) {
    const int64_t n = w->call->k[1];
    float top[ND_LANES], lse[ND_LANES];
    (void)worker;
    for (int64_t r = first; r < end; r += ND_LANES) { /* as many logarithms at a time */
        const int rows = end - r < ND_LANES ? (int)(end - r) : ND_LANES;
        const float *x = (const float *)w->data[0] + r * n;
        float *y = (float *)w->data[1] + r * n;
        for (int l = 0; l < ND_LANES; l++) { /* the sum is at least 1 where it is finite, so that sum - 1 is exact */
            top[l] = l < rows ? softmax_top(n, x + l * n) : 0.0f;
            lse[l] = l < rows ? softmax_exp(n, x + l * n, top[l], 0) - 1.0f : 0.0f;
        }
        ND_UNROLL
        for (int k = 0; k < ND_LANES; k += ND_W) vf_store(lse + k, v_log1p(vf_load(lse + k)));
        for (int l = 0; l < rows; l++, x += n, y += n) {
            const vf m = vf_set1(top[l]), log_sum = vf_set1(lse[l]);
            for (int64_t i = 0; i < n; i += ND_W) {
                const int left = n - i < ND_W ? (int)(n - i) : ND_W;
                store_left(y + i, vf_sub(vf_sub(load_left(x + i, left), m), log_sum), left);
            }
        }
    }
}

/* The sum of a b, or of a where b is NULL. */
static float softmax_dot(int64_t n, const float *a, const float *b) {
    const vf zero = vf_set1(0.0f), one = vf_set1(1.0f);
    lanes16 acc = lanes_zero();
    int64_t i = 0;
    for (; i + ND_LANES <= n; i += ND_LANES) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++)
            acc.r[k] = vf_fma(vf_load(a + i + k * ND_W), b ? vf_load(b + i + k * ND_W) : one, acc.r[k]);
    }
    if (i < n) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) {
            const vf v = b ? load_tail(b + i, (int)(n - i), k, zero) : one;
            acc.r[k] = vf_fma(load_tail(a + i, (int)(n - i), k, zero), v, acc.r[k]);
        }
    }
    return lanes_sum(acc);
}

static void softmax_bwd_rows(const rows_work *w, int64_t first, int64_t end, int worker) {
    const int64_t n = w->call->k[1];
    (void)worker;
    for (int64_t r = first; r < end; r++) {
        const float *g = (const float *)w->data[0] + r * n, *y = (const float *)w->data[1] + r * n;
        float *out = (float *)w->data[2] + r * n;
        const vf dot = vf_set1(softmax_dot(n, g, y));
        for (int64_t i = 0; i < n; i += ND_W) {
            const int left = n - i < ND_W ? (int)(n - i) : ND_W;
            store_left(out + i, vf_mul(load_left(y + i, left), vf_sub(load_left(g + i, left), dot)), left);
        }
    }
}

static void log_softmax_bwd_rows(const rows_work *w, int64_t first, int64_t end, int worker) {
    const int64_t n = w->call->k[1];
    (void)worker;
    for (int64_t r = first; r < end; r++) {
        const float *g = (const float *)w->data[0] + r * n, *y = (const float *)w->data[1] + r * n;
        float *out = (float *)w->data[2] + r * n;
        const vf total = vf_set1(softmax_dot(n, g, 0));
        for (int64_t i = 0; i < n; i += ND_W) {
            const int left = n - i < ND_W ? (int)(n - i) : ND_W;
            store_left(out + i, vf_fnma(v_exp(load_left(y + i, left)), total, load_left(g + i, left)), left);
        }
    }
}

/* All operands dense and of one shape, with at least one axis; k[0] rows of k[1]. */
static int32_t softmax_check(nd_call *c, int n_in) {
    int32_t status = rows_check(c, n_in, 1, 0, 0);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(c->n_attr == 0, ND_EVALUE);
    for (int i = 0; i <= n_in; i++) {
        ND_REQUIRE(nd_same_dims(c->view[i], c->view[0]), ND_ESIZE);
        status = rows_of(c->view[i], &c->k[0], &c->k[1]);
        ND_REQUIRE(status == ND_OK, status);
    }
    return ND_OK;
}

static int32_t softmax_go(const nd_call *c, void *const *data, double work,
                          void (*body)(const rows_work *, int64_t, int64_t, int)) {
    rows_work w = ROWS_WORK(c, data, 0, 0, c->k[1] ? c->k[0] : 0, body);
    rows_run(&w, work * (double)c->k[0] * (double)c->k[1]);
    return ND_OK;
}

#define SOFTMAX_OP(name, n_in, work)                                                                                  \
    static int32_t op_##name##_prepare(nd_call *c) { return softmax_check(c, n_in); }                                 \
    static int32_t op_##name##_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {         \
        (void)scratch;                                                                                                \
        (void)persist;                                                                                                \
        return softmax_go(c, data, work, name##_rows);                                                                \
    }
SOFTMAX_OP(softmax, 1, 2.0)
SOFTMAX_OP(log_softmax, 1, 2.0)
SOFTMAX_OP(softmax_bwd, 2, 0.5)
SOFTMAX_OP(log_softmax_bwd, 2, 2.0)

#define ND_OPS_SOFTMAX(X) X(softmax, 1u, 0) X(log_softmax, 1u, 0) X(softmax_bwd, 3u, 0) X(log_softmax_bwd, 3u, 0)
