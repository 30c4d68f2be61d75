/* layer_norm(x [*B, n], weight [n], bias [n]; eps) -> out [*B, n], mean [*B, 1], rstd [*B, 1], over the last axis:
 *     mean, then the variance about it, rstd = 1 / sqrt(variance + eps), out = (x - mean) rstd weight + bias. out may
 *     be x.
 * layer_norm_bwd(g, x, weight, mean, rstd; eps) -> gx, gweight [n], gbias [n]: with y = (x - mean) rstd and h = g
 *     weight, gx = rstd (h - average of h - y (average of h y)),  gweight = sum of g y,  gbias = sum of g.  gx may be g
 *     or x. eps is not read.
 * batch_norm(x [B, C, *S], weight [C], bias [C]; eps) -> out, mean [C], var [C], over all axes but C: norm_batch.h.
 *
 * Dense float32; eps is a double >= 0. Over an empty axis mean, rstd and var are NaN. Sums along a row: 16 lanes and
 * the fixed tree. Sums over rows: in order within blocks of 64 rows, then over blocks in order. Blocks run in parallel.
 */
#include "norm_rows.h"

/* k[0] rows of k[1]: x at `main`; `per_row` operands [*B, 1] from index `row`, `per_col` operands [n] from `col`. */
static int32_t layer_norm_operands(nd_call *c, int main, int row, int per_row, int col, int per_col) {
    const nd_view *x = c->view[main];
    const int32_t status = rows_of(x, &c->k[0], &c->k[1]);
    ND_REQUIRE(status == ND_OK, status);
    for (int i = row; i < row + per_row; i++) {
        const nd_view *v = c->view[i];
        ND_REQUIRE(v->rank == x->rank && v->dims[v->rank - 1] == 1 && nd_dense(v), ND_ESIZE);
        for (int j = 0; j < v->rank - 1; j++) ND_REQUIRE(v->dims[j] == x->dims[j], ND_ESIZE);
    }
    for (int i = col; i < col + per_col; i++)
        ND_REQUIRE(c->view[i]->rank == 1 && c->view[i]->dims[0] == c->k[1] && nd_dense(c->view[i]), ND_ESIZE);
    ND_REQUIRE(c->n_attr == 1 && nd_attr_f64(c, 0) >= 0.0, ND_EVALUE);
    return ND_OK;
}

static int32_t op_layer_norm_prepare(nd_call *c) {
    int32_t status = rows_check(c, 3, 3, 1, 0);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(nd_same_dims(c->view[0], c->view[3]) && nd_dense(c->view[3]), ND_ESIZE);
    return layer_norm_operands(c, 0, 4, 2, 1, 2);
}

static void layer_norm_rows(const rows_work *w, int64_t first, int64_t end, int worker) {
    const int64_t n = w->call->k[1];
    const float *x = w->data[0], *weight = w->data[1], *bias = w->data[2];
    float *out = w->data[3], *mean = w->data[4], *rstd = w->data[5];
    const float count = (float)n, eps = (float)nd_attr_f64(w->call, 0);
    (void)worker;
    for (int64_t r = first; r < end; r++) {
        const float average = n ? row_sum(n, x + r * n) / count : NAN;
        const float scale = n ? 1.0f / sqrtf(row_deviation(n, x + r * n, average) / count + eps) : NAN;
        norm_row(n, x + r * n, weight, bias, average, scale, out + r * n);
        mean[r] = average;
        rstd[r] = scale;
    }
}

static int32_t op_layer_norm_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    rows_work w = ROWS_WORK(c, data, scratch, persist, c->k[0], layer_norm_rows);
    rows_run(&w, 1.0 * (double)c->k[0] * (double)c->k[1]);
    return ND_OK;
}

/* k[2]: blocks of rows. scratch: for each block the sums of g y and of g over its rows. */
static int32_t op_layer_norm_bwd_prepare(nd_call *c) {
    int32_t status = rows_check(c, 5, 3, 1, 0);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(nd_same_dims(c->view[0], c->view[1]) && nd_same_dims(c->view[0], c->view[5]), ND_ESIZE);
    ND_REQUIRE(nd_dense(c->view[0]) && nd_dense(c->view[5]), ND_ESIZE);
    status = layer_norm_operands(c, 1, 3, 2, 6, 2);
    ND_REQUIRE(status == ND_OK, status);
    status = layer_norm_operands(c, 1, 3, 2, 2, 1);
    ND_REQUIRE(status == ND_OK, status);
    c->k[2] = c->k[0] / ND_ROW_BLOCK + (c->k[0] % ND_ROW_BLOCK != 0);
    ND_REQUIRE(rows_mul(c->k[2], 2 * c->k[1], &c->scratch), ND_ESIZE);
    ND_REQUIRE(rows_mul(c->scratch, sizeof(float), &c->scratch), ND_ESIZE);
    return ND_OK;
}

/* gx of one row; adds its g y to `gy` and its g to `total`. */
static void layer_norm_bwd_row(int64_t n, const float *g, const float *x, const float *weight, float mean, float rstd,
                               float *gx, float *gy, float *total) {
    const vf m = vf_set1(mean), s = vf_set1(rstd), zero = vf_set1(0.0f);
    lanes16 sum = lanes_zero(), dot = lanes_zero();
    int64_t i = 0;
    for (; i + ND_LANES <= n; i += ND_LANES) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) {
            const int64_t at = i + k * ND_W;
            const vf h = vf_mul(vf_load(g + at), vf_load(weight + at));
            add_projection(&sum.r[k], &dot.r[k], h, normalised(vf_load(x + at), m, s));
        }
    }
    if (i < n) {
        const int left = (int)(n - i);
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) { /* absent elements have h = 0 and y = 0 */
            const vf h = vf_mul(load_tail(g + i, left, k, zero), load_tail(weight + i, left, k, zero));
            add_projection(&sum.r[k], &dot.r[k], h, normalised(load_tail(x + i, left, k, m), m, s));
        }
    }
    const vf a = vf_set1(lanes_sum(sum) / (float)n), b = vf_set1(lanes_sum(dot) / (float)n);
    for (i = 0; i < n; i += ND_W) {
        const int left = n - i < ND_W ? (int)(n - i) : ND_W;
        const vf u = load_left(g + i, left), y = normalised(load_left(x + i, left), m, s);
        const vf h = vf_mul(u, load_left(weight + i, left));
        store_left(gx + i, vf_mul(s, vf_fnma(y, b, vf_sub(h, a))), left);
        store_left(gy + i, vf_fma(u, y, load_left(gy + i, left)), left);
        store_left(total + i, vf_add(u, load_left(total + i, left)), left);
    }
}

static void layer_norm_bwd_blocks(const rows_work *w, int64_t first, int64_t end, int worker) {
    const int64_t rows = w->call->k[0], n = w->call->k[1];
    const float *g = w->data[0], *x = w->data[1], *weight = w->data[2], *mean = w->data[3], *rstd = w->data[4];
    (void)worker;
    for (int64_t block = first; block < end; block++) {
        float *sums = (float *)w->scratch + block * 2 * n;
        const int64_t start = block * ND_ROW_BLOCK, stop = rows - start < ND_ROW_BLOCK ? rows : start + ND_ROW_BLOCK;
        memset(sums, 0, (size_t)n * 2 * sizeof *sums);
        for (int64_t r = start; r < stop; r++)
            layer_norm_bwd_row(n, g + r * n, x + r * n, weight, mean[r], rstd[r], (float *)w->data[5] + r * n, sums,
                               sums + n);
    }
}

static int32_t op_layer_norm_bwd_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const int64_t n = c->k[1], blocks = c->k[2];
    float *gweight = data[6], *gbias = data[7];
    if (n == 0) return ND_OK;
    rows_work w = ROWS_WORK(c, data, scratch, persist, blocks, layer_norm_bwd_blocks);
    rows_run(&w, 1.5 * (double)c->k[0] * (double)n);
    memset(gweight, 0, (size_t)n * sizeof *gweight);
    memset(gbias, 0, (size_t)n * sizeof *gbias);
    for (int64_t b = 0; b < blocks; b++) {
        add_column_sums(1, n, (const float *)scratch + b * 2 * n, gweight);
        add_column_sums(1, n, (const float *)scratch + b * 2 * n + n, gbias);
    }
    return ND_OK;
}

#include "norm_batch.h"

#define ND_OPS_NORM(X) \
    X(layer_norm, 1u, 0) X(layer_norm_bwd, 3u, 0) X(batch_norm, 1u, 0) X(batch_norm_bwd, 3u, 0)
