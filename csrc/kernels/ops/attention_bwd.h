/* Backward: tasks own ranges of keys of one head and go through its queries once. The gradients of their keys and
   values are theirs alone; each range has its own sum for the gradient of the queries, added up in order at the end.
   */

enum {
    ND_ATT_BWD_KEYS = 192,   /* of one block */
    ND_ATT_BWD_QUERIES = 48, /* of one tile */
    ND_ATT_BWD_TASKS = 16,   /* ranges over all heads that are worth the memory of their sums */
    ND_ATT_BWD_RANGES = 8,   /* at most, of one head */
    ND_ATT_BWD_LEAST = 256   /* keys of one range */
};

/* Offsets within a worker's scratch and its size, in floats. */
typedef struct {
    int64_t ranges, chunk, keys, lds, kt, vt, k, q, g, s, dp, gk, gv, gq, line, size;
} att_bwd_layout;

static int64_t att_take(int64_t *at, int64_t count) {
    const int64_t here = *at;
    *at += att_round16(count);
    return here;
}

static att_bwd_layout att_bwd_plan(const att_problem *a, const att_operand *g) {
    att_bwd_layout p;
    const int64_t heads = a->heads > 0 ? a->heads : 1, by_keys = (a->lk + ND_ATT_BWD_LEAST - 1) / ND_ATT_BWD_LEAST;
    p.ranges = (ND_ATT_BWD_TASKS + heads - 1) / heads;
    if (p.ranges > ND_ATT_BWD_RANGES) p.ranges = ND_ATT_BWD_RANGES;
    if (p.ranges > by_keys) p.ranges = by_keys > 0 ? by_keys : 1;
    p.chunk = (a->lk + p.ranges - 1) / p.ranges;
    p.chunk = (p.chunk + 15) / 16 * 16;
    p.keys = p.chunk < ND_ATT_BWD_KEYS ? p.chunk : ND_ATT_BWD_KEYS;
    p.lds = p.keys + 16;
    const int64_t wide = att_round16(a->d), wide_v = att_round16(a->dv), tile = ND_ATT_BWD_QUERIES;
    int64_t at = 0;
    p.kt = att_take(&at, p.keys * a->d);
    p.vt = att_take(&at, p.keys * a->dv);
    p.k = att_take(&at, att_in_place(a->d, a->k.cs) ? 0 : p.keys * wide);
    p.q = att_take(&at, att_in_place(a->d, a->q.cs) ? 0 : tile * wide);
    p.g = att_take(&at, att_in_place(a->dv, g->cs) ? 0 : tile * wide_v);
    p.s = att_take(&at, tile * p.lds);
    p.dp = att_take(&at, tile * p.lds);
    p.gk = att_take(&at, a->d % 16 ? p.keys * wide : 0);
    p.gv = att_take(&at, a->dv % 16 ? p.keys * wide_v : 0);
    p.gq = att_take(&at, a->d % 16 ? tile * wide : 0);
    p.line = att_take(&at, p.keys + 64);
    p.size = at;
    return p;
}

/* Operands g, query, key, value, mask, lse, delta, rng. */
static int32_t att_bwd_read(const nd_call *c, att_problem *a, att_operand *g, att_operand *lse, att_operand *delta) {
    ND_REQUIRE(c->n_in == 8 && c->n_out == 3, ND_EVALUE);
    int32_t status = att_read_problem(c, c->view[0], c->view + 1, c->view[7], a);
    att_operand o;
    if (status == ND_OK) status = att_read_as(c->view[0], a, a->lq, a->dv, g);
    if (status == ND_OK) status = att_read_as(c->view[5], a, a->lq, 1, lse);
    if (status == ND_OK) status = att_read_as(c->view[6], a, a->lq, 1, delta);
    if (status == ND_OK) status = att_read_output(c->view[8], a, a->lq, a->d, &o);
    if (status == ND_OK) status = att_read_output(c->view[9], a, a->lk, a->d, &o);
    if (status == ND_OK) status = att_read_output(c->view[10], a, a->lk, a->dv, &o);
    return status;
}

/* Floats of the gradient of all queries. */
static inline int64_t att_query_size(const att_problem *a) { return att_times(att_times(a->heads, a->lq), a->d); }

static int32_t op_attention_bwd_prepare(nd_call *c) {
    att_problem a;
    att_operand g, lse, delta;
    const int32_t status = att_bwd_read(c, &a, &g, &lse, &delta);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(c->threads >= 1 && c->threads <= 4096, ND_EVALUE);
    ND_REQUIRE(att_query_size(&a) >= 0 && att_times(a.lk, a.heads) >= 0, ND_ESIZE);
    const att_bwd_layout p = att_bwd_plan(&a, &g);
    c->scratch = (p.size * c->threads + (p.ranges - 1) * att_query_size(&a)) * 4;
    return ND_OK;
}

typedef struct {
    const att_problem *a;
    const att_bwd_layout *p;
    const att_operand *g, *lse, *delta;
    void *const *data;
    float *scratch, *partial; /* partial: ranges 1, 2 ... of the gradient of the queries */
    philox gen;
    int64_t units, tasks;
} att_bwd_context;

/* One range of one head, and of it the block of keys k0 .. k0 + count - 1. */
typedef struct {
    const att_bwd_context *x;
    att_extra extra;
    const float *q, *k, *v, *g, *lse, *delta;
    float *gq, *gk, *gv, *scratch;
    att_rows keys;
    float *block_k, *block_v; /* gradients of the block, rows of att_round16(d) and (dv) */
    int64_t k0, count;
} att_bwd_head;

/* One row of n keys and zeros up to cols: s becomes the (dropped) probabilities, dp the gradient of the scores. `keep`
   holds the factors of dropout or is NULL; s is in units of log 2, and dp and delta have been multiplied by the scale.
   */
static void att_bwd_row(float *s, float *dp, int64_t n, int64_t cols, const float *keep, float lse, float delta) {
    const vf l = vf_set1(lse), unit = vf_set1((float)nd_att_log2_e), c = vf_set1(delta), zero = vf_set1(0.0f);
    for (int64_t j = 0; j < cols; j += ND_W) {
        const vm in = vi_ltu(vi_add(vi_set1((uint32_t)j), vi_iota()), vi_set1((uint32_t)n));
        const vf p = att_exp2(vf_fnma(l, unit, vf_load(s + j)));
        vf x = vf_load(dp + j), y = p;
        if (keep) {
            const vf f = vf_load(keep + j);
            x = vf_mul(x, f);
            y = vf_mul(p, f);
        }
        vf_store(s + j, vf_blend(in, y, zero));
        vf_store(dp + j, vf_blend(in, vf_mul(p, vf_sub(x, c)), zero));
    }
}

/* The probabilities and the gradient of the scores of `rows` queries from `first` and n keys. */
static void att_bwd_scores(const att_bwd_head *h, int64_t first, int64_t rows, int64_t n) {
    const att_bwd_context *x = h->x;
    const att_problem *a = x->a;
    const att_bwd_layout *p = x->p;
    float *s = h->scratch + p->s, *dp = h->scratch + p->dp, *line = h->scratch + p->line;
    const int64_t cols = att_round16(n);
    att_times_packed(rows, cols, a->d, h->q + first * a->q.rs, a->q.rs, a->q.cs, h->scratch + p->kt, h->count, s,
                     p->lds);
    att_times_packed(rows, cols, a->dv, h->g + first * x->g->rs, x->g->rs, x->g->cs, h->scratch + p->vt, h->count, dp,
                     p->lds);
    for (int64_t i = 0; i < rows; i++, s += p->lds, dp += p->lds) {
        const int64_t at = first + i, mine = att_seen(a, at, h->k0, n);
        if (a->mask_dtype >= 0) att_mask_row(&h->extra, at, h->k0, mine, s);
        if (a->p != 0.0) att_dropout_row(&h->extra, &x->gen, at, h->k0, mine, line);
        att_bwd_row(s, dp, mine, cols, a->p != 0.0 ? line : 0, h->lse[at * x->lse->rs],
                    h->delta[at * x->delta->rs] * a->scale);
    }
}

/* One tile; `fresh`: nothing has been added to the gradients of this block of keys or of these queries yet. */
static void att_bwd_tile(const att_bwd_head *h, int64_t first, int64_t rows, int fresh_keys, int fresh_queries) {
    const att_bwd_context *x = h->x;
    const att_problem *a = x->a;
    const att_bwd_layout *p = x->p;
    const int64_t n = att_seen(a, first + rows - 1, h->k0, h->count);
    const int64_t wide = att_round16(a->d), wide_v = att_round16(a->dv);
    const float *s = h->scratch + p->s, *ds = h->scratch + p->dp;
    float ones[ND_ATT_BWD_KEYS];
    for (int i = 0; i < ND_ATT_BWD_KEYS; i++) ones[i] = 1.0f;
    att_bwd_scores(h, first, rows, n);
    const att_rows g = att_padded(rows, a->dv, h->g + first * x->g->rs, x->g->rs, x->g->cs, h->scratch + p->g);
    const att_rows q = att_padded(rows, a->d, h->q + first * a->q.rs, a->q.rs, a->q.cs, h->scratch + p->q);
    att_product(n, wide_v, rows, rows, s, 1, p->lds, g, h->block_v, wide_v, fresh_keys ? 0 : ones, 0, ones);
    att_product(n, wide, rows, rows, ds, 1, p->lds, q, h->block_k, wide, fresh_keys ? 0 : ones, 0, ones);
    float *gq = h->gq + first * a->d, *to = a->d % 16 ? h->scratch + p->gq : gq;
    if (to != gq && !fresh_queries) att_copy_rows(rows, a->d, gq, a->d, to, wide);
    att_product(rows, wide, n, n, ds, p->lds, 1, h->keys, to, wide, fresh_queries ? 0 : ones, 0, ones);
    if (to != gq) att_copy_rows(rows, a->d, to, wide, gq, a->d);
}

/* The block of keys k0 .. k0 + count - 1, against all queries that see any of it. */
static void att_bwd_block(att_bwd_head *h, int fresh_queries) {
    const att_bwd_context *x = h->x;
    const att_problem *a = x->a;
    const att_bwd_layout *p = x->p;
    const int64_t wide = att_round16(a->d), wide_v = att_round16(a->dv);
    float *gk = h->gk + h->k0 * a->d, *gv = h->gv + h->k0 * a->dv;
    h->block_k = a->d % 16 ? h->scratch + p->gk : gk;
    h->block_v = a->dv % 16 ? h->scratch + p->gv : gv;
    const int64_t start = a->causal ? h->k0 / ND_ATT_BWD_QUERIES * ND_ATT_BWD_QUERIES : 0;
    const int zeroed = a->causal || start >= a->lq; /* a tile that sees a part would leave the rest undefined */
    if (zeroed) {
        memset(h->block_k, 0, (size_t)(h->count * wide) * sizeof *gk);
        memset(h->block_v, 0, (size_t)(h->count * wide_v) * sizeof *gv);
    }
    const float *k = h->k + h->k0 * a->k.rs, *v = h->v + h->k0 * a->v.rs;
    att_pack_transposed(h->count, a->d, k, a->k.rs, a->k.cs, (float)((double)a->scale * nd_att_log2_e),
                        h->scratch + p->kt);
    att_pack_transposed(h->count, a->dv, v, a->v.rs, a->v.cs, a->scale, h->scratch + p->vt);
    h->keys = att_padded(h->count, a->d, k, a->k.rs, a->k.cs, h->scratch + p->k);
    for (int64_t first = start; first < a->lq; first += ND_ATT_BWD_QUERIES) {
        const int64_t rows = a->lq - first < ND_ATT_BWD_QUERIES ? a->lq - first : ND_ATT_BWD_QUERIES;
        att_bwd_tile(h, first, rows, !zeroed && first == start, fresh_queries);
    }
    if (a->d % 16) att_copy_rows(h->count, a->d, h->block_k, wide, gk, a->d);
    if (a->dv % 16) att_copy_rows(h->count, a->dv, h->block_v, wide_v, gv, a->dv);
}

static void att_bwd_unit(const att_bwd_context *x, int64_t unit, float *scratch) {
    const att_problem *a = x->a;
    const int64_t head = unit / x->p->ranges, range = unit % x->p->ranges, size = a->lq * a->d;
    const int64_t low = range * x->p->chunk, high = a->lk - low < x->p->chunk ? a->lk : low + x->p->chunk;
    att_bwd_head h;
    memset(&h, 0, sizeof h);
    h.x = x;
    h.extra = att_extra_of(a, x->data[4], head);
    h.g = att_head(a, x->g, x->data[0], head);
    h.q = att_head(a, &a->q, x->data[1], head);
    h.k = att_head(a, &a->k, x->data[2], head);
    h.v = att_head(a, &a->v, x->data[3], head);
    h.lse = att_head(a, x->lse, x->data[5], head);
    h.delta = att_head(a, x->delta, x->data[6], head);
    h.gq = range ? x->partial + ((range - 1) * a->heads + head) * size : (float *)x->data[8] + head * size;
    h.gk = (float *)x->data[9] + head * a->lk * a->d;
    h.gv = (float *)x->data[10] + head * a->lk * a->dv;
    h.scratch = scratch;
    const int zeroed = low >= high || (a->causal && low > 0); /* some queries may see no key of this range */
    if (zeroed) memset(h.gq, 0, (size_t)size * sizeof *h.gq);
    for (h.k0 = low; h.k0 < high; h.k0 += x->p->keys) {
        h.count = high - h.k0 < x->p->keys ? high - h.k0 : x->p->keys;
        att_bwd_block(&h, !zeroed && h.k0 == low);
    }
}

static void att_bwd_task(void *context, int64_t task, int worker) {
    const att_bwd_context *x = context;
    const int64_t low = x->units * task / x->tasks, high = x->units * (task + 1) / x->tasks;
    for (int64_t unit = low; unit < high; unit++) att_bwd_unit(x, unit, x->scratch + worker * x->p->size);
}

/* The gradient of the queries: range 0, plus 1, plus 2 ... */
static void att_bwd_gather(void *context, int64_t task, int worker) {
    (void)worker;
    const att_bwd_context *x = context;
    const int64_t size = att_query_size(x->a), low = size * task / x->tasks, high = size * (task + 1) / x->tasks;
    float *gq = x->data[8];
    for (int64_t j = low; j < high; j += ND_W) {
        const int left = high - j < ND_W ? (int)(high - j) : ND_W;
        vf sum = load_left(gq + j, left);
        for (int64_t r = 1; r < x->p->ranges; r++) sum = vf_add(sum, load_left(x->partial + (r - 1) * size + j, left));
        store_left(gq + j, sum, left);
    }
}

static int32_t op_attention_bwd_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    (void)persist;
    att_problem a;
    att_operand g, lse, delta;
    const int32_t status = att_bwd_read(c, &a, &g, &lse, &delta);
    ND_REQUIRE(status == ND_OK, status);
    const att_bwd_layout p = att_bwd_plan(&a, &g);
    att_bwd_context x = {&a, &p, &g, &lse, &delta, data, scratch, (float *)scratch + p.size * c->threads,
                         att_generator(&a, c->view[7] ? data[7] : 0), a.heads * p.ranges, 0};
    if (!x.units) return ND_OK;
    const double work = (double)a.heads * (double)a.lq * (double)a.lk * (double)(a.d + a.dv + 16);
    const int64_t most = c->threads == 1 || work < ND_ATT_SMALL ? 1 : 4 * (int64_t)c->threads;
    x.tasks = most == 1 ? 1 : x.units < most ? x.units : most;
    if (most == 1) att_bwd_task(&x, 0, 0);
    else nd_parallel(x.tasks, att_bwd_task, &x);
    if (p.ranges == 1) return ND_OK;
    x.tasks = most;
    if (most == 1) att_bwd_gather(&x, 0, 0);
    else nd_parallel(x.tasks, att_bwd_gather, &x);
    return ND_OK;
}
