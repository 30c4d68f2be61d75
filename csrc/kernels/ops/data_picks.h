/* picks(a [*batch, m, k], b [*batch, k, n], index [m, u]) -> out [*batch, m, u]
 *
 *     out[.., i, j] = a[.., i, :] b[.., :, index[i, j]]
 *
 * Some elements of a product, for each row its own: the bits are those that gemm gives them, one chain of fused
 * multiply-adds over k in order from 0. a and b take any strides; index is dense int64, -n .. -1 count from the end, and
 * numbers outside make `run` return ND_EVALUE; out is dense float32. What pays is u well below n, and b in columns.
 */

enum { PICKS_GROUPS = 2 /* vectors of elements at once: one chain waits four cycles for its last sum */ };

typedef struct {
    const nd_call *call;
    void *const *data;
    int64_t *at; /* [m, width]: where in b the columns of each row begin; the last one again behind u */
    int64_t m, k, n, u, width, ac, bc, tasks; /* ac, bc: strides of a and b along k */
} picks_job;

/* `groups` vectors of elements of a row, whose columns are contiguous along k: blocks of ND_W x ND_W, transposed in
   registers. */
ND_INLINE void picks_vectors(int64_t k, const float *a, int64_t ac, const float *b, const int64_t *at, const int groups,
                             int64_t left, float *out) {
    vf sum[PICKS_GROUPS], w[ND_W], c[ND_W];
    ND_UNROLL
    for (int g = 0; g < groups; g++) sum[g] = vf_set1(0.0f);
    int64_t r = 0;
    for (; r + ND_W <= k; r += ND_W) {
        ND_UNROLL
        for (int g = 0; g < groups; g++) {
            ND_UNROLL
            for (int q = 0; q < ND_W; q++) w[q] = vf_load(b + at[g * ND_W + q] + r);
            vf_transpose(w, c);
            ND_UNROLL
            for (int q = 0; q < ND_W; q++) sum[g] = vf_fma(vf_set1(a[(r + q) * ac]), c[q], sum[g]);
        }
    }
    for (int g = 0; r < k && g < groups; g++) {
        for (int q = 0; q < ND_W; q++) w[q] = vf_load_part(b + at[g * ND_W + q] + r, (int)(k - r));
        vf_transpose(w, c);
        for (int q = 0; q < k - r; q++) sum[g] = vf_fma(vf_set1(a[(r + q) * ac]), c[q], sum[g]);
    }
    ND_UNROLL
    for (int g = 0; g < groups; g++, out += ND_W, left -= ND_W) store_left(out, sum[g], left < ND_W ? (int)left : ND_W);
}

static void picks_two(int64_t k, const float *a, int64_t ac, const float *b, const int64_t *at, int64_t left, float *out) {
    picks_vectors(k, a, ac, b, at, PICKS_GROUPS, left, out);
}

static void picks_one(int64_t k, const float *a, int64_t ac, const float *b, const int64_t *at, int64_t left, float *out) {
    picks_vectors(k, a, ac, b, at, 1, left, out);
}

/* Row a of one batch item, b. */
static void picks_row(const picks_job *p, const float *a, const float *b, const int64_t *at, float *out) {
    int64_t j = 0;
    if (p->bc == 1) {
        for (; p->u - j > (PICKS_GROUPS - 1) * ND_W; j += PICKS_GROUPS * ND_W)
            picks_two(p->k, a, p->ac, b, at + j, p->u - j, out + j);
        for (; j < p->u; j += ND_W) picks_one(p->k, a, p->ac, b, at + j, p->u - j, out + j);
    }
    for (; j < p->u; j++) {
        float sum = 0.0f;
        for (int64_t c = 0; c < p->k; c++) sum = fmaf(a[c * p->ac], b[at[j] + c * p->bc], sum);
        out[j] = sum;
    }
}

static void picks_task(void *context, int64_t t, int worker) {
    const picks_job *p = context;
    const nd_view *a = p->call->view[0], *b = p->call->view[1];
    const int64_t axes = a->rank - 2, rows = p->call->k[0];
    int64_t r = data_share(rows, p->tasks, t);
    const int64_t end = data_share(rows, p->tasks, t + 1);
    (void)worker;
    while (r < end) {
        const int64_t item = r / p->m, first = r % p->m, count = end - r < p->m - first ? end - r : p->m - first;
        const float *x = (const float *)p->data[0] + gemm_offset(a, axes, item), *y = p->data[1];
        y += gemm_offset(b, axes, item);
        for (int64_t i = first; i < first + count; i++, r++)
            picks_row(p, x + i * a->strides[axes], y, p->at + i * p->width, (float *)p->data[3] + r * p->u);
    }
}

static int64_t picks_width(int64_t u) { return (u + PICKS_GROUPS * ND_W - 1) / ND_W / PICKS_GROUPS * PICKS_GROUPS * ND_W; }

static int32_t op_picks_prepare(nd_call *c) {
    ND_REQUIRE(c->n_in == 3 && c->n_out == 1 && c->n_attr == 0, ND_EVALUE);
    const nd_view *a = c->view[0], *b = c->view[1], *index = c->view[2], *out = c->view[3];
    ND_REQUIRE(a && b && index && out, ND_ENULL);
    ND_REQUIRE(data_count(a) >= 0 && data_count(b) >= 0 && a->dtype == ND_F32 && b->dtype == ND_F32, ND_ESIZE);
    ND_REQUIRE(data_dense(index, ND_I64, -1) && data_dense(out, ND_F32, -1), ND_ESIZE);
    const int axes = a->rank - 2;
    ND_REQUIRE(axes >= 0 && b->rank == a->rank && out->rank == a->rank && index->rank == 2, ND_ESIZE);
    for (int i = 0; i < axes; i++) ND_REQUIRE(a->dims[i] == b->dims[i] && a->dims[i] == out->dims[i], ND_ESIZE);
    ND_REQUIRE(a->dims[axes + 1] == b->dims[axes] && a->dims[axes] == index->dims[0], ND_ESIZE);
    ND_REQUIRE(out->dims[axes] == index->dims[0] && out->dims[axes + 1] == index->dims[1], ND_ESIZE);
    c->k[0] = data_count(out) ? data_extent(out, 0, axes + 1) : 0; /* rows */
    c->scratch = c->k[0] ? 8 * index->dims[0] * picks_width(index->dims[1]) : 0;
    return ND_OK;
}

static int32_t op_picks_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const nd_view *a = c->view[0], *b = c->view[1];
    const int axes = a->rank - 2;
    const int64_t u = c->view[2]->dims[1], *index = data[2];
    picks_job p = {c, data, scratch, a->dims[axes], a->dims[axes + 1], b->dims[axes + 1], u, picks_width(u),
                   a->strides[axes + 1], b->strides[axes], 1};
    (void)persist;
    if (c->k[0] == 0) return ND_OK;
    for (int64_t i = 0; i < p.m; i++) {
        for (int64_t j = 0; j < p.width; j++) {
            const uint64_t place = data_place(index[i * u + (j < u ? j : u - 1)], p.n);
            ND_REQUIRE(place < (uint64_t)p.n, ND_EVALUE);
            p.at[i * p.width + j] = (int64_t)place * b->strides[axes + 1];
        }
    }
    p.tasks = data_tasks(c, c->k[0] * (u + p.k), c->k[0]);
    if (p.tasks > 1) nd_parallel(p.tasks, picks_task, &p);
    else picks_task(&p, 0, 0);
    return ND_OK;
}
