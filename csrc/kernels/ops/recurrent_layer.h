/* What the recurrent layers share: their sizes, memory, packed weights and rows of strided operands. Contract: recurrent.h.
 *
 * The gates of ND_W hidden units lie side by side: a block of z is [vectors][ND_W], of which the input's product fills
 * `window` vectors from `shift` on and the state's product the first `window`:
 *     lstm  i f g o      both all four
 *     gru   hn r z xn    the state's product the first three, the input's the last three
 *     rnn   z            both the one
 * so that one pass over the block makes the new state. */
#ifndef ND_REC_LAYER_H
#define ND_REC_LAYER_H

typedef enum { REC_TANH = 0, REC_RELU = 1, REC_GRU = 2, REC_LSTM = 3 } rec_cell;

enum {
    REC_ROWS = 48,         /* the most rows that go through time together */
    REC_FORWARD_ROWS = 96, /* about as many rows of x are projected at once: their z stays in the second cache */
    REC_BACK_ROWS = 256,   /* about as many rows of dz are made before the weights' gradients take them up */
    REC_PARALLEL = 100000, /* multiplications below which a layer runs on one thread */
};
#define REC_MOST ((int64_t)1 << 52) /* floats: more than memory, and sums of a few of them stay far below overflow */

typedef struct {
    rec_cell cell;
    int states, reverse;     /* arrays of state; whether time runs back */
    int gates, kept;         /* rows of the weights and columns of kept, in H */
    int vectors, window, shift;
    int64_t steps, batch, in, hidden;
    int64_t width;           /* hidden rounded up to whole vectors */
    int64_t z_row;           /* floats of a row of z */
    int64_t rows, groups;    /* rows of a group, groups */
    int64_t workers;         /* threads that the work is worth */
    int64_t threads;         /* numbers that a worker may have */
} rec_sizes;

static int64_t rec_times(int64_t a, int64_t b) { /* a b, or REC_MOST where that is less */
    return a && b > REC_MOST / a ? REC_MOST : a * b;
}

static int64_t rec_round(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

static int64_t rec_least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Fills the numbers that follow from cell, steps, batch, in and hidden. */
static void rec_complete(rec_sizes *s, int threads) {
    static const int gates[4] = {1, 1, 3, 4}, window[4] = {1, 1, 3, 4}, vectors[4] = {1, 1, 4, 4};
    s->gates = gates[s->cell];
    s->vectors = vectors[s->cell];
    s->window = window[s->cell];
    s->shift = s->cell == REC_GRU;
    s->states = s->cell == REC_LSTM ? 2 : 1;
    s->kept = s->cell >= REC_GRU ? 4 : 0;
    s->width = rec_round(s->hidden, ND_W);
    s->threads = threads < 1 ? 1 : threads;
    s->z_row = s->width * s->vectors;
    const int64_t work = rec_times(rec_times(s->steps, s->batch),
                                   rec_times(s->gates * s->hidden, s->in + s->hidden));
    const int64_t workers = s->workers = work < REC_PARALLEL ? 1 : s->threads;
    /* Rows are independent, so the number of groups may follow the threads: no bit depends on it. */
    const int64_t rounds = (s->batch + REC_ROWS * workers - 1) / (REC_ROWS * workers);
    s->rows = s->batch ? (s->batch + rounds * workers - 1) / (rounds * workers) : 0;
    s->groups = s->batch ? (s->batch + s->rows - 1) / s->rows : 0;
}

/* One stretch after the other of a block of memory, 64-byte aligned; with base NULL it only counts. */
typedef struct {
    char *base;
    int64_t used; /* bytes */
} rec_memory;

static float *rec_take(rec_memory *m, int64_t floats) {
    float *at = m->base ? (float *)(void *)(m->base + m->used) : 0;
    m->used += nd_align64(rec_least(floats, REC_MOST) * (int64_t)sizeof(float));
    return at;
}

/* Packed weights: panels of `window` vectors (rnn: up to 4 blocks of hidden units) for k = 0 .. depth - 1, one panel after
   the other. `columns` is the number of vectors in all. */
typedef struct {
    int64_t columns;
    int most; /* vectors of every panel but the last */
} rec_panels;

static rec_panels rec_gate_panels(const rec_sizes *s) {
    return (rec_panels){s->width / ND_W * s->window, s->cell >= REC_GRU ? s->window : 4};
}

static rec_panels rec_plain_panels(int64_t columns) {
    return (rec_panels){rec_round(columns, ND_W) / ND_W, 4};
}

static int64_t rec_panels_size(rec_panels p, int64_t depth) { return rec_times(rec_times(p.columns, ND_W), depth); }

/* to[k step + lane] = w[lane][k], 16 k at a time so that both sides stay in the first cache. */
static void rec_pack_lanes(const float *w, int64_t lane_step, int64_t k_step, int64_t lanes, int64_t depth, float *to,
                           int64_t step) {
    for (int64_t first = 0; first < depth; first += 16) {
        const int64_t end = rec_least(first + 16, depth);
        for (int64_t lane = 0; lane < ND_W; lane++) {
            const float *from = w + lane * lane_step;
            for (int64_t k = first; k < end; k++) to[k * step + lane] = lane < lanes ? from[k * k_step] : 0.0f;
        }
    }
}

/* w [gates H, depth] as the B of z += a w': panels of gate vectors. Vector i of a block holds gate (i + turn) % gates. */
static void rec_pack_gates(const rec_sizes *s, int turn, const nd_view *view, const float *w, float *to) {
    const rec_panels p = rec_gate_panels(s);
    const int64_t depth = view->dims[1], row = view->strides[0];
    for (int64_t first = 0; first < p.columns; first += p.most) {
        const int64_t count = rec_least(p.most, p.columns - first);
        for (int64_t v = first; v < first + count; v++) {
            const int64_t unit = v / s->window * ND_W, gate = (v % s->window + turn) % s->gates;
            rec_pack_lanes(w + (gate * s->hidden + unit) * row, row, view->strides[1],
                           rec_least(s->hidden - unit, ND_W), depth, to + (v - first) * ND_W, count * ND_W);
        }
        to += count * ND_W * depth;
    }
}

/* w [depth, columns] as the B of a w. */
static void rec_pack_plain(const nd_view *view, const float *w, float *to) {
    const rec_panels p = rec_plain_panels(view->dims[1]);
    const int64_t depth = view->dims[0], step = view->strides[1];
    for (int64_t first = 0; first < p.columns; first += p.most) {
        const int64_t lanes = rec_least(p.most, p.columns - first) * ND_W;
        const int64_t valid = rec_least(lanes, view->dims[1] - first * ND_W);
        for (int64_t k = 0; k < depth; k++) {
            const float *from = w + k * view->strides[0] + first * ND_W * step;
            for (int64_t i = 0; i < valid; i++) to[i] = from[i * step];
            for (int64_t i = valid; i < lanes; i++) to[i] = 0.0f;
            to += lanes;
        }
    }
}

/* `count` numbers `step` apart, then zeros up to `width`. */
static void rec_copy_row(const float *from, int64_t step, int64_t count, int64_t width, float *to) {
    if (step == 1) memcpy(to, from, (size_t)count * sizeof *to);
    else
        for (int64_t i = 0; i < count; i++) to[i] = from[i * step];
    for (int64_t i = count; i < width; i++) to[i] = 0.0f;
}

/* Rows first .. first + count - 1 of a strided [batch, hidden] into rows of `width`. */
static void rec_load_rows(const nd_view *v, const float *data, int64_t first, int64_t count, int64_t width, float *to) {
    for (int64_t r = 0; r < count; r++)
        rec_copy_row(data + (first + r) * v->strides[0], v->strides[1], v->dims[1], width, to + r * width);
}

static void rec_store_rows(const float *from, int64_t count, int64_t width, int64_t hidden, float *to) {
    for (int64_t r = 0; r < count; r++) memcpy(to + r * hidden, from + r * width, (size_t)hidden * sizeof *to);
}

/* Output i, or NULL where it is absent. */
static void *rec_output(const nd_call *c, void *const *data, int i) {
    return c->view[c->n_in + i] ? data[c->n_in + i] : 0;
}

/* The lengths as they count, in `to`; NULL where every sequence counts to its end. */
static const int64_t *rec_lengths(const rec_sizes *s, const nd_view *v, const void *data, int64_t *to) {
    int whole = 1;
    if (!v) return 0;
    for (int64_t b = 0; b < s->batch; b++) {
        const int64_t at = b * v->strides[0];
        to[b] = v->dtype == ND_I64 ? ((const int64_t *)data)[at] : ((const int32_t *)data)[at];
        whole &= to[b] >= s->steps;
    }
    return whole ? 0 : to;
}

/* The step of time that comes `at`-th. */
static int64_t rec_time(const rec_sizes *s, int64_t at) { return s->reverse ? s->steps - 1 - at : at; }

/* A row of x with zeros where it does not count. */
static void rec_load_x(const rec_sizes *s, const nd_view *v, const float *data, int64_t t, int64_t b, int counts, float *to) {
    if (counts) rec_copy_row(data + t * v->strides[0] + b * v->strides[1], v->strides[2], s->in, s->in, to);
    else memset(to, 0, (size_t)s->in * sizeof *to);
}

static int rec_view_is(const nd_view *v, int rank, int64_t d0, int64_t d1, int64_t d2) {
    const int64_t dims[3] = {d0, d1, d2};
    return v && v->dtype == ND_F32 && v->rank == rank && memcmp(v->dims, dims, (size_t)rank * sizeof *dims) == 0;
}

static int rec_dense_is(const nd_view *v, int rank, int64_t d0, int64_t d1, int64_t d2) {
    const int empty = !d0 || (rank > 1 && !d1) || (rank > 2 && !d2); /* may have any strides */
    return rec_view_is(v, rank, d0, d1, d2) && (empty || nd_dense(v));
}

static int rec_dense_or_absent(const nd_view *v, int rank, int64_t d0, int64_t d1, int64_t d2) {
    return !v || rec_dense_is(v, rank, d0, d1, d2);
}

/* Checks attributes and the layer's inputs, which begin at `in`: x, h0, (c0), w_ih, w_hh, b_ih, b_hh, lengths. */
static int32_t rec_check(const nd_call *c, rec_cell cell, const nd_view *const *in, rec_sizes *s) {
    const int n_attr = cell <= REC_RELU ? 2 : 1, n = cell == REC_LSTM ? 2 : 1;
    ND_REQUIRE(c->n_attr == n_attr, ND_EVALUE);
    for (int i = 0; i < n_attr; i++) ND_REQUIRE(c->attr[i] == 0 || c->attr[i] == 1, ND_EVALUE);
    const nd_view *x = in[0], *w_hh = in[2 + n];
    ND_REQUIRE(x && w_hh, ND_ENULL);
    ND_REQUIRE(x->dtype == ND_F32 && x->rank == 3 && w_hh->rank == 2, ND_EVALUE);
    *s = (rec_sizes){.cell = cell <= REC_RELU ? (c->attr[0] ? REC_RELU : REC_TANH) : cell,
                     .reverse = (int)c->attr[n_attr - 1], .steps = x->dims[0], .batch = x->dims[1], .in = x->dims[2],
                     .hidden = w_hh->dims[1]};
    const int64_t most = (int64_t)1 << 40;
    ND_REQUIRE(s->steps >= 1 && s->steps <= most && s->batch >= 0 && s->batch <= most && s->in >= 0 && s->in <= most &&
               s->hidden >= 0 && s->hidden <= most, ND_ESIZE);
    rec_complete(s, c->threads);
    const int64_t rows = s->gates * s->hidden;
    for (int i = 1; i <= n; i++) ND_REQUIRE(rec_view_is(in[i], 2, s->batch, s->hidden, 0), ND_ESIZE);
    ND_REQUIRE(rec_view_is(in[1 + n], 2, rows, s->in, 0) && rec_view_is(w_hh, 2, rows, s->hidden, 0), ND_ESIZE);
    for (int i = 3 + n; i < 5 + n; i++) ND_REQUIRE(!in[i] || rec_view_is(in[i], 1, rows, 0, 0), ND_ESIZE);
    const nd_view *lengths = in[5 + n];
    ND_REQUIRE(!lengths || ((lengths->dtype == ND_I64 || lengths->dtype == ND_I32) && lengths->rank == 1 &&
                            lengths->dims[0] == s->batch), ND_ESIZE);
    return ND_OK;
}

/* What run may rely on once prepare has let the call through: the same sizes. */
static rec_sizes rec_sizes_of(const nd_call *c, rec_cell cell, const nd_view *const *in) {
    rec_sizes s;
    (void)rec_check(c, cell, in, &s);
    return s;
}

/* The memory that was counted, or a refusal where it is more than there can be. */
static int32_t rec_counted(const rec_memory *m, int64_t *bytes) {
    ND_REQUIRE(m->used < REC_MOST, ND_ESIZE);
    *bytes = m->used;
    return ND_OK;
}

#endif
