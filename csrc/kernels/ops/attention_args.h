/* The operands of attention: checks, strides over the leading axes, masks and dropout of one tile of scores. */

enum {
    ND_ATT_KEYS = 512,        /* keys of one block: where the softmax is rescaled, so part of the meaning of the bits */
    ND_ATT_MAX_WIDTH = 1 << 20 /* features of one head */
};

static const double nd_att_log2_e = 1.4426950408889634, nd_att_ln2 = 0.6931471805599453;

/* One operand: its last two axes, and the strides of the leading axes of the result (0 where it has length 1). */
typedef struct {
    int64_t n, m, rs, cs, lead[ND_MAX_RANK];
} att_operand;

typedef struct {
    int axes;                     /* leading axes of the result */
    int64_t dims[ND_MAX_RANK];    /* their lengths */
    int64_t heads, lq, lk, d, dv; /* heads: the product of dims */
    att_operand q, k, v, mask;
    int32_t mask_dtype; /* -1: no mask */
    int causal;
    float scale, inverse; /* inverse: 1 / (1 - p), 0 for p = 1 */
    double p;
    uint64_t stream; /* added to the one in the state */
} att_problem;

/* The log of a sum of exponentials whose largest exponent is top (in units of log 2); 0 where the sum is empty. */
static inline vf att_lse(vf top, vf sum) {
    const vf y = vf_fma(top, vf_set1((float)nd_att_ln2), v_log1p(vf_sub(sum, vf_set1(1.0f))));
    return vf_blend(vf_eq(sum, vf_set1(0.0f)), vf_set1(0.0f), y);
}

/* The product of two lengths, or -1 when it is too large. */
static inline int64_t att_times(int64_t a, int64_t b) {
    if (a < 0 || b < 0) return -1;
    return b && a > ((int64_t)1 << 52) / b ? -1 : a * b;
}

/* Reads one operand; its leading axes must broadcast to those of the problem. `small`: rank 0 and 1 are good too. */
static int32_t att_read(const nd_view *v, const att_problem *a, int small, att_operand *o) {
    ND_REQUIRE(v, ND_ENULL);
    ND_REQUIRE(v->rank >= (small ? 0 : 2) && v->rank <= a->axes + 2, ND_ESIZE);
    memset(o, 0, sizeof *o);
    o->n = v->rank > 1 ? v->dims[v->rank - 2] : 1;
    o->m = v->rank > 0 ? v->dims[v->rank - 1] : 1;
    o->rs = v->rank > 1 && o->n != 1 ? v->strides[v->rank - 2] : 0;
    o->cs = v->rank > 0 && o->m != 1 ? v->strides[v->rank - 1] : small ? 0 : 1;
    for (int i = 0; i < v->rank - 2; i++) {
        const int axis = a->axes - (v->rank - 2) + i;
        ND_REQUIRE(v->dims[i] == 1 || v->dims[i] == a->dims[axis], ND_ESIZE);
        o->lead[axis] = v->dims[i] == 1 ? 0 : v->strides[i];
    }
    return ND_OK;
}

/* The same for float32 of exactly n by m. */
static int32_t att_read_as(const nd_view *v, const att_problem *a, int64_t n, int64_t m, att_operand *o) {
    const int32_t status = att_read(v, a, 0, o);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(v->dtype == ND_F32, ND_EVALUE);
    ND_REQUIRE(o->n == n && o->m == m, ND_ESIZE);
    return ND_OK;
}

/* An output: every leading axis in full, rows of unit stride. */
static int32_t att_read_output(const nd_view *v, const att_problem *a, int64_t n, int64_t m, att_operand *o) {
    const int32_t status = att_read_as(v, a, n, m, o);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(v->rank == a->axes + 2 && (nd_size(v) == 0 || nd_dense(v)), ND_ESIZE);
    for (int i = 0; i < a->axes; i++) ND_REQUIRE(v->dims[i] == a->dims[i], ND_ESIZE);
    return ND_OK;
}

static int32_t att_read_mask(const nd_view *v, att_problem *a) {
    a->mask_dtype = -1;
    if (!v) return ND_OK;
    ND_REQUIRE(v->dtype == ND_F32 || v->dtype == ND_BOOL, ND_EVALUE);
    const int32_t status = att_read(v, a, 1, &a->mask);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE((a->mask.n == 1 || a->mask.n == a->lq) && (a->mask.m == 1 || a->mask.m == a->lk), ND_ESIZE);
    a->mask_dtype = v->dtype;
    return ND_OK;
}

/* Attributes is_causal, scale, dropout_p, stream, and the state that dropout reads. */
static int32_t att_read_attrs(const nd_call *c, const nd_view *rng, att_problem *a) {
    ND_REQUIRE(c->n_attr == 4, ND_EVALUE);
    ND_REQUIRE(c->attr[0] == 0 || c->attr[0] == 1, ND_EVALUE);
    const double scale = nd_attr_f64(c, 1);
    ND_REQUIRE(fabs(scale) <= 1e30, ND_EVALUE); /* no NaN either */
    a->p = nd_attr_f64(c, 2);
    ND_REQUIRE(a->p >= 0.0 && a->p <= 1.0, ND_EVALUE);
    a->causal = (int)c->attr[0];
    a->scale = (float)scale;
    a->inverse = a->p < 1.0 ? (float)(1.0 / (1.0 - a->p)) : 0.0f;
    a->stream = (uint64_t)c->attr[3];
    ND_REQUIRE(rng || a->p == 0.0, ND_ENULL);
    ND_REQUIRE(!rng || (rng->rank == 1 && rng->dims[0] == 2 && nd_is(rng, ND_I64)), ND_EVALUE);
    return ND_OK;
}

/* What both operations share. `full` is an operand [*lead, Lq, *] that has every leading axis. */
static int32_t att_read_problem(const nd_call *c, const nd_view *full, const nd_view *const *qkvm, const nd_view *rng,
                                att_problem *a) {
    memset(a, 0, sizeof *a);
    ND_REQUIRE(full && qkvm[0] && qkvm[1] && qkvm[2], ND_ENULL);
    for (int i = 0; i < 3; i++) ND_REQUIRE(qkvm[i]->rank >= 2 && qkvm[i]->rank <= ND_MAX_RANK, ND_ESIZE);
    ND_REQUIRE(full->rank >= 2 && full->rank <= ND_MAX_RANK, ND_ESIZE);
    a->axes = full->rank - 2;
    a->heads = 1;
    for (int i = 0; i < a->axes; i++) {
        a->dims[i] = full->dims[i];
        a->heads = att_times(a->heads, a->dims[i]);
        ND_REQUIRE(a->heads >= 0, ND_ESIZE);
    }
    a->lq = qkvm[0]->dims[qkvm[0]->rank - 2];
    a->d = qkvm[0]->dims[qkvm[0]->rank - 1];
    a->lk = qkvm[1]->dims[qkvm[1]->rank - 2];
    a->dv = qkvm[2]->dims[qkvm[2]->rank - 1];
    ND_REQUIRE(a->d >= 0 && a->dv >= 0 && a->d <= ND_ATT_MAX_WIDTH && a->dv <= ND_ATT_MAX_WIDTH, ND_ESIZE);
    ND_REQUIRE(att_times(a->heads, att_times(a->lq, a->lk)) >= 0, ND_ESIZE);
    int32_t status = att_read_as(qkvm[0], a, a->lq, a->d, &a->q);
    if (status == ND_OK) status = att_read_as(qkvm[1], a, a->lk, a->d, &a->k);
    if (status == ND_OK) status = att_read_as(qkvm[2], a, a->lk, a->dv, &a->v);
    if (status == ND_OK) status = att_read_mask(qkvm[3], a);
    if (status == ND_OK) status = att_read_attrs(c, rng, a);
    return status;
}

/* How many of the keys k0 .. k0 + n - 1 query i may see by causality. */
static inline int64_t att_seen(const att_problem *a, int64_t i, int64_t k0, int64_t n) {
    const int64_t reach = i + 1 - k0;
    if (!a->causal || reach >= n) return n;
    return reach > 0 ? reach : 0;
}

/* Where the element [0, 0] of one head is, in elements from the start. */
static inline int64_t att_offset(const att_problem *a, const att_operand *o, int64_t head) {
    int64_t at = 0;
    for (int i = a->axes - 1; i > 0; i--) {
        at += head % a->dims[i] * o->lead[i];
        head /= a->dims[i];
    }
    return a->axes ? at + head * o->lead[0] : at;
}

static inline const float *att_head(const att_problem *a, const att_operand *o, const void *data, int64_t head) {
    return (const float *)data + att_offset(a, o, head);
}

/* The mask of one head, and where the random numbers of its probabilities start. */
typedef struct {
    const att_problem *problem;
    const void *mask;
    uint64_t first;
} att_extra;

static att_extra att_extra_of(const att_problem *a, const void *mask, int64_t head) {
    att_extra e = {a, mask, (uint64_t)head * (uint64_t)a->lq * (uint64_t)a->lk};
    if (a->mask_dtype >= 0) e.mask = (const char *)mask + att_offset(a, &a->mask, head) * nd_item_size(a->mask_dtype);
    return e;
}

/* Scores of query i and keys k0 .. k0 + n - 1, in units of log 2: -inf where a boolean mask is false, plus a float
   mask. */
static void att_mask_row(const att_extra *e, int64_t i, int64_t k0, int64_t n, float *s) {
    const att_problem *a = e->problem;
    const int64_t at = i * a->mask.rs + k0 * a->mask.cs, cs = a->mask.cs;
    if (a->mask_dtype == ND_BOOL) {
        const uint8_t *m = (const uint8_t *)e->mask + at;
        for (int64_t j = 0; j < n; j++) s[j] = m[j * cs] ? s[j] : -INFINITY;
        return;
    }
    const float *m = (const float *)e->mask + at;
    const vf unit = vf_set1((float)nd_att_log2_e);
    for (int64_t j = 0; j < n; j += ND_W) {
        const int left = n - j < ND_W ? (int)(n - j) : ND_W;
        float line[ND_W] = {0};
        for (int l = 0; cs != 1 && l < left; l++) line[l] = m[(j + l) * cs];
        const vf x = cs == 1 ? load_left(m + j, left) : vf_load(line);
        store_left(s + j, vf_fma(x, unit, load_left(s + j, left)), left);
    }
}

/* The generator of the state `rng`: (key, first stream), or NULL. */
static philox att_generator(const att_problem *a, const int64_t *rng) {
    return rng ? philox_make((uint64_t)rng[0], (uint64_t)rng[1] + a->stream) : philox_make(0, 0);
}

/* factor[j] = 1 / (1 - p) where the probability of query i and key k0 + j is kept, else 0: as `dropout` of [*, Lq,
   Lk]. */
static void att_dropout_row(const att_extra *e, const philox *gen, int64_t i, int64_t k0, int64_t n, float *factor) {
    const att_problem *a = e->problem;
    const uint64_t start = e->first + (uint64_t)i * (uint64_t)a->lk + (uint64_t)k0;
    const vi threshold = vi_set1(a->p < 1.0 ? (uint32_t)(a->p * 4294967296.0) : 0);
    const vf zero = vf_set1(0.0f), keep = vf_set1(a->inverse);
    const int64_t skip = (int64_t)(start % 4);
    uint64_t block = start / 4;
    for (int64_t j = -skip; j < n; j += 4 * ND_W, block += ND_W) { /* words start at a multiple of 4 */
        vi words[4];
        float line[4 * ND_W];
        philox_words(gen, block, words);
        for (int l = 0; l < 4; l++) vf_store(line + l * ND_W, vf_blend(vi_ltu(words[l], threshold), zero, keep));
        const int64_t low = j < 0 ? -j : 0, high = n - j < 4 * ND_W ? n - j : 4 * ND_W;
        memcpy(factor + j + low, line + low, (size_t)(high - low) * sizeof *factor);
    }
}
