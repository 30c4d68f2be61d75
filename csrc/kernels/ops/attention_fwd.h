/* Forward: tasks own ranges of queries of one head. Keys come in blocks of 512; of each block K is packed once per
   task, transposed and scaled, and 48 queries at a time get their scores, the softmax so far, and their share of the
   output. */

enum {
    ND_ATT_QUERIES = 48, /* of one tile */
    ND_ATT_STEP = 128,   /* keys of one chain; their rows of V stay in L1 */
    ND_ATT_CHUNK = 1536  /* queries of one task, at most */
};

/* Queries of one task, keys of one block, the stride of a row of scores; then offsets within a worker's scratch, and
   its size, in floats. */
typedef struct {
    int64_t chunk, keys, lds, packed_k, packed_v, queries, s, o, top, sum, line, size;
} att_fwd_layout;

/* Whether attention_short.h does it. */
static inline int att_is_short(const att_problem *a) {
    return a->lk > 0 && a->lk <= ND_ATT_KEYS && a->mask_dtype < 0 && a->p == 0.0;
}

static att_fwd_layout att_fwd_plan(const att_problem *a, int threads) {
    att_fwd_layout p;
    const int is_short = att_is_short(a);
    const int64_t most = 4 * (int64_t)threads, heads = a->heads > 0 ? a->heads : 1;
    const int64_t wanted = heads >= most ? 1 : (most + heads - 1) / heads;
    int64_t chunk = threads == 1 ? a->lq : (a->lq + wanted - 1) / wanted;
    if (chunk < 2 * ND_ATT_QUERIES) chunk = 2 * ND_ATT_QUERIES;
    if (chunk > ND_ATT_CHUNK) chunk = ND_ATT_CHUNK;
    p.chunk = (chunk + ND_ATT_QUERIES - 1) / ND_ATT_QUERIES * ND_ATT_QUERIES;
    p.keys = a->lk < ND_ATT_KEYS ? att_round16(a->lk) : ND_ATT_KEYS;
    p.lds = p.keys + (p.keys >= 256 ? 16 : 0); /* rows a power of two apart would share cache sets */
    const int64_t wide = att_round16(a->dv);
    p.packed_k = 0;
    p.packed_v = p.packed_k + p.keys * a->d;
    p.queries = p.packed_v + (att_in_place(a->dv, a->v.cs) ? 0 : p.keys * wide);
    p.s = p.queries + (is_short ? ND_ATT_PANEL * a->d : 0);
    p.o = p.s + (is_short ? ND_ATT_PANEL : ND_ATT_QUERIES) * p.lds;
    p.top = p.o + (a->dv % 16 ? (is_short ? ND_ATT_PANEL : ND_ATT_QUERIES) * wide : 0);
    p.sum = p.top + p.chunk;
    p.line = p.sum + p.chunk;
    p.size = att_round16(p.line + 5 * ND_ATT_KEYS + 64);
    return p;
}

static int32_t att_fwd_read(const nd_call *c, att_problem *a) {
    ND_REQUIRE(c->n_in == 5 && c->n_out == 2, ND_EVALUE);
    int32_t status = att_read_problem(c, c->view[5], c->view, c->view[4], a);
    att_operand o;
    if (status == ND_OK) status = att_read_output(c->view[5], a, a->lq, a->dv, &o);
    if (status == ND_OK && c->view[6]) status = att_read_output(c->view[6], a, a->lq, 1, &o);
    return status;
}

static int32_t op_attention_prepare(nd_call *c) {
    att_problem a;
    const int32_t status = att_fwd_read(c, &a);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(c->threads >= 1 && c->threads <= 4096, ND_EVALUE);
    c->scratch = att_fwd_plan(&a, c->threads).size * 4 * c->threads;
    return ND_OK;
}

typedef struct {
    const att_problem *a;
    const att_fwd_layout *p;
    void *const *data;
    float *scratch, *lse; /* lse may be NULL */
    philox gen;
    int64_t chunks, units, tasks;
} att_fwd_context;

/* One head, as a task sees it. */
typedef struct {
    const att_problem *a;
    const att_fwd_layout *p;
    const philox *gen;
    att_extra extra;
    const float *q, *k, *v;
    float *out, *lse, *scratch;
    att_rows values; /* of the block of keys k0 .. k0 + count - 1 */
    int64_t k0, count;
} att_fwd_head;

#include "attention_short.h"

/* Probabilities of one row before the division: e^(score - top) for n keys, zeros up to `cols`; moves *top, adds to
   *sum. Returns the factor for what was summed with the old top. */
static float att_softmax_row(float *s, int64_t n, int64_t cols, float *top, float *sum) {
    const vf low = vf_set1(-INFINITY);
    lanes16 most;
    ND_UNROLL
    for (int k = 0; k < ND_REGS; k++) most.r[k] = low;
    int64_t j = 0;
    for (; j + ND_LANES <= n; j += ND_LANES) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) most.r[k] = vf_max(vf_load(s + j + k * ND_W), most.r[k]);
    }
    for (int64_t l = j; l < cols; l += ND_LANES) { /* what is past n counts no longer */
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) {
            const vf x = l < n ? load_tail(s + l, n - l < ND_LANES ? (int)(n - l) : ND_LANES, k, low) : low;
            most.r[k] = vf_max(x, most.r[k]);
            vf_store(s + l + k * ND_W, x);
        }
    }
    ND_UNROLL
    for (int h = ND_REGS / 2; h > 0; h /= 2) {
        ND_UNROLL
        for (int k = 0; k < h; k++) most.r[k] = vf_max(most.r[k], most.r[k + h]);
    }
    const float here = vf_top(most.r[0]), old = *top, now = old > here ? old : here;
    const float base = now == -INFINITY ? 0.0f : now;
    const vf b = vf_set1(base);
    lanes16 acc = lanes_zero();
    for (j = 0; j < cols; j += ND_LANES) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) {
            const vf e = att_exp2(vf_sub(vf_load(s + j + k * ND_W), b));
            acc.r[k] = vf_add(acc.r[k], e);
            vf_store(s + j + k * ND_W, e);
        }
    }
    const float factor = old == -INFINITY ? 0.0f : att_exp2_one(old - base);
    *top = now;
    *sum = *sum * factor + lanes_sum(acc);
    return factor;
}

/* The probabilities of `rows` queries from `first` and n keys of this block, dropped where asked; `before` gets the
   factors for what is there already, `after` 1 / sum. */
static void att_probabilities(const att_fwd_head *h, int64_t first, int64_t rows, int64_t n, float *s, float *before,
                              float *after) {
    const att_problem *a = h->a;
    float *top = h->scratch + h->p->top + first % h->p->chunk, *sum = h->scratch + h->p->sum + first % h->p->chunk;
    float *line = h->scratch + h->p->line;
    for (int64_t i = 0; i < rows; i++, s += h->p->lds) {
        const int64_t mine = att_seen(a, first + i, h->k0, n);
        if (a->mask_dtype >= 0) att_mask_row(&h->extra, first + i, h->k0, mine, s);
        if (h->k0 == 0) {
            top[i] = -INFINITY;
            sum[i] = 0.0f;
        }
        before[i] = att_softmax_row(s, mine, att_round16(n), top + i, sum + i);
        after[i] = sum[i] == 0.0f ? 1.0f : 1.0f / sum[i];
        if (a->p == 0.0) continue;
        att_dropout_row(&h->extra, h->gen, first + i, h->k0, mine, line);
        for (int64_t j = 0; j < mine; j++) s[j] *= line[j];
    }
}

/* One tile: rows queries from `first`, and what they may see of this block. */
static void att_fwd_tile(const att_fwd_head *h, int64_t first, int64_t rows) {
    const att_problem *a = h->a;
    const int64_t n = att_seen(a, first + rows - 1, h->k0, h->count);
    if (n == 0) return;
    float *s = h->scratch + h->p->s, *line = h->scratch + h->p->line + ND_ATT_KEYS;
    float *before = line, *after = line + ND_ATT_QUERIES, *ones = line + 2 * ND_ATT_QUERIES;
    att_times_packed(rows, att_round16(n), a->d, h->q + first * a->q.rs, a->q.rs, a->q.cs, h->scratch + h->p->packed_k,
                     h->count, s, h->p->lds);
    att_probabilities(h, first, rows, n, s, before, after);
    const int64_t seen = h->k0 + h->count, last = seen == a->lk || (a->causal && first + rows <= seen);
    const int64_t wide = att_round16(a->dv), direct = a->dv % 16 == 0;
    float *out = h->out + first * a->dv, *o = direct ? out : h->scratch + h->p->o;
    if (!direct && h->k0) att_copy_rows(rows, a->dv, out, a->dv, o, wide);
    for (int i = 0; i < ND_ATT_QUERIES; i++) ones[i] = 1.0f;
    att_product(rows, wide, n, ND_ATT_STEP, s, h->p->lds, 1, h->values, o, wide, h->k0 ? before : 0, last ? after : 0,
                ones);
    if (!direct) att_copy_rows(rows, a->dv, o, wide, out, a->dv);
}

static void att_write_lse(const att_fwd_head *h, int64_t rows, float *lse) {
    const float *top = h->scratch + h->p->top, *sum = h->scratch + h->p->sum;
    for (int64_t i = 0; i < rows; i += ND_W) {
        const int left = rows - i < ND_W ? (int)(rows - i) : ND_W;
        store_left(lse + i, att_lse(load_left(top + i, left), load_left(sum + i, left)), left);
    }
}

/* Queries r0 .. r1 - 1 of one head. */
static void att_fwd_range(att_fwd_head *h, int64_t r0, int64_t r1) {
    const att_problem *a = h->a;
    const int64_t keys = a->causal && r1 < a->lk ? r1 : a->lk;
    for (h->k0 = 0; h->k0 < keys; h->k0 += ND_ATT_KEYS) {
        h->count = keys - h->k0 < ND_ATT_KEYS ? keys - h->k0 : ND_ATT_KEYS;
        att_pack_transposed(h->count, a->d, h->k + h->k0 * a->k.rs, a->k.rs, a->k.cs,
                            (float)((double)a->scale * nd_att_log2_e), h->scratch + h->p->packed_k);
        h->values = att_padded(h->count, a->dv, h->v + h->k0 * a->v.rs, a->v.rs, a->v.cs, h->scratch + h->p->packed_v);
        for (int64_t first = r0; first < r1; first += ND_ATT_QUERIES)
            att_fwd_tile(h, first, r1 - first < ND_ATT_QUERIES ? r1 - first : ND_ATT_QUERIES);
    }
    if (!keys) memset(h->out + r0 * a->dv, 0, (size_t)((r1 - r0) * a->dv) * sizeof *h->out);
    if (!h->lse) return;
    if (keys) att_write_lse(h, r1 - r0, h->lse + r0);
    else memset(h->lse + r0, 0, (size_t)(r1 - r0) * sizeof *h->lse);
}

static void att_fwd_task(void *context, int64_t task, int worker) {
    const att_fwd_context *x = context;
    const att_problem *a = x->a;
    const int64_t low = x->units * task / x->tasks, high = x->units * (task + 1) / x->tasks;
    for (int64_t unit = low; unit < high; unit++) {
        const int64_t head = unit / x->chunks, r0 = unit % x->chunks * x->p->chunk;
        const int64_t r1 = a->lq - r0 < x->p->chunk ? a->lq : r0 + x->p->chunk;
        att_fwd_head h = {a, x->p, &x->gen, att_extra_of(a, x->data[3], head), att_head(a, &a->q, x->data[0], head),
                          att_head(a, &a->k, x->data[1], head), att_head(a, &a->v, x->data[2], head),
                          (float *)x->data[5] + head * a->lq * a->dv,
                          x->lse ? x->lse + head * a->lq : 0, x->scratch + worker * x->p->size, {0, 0}, 0, 0};
        if (att_is_short(a)) att_short_range(&h, r0, r1);
        else att_fwd_range(&h, r0, r1);
    }
}

static int32_t op_attention_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    (void)persist;
    att_problem a;
    const int32_t status = att_fwd_read(c, &a);
    ND_REQUIRE(status == ND_OK, status);
    const att_fwd_layout p = att_fwd_plan(&a, c->threads);
    att_fwd_context x = {&a, &p, data, scratch, c->view[6] ? data[6] : 0,
                         att_generator(&a, c->view[4] ? data[4] : 0), 0, 0, 0};
    x.chunks = (a.lq + p.chunk - 1) / p.chunk;
    x.units = a.heads * x.chunks;
    if (!x.units) return ND_OK;
    const double work = (double)a.heads * (double)a.lq * (double)a.lk * (double)(a.d + a.dv + 16);
    const int64_t most = c->threads == 1 || work < ND_ATT_SMALL ? 1 : 4 * (int64_t)c->threads;
    x.tasks = x.units < most ? x.units : most;
    if (most == 1) att_fwd_task(&x, 0, 0);
    else nd_parallel(x.tasks, att_fwd_task, &x);
    return ND_OK;
}
