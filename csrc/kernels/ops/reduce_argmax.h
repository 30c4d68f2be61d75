/* argmax: see reduce.h. Rows of contiguous elements look for the largest first and then for its place; otherwise a vector
   of columns keeps the largest so far and its place. */

/* The first element of a row that equals `top`, or the first NaN where top is one. */
static int64_t reduce_find(int64_t n, const float *x, float top) {
    if (top == top) {
        for (int64_t i = 0; i < n; i++)
            if (x[i] == top) return i;
    }
    for (int64_t i = 0; i < n; i++)
        if (x[i] != x[i]) return i;
    return 0;
}

/* out[0 .. left - 1] for `left` columns of n elements, `stride` apart. */
static void reduce_argmax_columns(int64_t n, int64_t stride, int left, const float *x, int64_t *out) {
    vf best = load_left(x, left);
    vi place = vi_set1(0);
    for (int64_t i = 1; i < n; i++) {
        const vf v = load_left(x + i * stride, left);
        const vi at = vi_set1((uint32_t)i);
        const vm more = vf_gt(v, best), number = vf_eq(v, v), settled = vf_eq(best, best);
        /* a larger element wins; so does a NaN, over what is none */
        const vf next = vf_blend(settled, vf_blend(number, vf_blend(more, v, best), v), best);
        place = vi_blend(settled, vi_blend(number, vi_blend(more, at, place), at), place);
        best = next;
    }
    uint32_t t[ND_W];
    vi_store(t, place);
    for (int k = 0; k < left; k++) out[k] = t[k];
}

typedef struct {
    const float *x;
    int64_t *out;
    int64_t outer, n, inner, tasks;
} reduce_places;

static void reduce_argmax_task(void *context, int64_t t, int worker) {
    const reduce_places *p = context;
    const int64_t first = data_share(p->outer, p->tasks, t), last = data_share(p->outer, p->tasks, t + 1);
    (void)worker;
    for (int64_t o = first; o < last; o++) {
        const float *x = p->x + o * p->n * p->inner;
        if (p->inner == 1) {
            p->out[o] = reduce_find(p->n, x, reduce_max_fold(reduce_max_row(p->n, x)));
            continue;
        }
        for (int64_t i = 0; i < p->inner; i += ND_W)
            reduce_argmax_columns(p->n, p->inner, p->inner - i < ND_W ? (int)(p->inner - i) : ND_W, x + i,
                                  p->out + o * p->inner + i);
    }
}

static int32_t op_argmax_prepare(nd_call *c) {
    ND_REQUIRE(c->n_in == 1 && c->n_out == 1 && c->n_attr == 1, ND_EVALUE);
    const nd_view *x = c->view[0], *out = c->view[1];
    ND_REQUIRE(x && out, ND_ENULL);
    ND_REQUIRE(data_dense(x, ND_F32, -1) && data_dense(out, ND_I64, -1) && out->rank == x->rank - 1, ND_ESIZE);
    ND_REQUIRE(c->attr[0] >= 0 && c->attr[0] < x->rank, ND_EVALUE);
    const int dim = (int)c->attr[0];
    for (int i = 0; i < out->rank; i++) ND_REQUIRE(out->dims[i] == x->dims[i < dim ? i : i + 1], ND_ESIZE);
    ND_REQUIRE(x->dims[dim] <= INT32_MAX && (x->dims[dim] >= 1 || data_count(out) == 0), ND_ESIZE);
    c->k[0] = data_extent(x, 0, dim);
    c->k[1] = x->dims[dim];
    c->k[2] = data_extent(x, dim + 1, x->rank);
    return ND_OK;
}

static int32_t op_argmax_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    reduce_places p = {data[0], data[1], c->k[0], c->k[1], c->k[2], 1};
    (void)scratch;
    (void)persist;
    if (p.outer == 0 || p.inner == 0) return ND_OK;
    p.tasks = data_tasks(c, p.outer * p.n * p.inner, p.outer);
    if (p.tasks > 1) nd_parallel(p.tasks, reduce_argmax_task, &p);
    else reduce_argmax_task(&p, 0, 0);
    return ND_OK;
}
