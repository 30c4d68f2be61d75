/* Pooling over the last axis, without padding; m windows of `kernel` elements, `stride` apart.
 *
 * max_pool1d(x [*B, n]; kernel, stride, ceil_mode) -> y [*B, m]: the largest of each window; the first NaN, where it
 *     has one. In ceil mode the last window may hang over the end, and takes what there is.
 * max_pool1d_bwd(g [*B, m], x [*B, n]; kernel, stride, ceil_mode) -> gx [*B, n]: each g goes to the first place of its
 *     window that holds the largest (or a NaN); where windows overlap, a place adds what it gets in order of windows.
 * avg_pool1d(x; kernel, stride) -> y: the mean of each window: its elements added in order, times 1 / kernel.
 * avg_unpool1d(g [*B, m]; kernel, stride, size) -> gx [*B, size]: each g / kernel spread over its window; a place adds
 *     what it gets, the latest window first.
 *
 * max_pool and avg_pool over one and two axes: pool_windows.h.
 *
 * Dense float32; kernel and stride from 1 to 2^31. m = (n - kernel) / stride + 1 rounded down, or in ceil mode up as
 * long as the last window begins inside, at least 1. No output may be an input. Rows run in parallel.
 */
#include "norm_rows.h"

#define POOL_MOST ((int64_t)1 << 31)
enum { POOL_CHUNK = 4096 /* windows in a unit of work where windows tile the whole array */ };

/* The first of the larger, and NaNs stay: the running maximum of a window. */
static inline vf pool_larger(vf best, vf x) {
    const vf m = vf_max(x, best);
    return vf_blend(vf_eq(x, x), m, x);
}

/* k: [0] rows, [1] n, [2] m, [3] kernel, [4] stride, [5] 1 where windows tile the rows without gap or rest: then the
   array is one row, worked on in chunks. in and out: the operands with axes n and m. */
static int32_t pool_shape(nd_call *c, const nd_view *in, const nd_view *out, int ceil_mode) {
    int64_t rows;
    int32_t status = rows_of(in, &c->k[0], &c->k[1]);
    ND_REQUIRE(status == ND_OK, status);
    status = rows_of(out, &rows, &c->k[2]);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(in->rank == out->rank, ND_ESIZE);
    for (int i = 0; i < in->rank - 1; i++) ND_REQUIRE(in->dims[i] == out->dims[i], ND_ESIZE);
    const int64_t n = c->k[1], kernel = c->attr[0], stride = c->attr[1];
    ND_REQUIRE(kernel >= 1 && kernel <= POOL_MOST && stride >= 1 && stride <= POOL_MOST, ND_EVALUE);
    ND_REQUIRE(n >= 1 && (n >= kernel || ceil_mode), ND_ESIZE);
    int64_t m = n < kernel ? 1 : (n - kernel) / stride + 1;
    if (ceil_mode && n > kernel && (n - kernel) % stride != 0 && m * stride < n) m++;
    ND_REQUIRE(c->k[2] == m, ND_ESIZE);
    c->k[3] = kernel;
    c->k[4] = stride;
    c->k[5] = kernel == stride && n == m * kernel;
    return ND_OK;
}

/* One unit of work: m windows on n elements; `wide` and `narrow` are where they start in x and in y. */
typedef struct {
    int64_t n, m, kernel, stride, wide, narrow;
} pool_row;

static pool_row pool_unit(const int64_t *k, int64_t unit) {
    pool_row r = {k[1], k[2], k[3], k[4], unit * k[1], unit * k[2]};
    if (k[5]) {
        const int64_t all = k[0] * k[2], first = unit * POOL_CHUNK;
        r.m = all - first < POOL_CHUNK ? all - first : POOL_CHUNK;
        r.n = r.m * k[3];
        r.wide = first * k[3];
        r.narrow = first;
    }
    return r;
}

static int64_t pool_units(const int64_t *k) {
    if (!k[5]) return k[0];
    const int64_t all = k[0] * k[2];
    return all / POOL_CHUNK + (all % POOL_CHUNK != 0);
}

/* How many windows of a row lie inside it. */
static inline int64_t pool_whole(const pool_row *r) {
    const int64_t whole = r->n < r->kernel ? 0 : (r->n - r->kernel) / r->stride + 1;
    return whole < r->m ? whole : r->m;
}

#include "pool_blocks.h"

static inline float pool_max1(const float *x, int64_t n) {
    float best = x[0];
    for (int64_t i = 1; i < n; i++) {
        const float larger = x[i] > best ? x[i] : best;
        best = x[i] == x[i] ? larger : x[i];
    }
    return best;
}

static inline int64_t pool_argmax1(const float *x, int64_t n) {
    int64_t at = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[at] || (x[i] != x[i] && x[at] == x[at])) at = i;
    return at;
}

static void max_pool1d_row(const pool_row *r, const float *x, float *y) {
    const int64_t whole = pool_whole(r);
    int64_t i = r->kernel == r->stride ? pool_max_blocks(whole, r->kernel, x, y) : 0;
    for (; r->stride <= 2 && i + ND_W <= whole; i += ND_W) { /* lanes picked one by one would be slower than none */
        const int64_t at = i * r->stride;
        vf best = pool_gather(x + at, r->stride, r->n - at);
        for (int64_t j = 1; j < r->kernel; j++)
            best = pool_larger(best, pool_gather(x + at + j, r->stride, r->n - at - j));
        vf_store(y + i, best);
    }
    for (; i < r->m; i++) {
        const int64_t left = r->n - i * r->stride;
        y[i] = pool_max1(x + i * r->stride, left < r->kernel ? left : r->kernel);
    }
}

static void max_pool1d_bwd_row(const pool_row *r, const float *g, const float *x, float *gx) {
    int64_t i = r->kernel == r->stride ? pool_max_bwd_blocks(pool_whole(r), r->kernel, g, x, gx) : 0;
    const int64_t done = i * r->stride;
    memset(gx + done, 0, (size_t)(r->n - done) * sizeof *gx);
    for (; i < r->m; i++) {
        const int64_t first = i * r->stride, left = r->n - first;
        gx[first + pool_argmax1(x + first, left < r->kernel ? left : r->kernel)] += g[i];
    }
}

static void avg_pool1d_row(const pool_row *r, const float *x, float *y) {
    const float share = (float)(1.0 / (double)r->kernel);
    int64_t i = 0;
    if (r->kernel == r->stride) i = pool_mean_blocks(r->m, r->kernel, x, y, share);
    else if (r->stride == 1) i = pool_sum_dense(r->m, r->kernel, 1, x, y, vf_set1(share));
    for (; r->stride <= 2 && i + ND_W <= r->m; i += ND_W) {
        vf sum = vf_set1(0.0f);
        for (int64_t j = 0; j < r->kernel; j++) {
            const int64_t at = i * r->stride + j;
            sum = vf_add(sum, pool_gather(x + at, r->stride, r->n - at));
        }
        vf_store(y + i, vf_mul(sum, vf_set1(share)));
    }
    for (; i < r->m; i++) {
        float sum = 0.0f;
        for (int64_t j = 0; j < r->kernel; j++) sum += x[i * r->stride + j];
        y[i] = sum * share;
    }
}

/* scratch: g / kernel between kernel - 1 zeros on either side, where the stride is 1. */
static void avg_unpool1d_row(const pool_row *r, const float *g, float *gx, float *scratch) {
    const float share = (float)(1.0 / (double)r->kernel);
    if (scratch) {
        float *inner = scratch + r->kernel - 1;
        for (int64_t i = 0; i < r->m; i++) inner[i] = g[i] * share;
        pool_sum_dense(r->n, r->kernel, -1, inner, gx, vf_set1(1.0f));
        return;
    }
    const int64_t i = r->kernel == r->stride ? pool_spread_blocks(r->m, r->kernel, g, gx, share) : 0;
    const int64_t done = i * r->stride;
    memset(gx + done, 0, (size_t)(r->n - done) * sizeof *gx);
    for (int64_t w = r->m - 1; w >= i; w--)
        for (int64_t j = 0; j < r->kernel; j++) gx[w * r->stride + j] += g[w] * share;
}

static void max_pool1d_units(const rows_work *w, int64_t first, int64_t end, int worker) {
    (void)worker;
    for (int64_t u = first; u < end; u++) {
        const pool_row r = pool_unit(w->call->k, u);
        max_pool1d_row(&r, (const float *)w->data[0] + r.wide, (float *)w->data[1] + r.narrow);
    }
}

static void max_pool1d_bwd_units(const rows_work *w, int64_t first, int64_t end, int worker) {
    (void)worker;
    for (int64_t u = first; u < end; u++) {
        const pool_row r = pool_unit(w->call->k, u);
        max_pool1d_bwd_row(&r, (const float *)w->data[0] + r.narrow, (const float *)w->data[1] + r.wide,
                           (float *)w->data[2] + r.wide);
    }
}

static void avg_pool1d_units(const rows_work *w, int64_t first, int64_t end, int worker) {
    (void)worker;
    for (int64_t u = first; u < end; u++) {
        const pool_row r = pool_unit(w->call->k, u);
        avg_pool1d_row(&r, (const float *)w->data[0] + r.wide, (float *)w->data[1] + r.narrow);
    }
}

static void avg_unpool1d_units(const rows_work *w, int64_t first, int64_t end, int worker) {
    const int64_t bytes = w->call->k[6];
    float *scratch = bytes ? (float *)(w->scratch + worker * bytes) : 0;
    if (scratch) memset(scratch, 0, (size_t)bytes);
    for (int64_t u = first; u < end; u++) {
        const pool_row r = pool_unit(w->call->k, u);
        avg_unpool1d_row(&r, (const float *)w->data[0] + r.narrow, (float *)w->data[1] + r.wide, scratch);
    }
}

static int32_t op_max_pool1d_prepare(nd_call *c) {
    const int32_t status = rows_check(c, 1, 1, 3, 0);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(c->n_attr == 3, ND_EVALUE);
    return pool_shape(c, c->view[0], c->view[1], c->attr[2] != 0);
}

static int32_t op_max_pool1d_bwd_prepare(nd_call *c) {
    const int32_t status = rows_check(c, 2, 1, 3, 0);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(c->n_attr == 3, ND_EVALUE);
    ND_REQUIRE(nd_same_dims(c->view[1], c->view[2]) && nd_dense(c->view[2]), ND_ESIZE);
    return pool_shape(c, c->view[1], c->view[0], c->attr[2] != 0);
}

static int32_t op_avg_pool1d_prepare(nd_call *c) {
    const int32_t status = rows_check(c, 1, 1, 2, 0);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(c->n_attr == 2, ND_EVALUE);
    return pool_shape(c, c->view[0], c->view[1], 0);
}

static int32_t op_avg_unpool1d_prepare(nd_call *c) {
    int32_t status = rows_check(c, 1, 1, 3, 0);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(c->n_attr == 3, ND_EVALUE);
    status = pool_shape(c, c->view[1], c->view[0], 0);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(c->view[1]->dims[c->view[1]->rank - 1] == c->attr[2], ND_ESIZE);
    c->k[6] = c->k[4] == 1 && c->k[3] > 1 ? nd_align64((c->k[2] + 2 * (c->k[3] - 1)) * (int64_t)sizeof(float)) : 0;
    ND_REQUIRE(rows_mul(c->k[6], c->threads > 1 ? c->threads : 1, &c->scratch), ND_ESIZE);
    return ND_OK;
}

#define POOL_RUN(name)                                                                                                \
    static int32_t op_##name##_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {         \
        rows_work w = ROWS_WORK(c, data, scratch, persist, pool_units(c->k), name##_units);                           \
        rows_run(&w, (double)c->k[0] * ((double)c->k[1] + (double)c->k[2] * (double)c->k[3]));                        \
        return ND_OK;                                                                                                 \
    }
POOL_RUN(max_pool1d)
POOL_RUN(max_pool1d_bwd)
POOL_RUN(avg_pool1d)
POOL_RUN(avg_unpool1d)

#include "pool_windows.h"

#define ND_OPS_POOL(X) \
    X(max_pool1d, 0u, 0) X(max_pool1d_bwd, 0u, 0) X(avg_pool1d, 0u, 0) X(avg_unpool1d, 0u, 0) \
    X(max_pool, 0u, 0) X(avg_pool, 0u, 0)
