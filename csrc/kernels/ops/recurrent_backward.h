/* rnn_bwd, gru_bwd and lstm_bwd. Contract: recurrent.h.
 *
 * Stretches of about REC_BACK_ROWS rows (step, sequence), the latest first, each in two parts: groups of sequences go
 * back through the stretch's steps and leave their rows of dz, of what dz was made from (e) and of dx; then the sums over
 * rows e' dz are taken on, each element one chain of fma over all rows of all stretches in order.
 *
 * Gradients fade on the way back, and are exactly 0 from some step on, subnormals being flushed. What only adds zeros is
 * then left out: a step's products with the weights where its dz are zeros and all weights finite, its share of the sums
 * where its dz are zeros and its e finite. No bit tells: no chain that goes on from dh holds -0, and sums of -0 leave as 0.
 *
 * A row of dz has the gates' gradients in order, for a gru r z n and then n's for h w_hh' (r times the other).
 * A row of e is 1, x, the h before, 1: the ones sum the biases' gradients. */

/* One product e' dz: columns e0 .. e1 - 1 of e with `width` columns of dz from `d` on, into columns from `to` on. */
typedef struct {
    int64_t e0, e1, d, width, to;
} rec_sums;

typedef struct {
    rec_sizes s;
    const nd_call *call;
    void *const *data;
    const nd_view *const *in;    /* views of x, state, weights, biases, lengths */
    void *const *given;          /* their data */
    const int64_t *lengths;      /* NULL where all steps count */
    int64_t dz_row, e_row, dx_row, sum_row;
    int64_t stretch;             /* steps of a stretch */
    int64_t start, steps;        /* of this stretch, in the order of going back */
    float *w, *u;                /* packed for dz w_ih and dz w_hh */
    float *dz, *e, *dx, *sums;
    float *dh, *dc, *c0;         /* [batch, width] */
    float *row;                  /* [threads, width]: a row of gy that is not dense */
    int32_t *wants;              /* [groups, stretch]: REC_PRODUCTS, REC_SUMS */
    int finite;                  /* no weight is infinite or NaN */
    const float *y, *kept, *cells;
    rec_sums parts[3];
    int n_parts;
} rec_backward;

static void rec_backward_sizes(rec_backward *b) {
    const rec_sizes *s = &b->s;
    const int64_t h = s->hidden, gates = s->kept ? 4 : 1;
    /* one vector more than fits, so that the last vector of any product can be read, and rows do not meet in the cache */
    b->dz_row = rec_round(gates * h, 16) + 16;
    b->e_row = rec_round(s->in + h + 2, 16) + 16;
    b->dx_row = rec_round(s->in, ND_W);
    b->sum_row = rec_round(2 * h, 16) + rec_round(2 * h, 16) + 16;
    b->stretch = s->batch ? rec_least(s->steps, s->batch < REC_BACK_ROWS ? REC_BACK_ROWS / s->batch : 1) : 0;
    b->n_parts = 1;
    b->parts[0] = (rec_sums){0, s->in + h + 2, 0, gates * h, 0};
    if (s->cell == REC_GRU) {
        b->n_parts = 3;
        b->parts[0] = (rec_sums){0, 1 + s->in, 0, 3 * h, 0};
        b->parts[1] = (rec_sums){1 + s->in, s->in + h + 2, 0, 2 * h, 0};
        b->parts[2] = (rec_sums){1 + s->in, s->in + h + 2, 3 * h, h, rec_round(2 * h, 16)};
    }
}

static void rec_take_backward(rec_backward *b, rec_memory *m) {
    const rec_sizes *s = &b->s;
    const int64_t rows = rec_times(b->stretch, s->batch), state = rec_times(s->batch, s->width);
    const int64_t depth = s->gates * s->hidden;
    b->w = rec_take(m, rec_panels_size(rec_plain_panels(s->in), depth));
    b->u = rec_take(m, rec_panels_size(rec_plain_panels(s->hidden), depth));
    b->dz = rec_take(m, rec_times(rows, b->dz_row));
    b->e = rec_take(m, rec_times(rows, b->e_row));
    b->dx = rec_take(m, rec_times(rows, b->dx_row));
    b->sums = rec_take(m, rec_times(s->in + s->hidden + 2, b->sum_row));
    b->dh = rec_take(m, state);
    b->dc = rec_take(m, s->states == 2 ? state : 0);
    b->c0 = rec_take(m, s->states == 2 ? state : 0);
    b->row = rec_take(m, rec_times(s->threads, s->width));
    b->wants = (int32_t *)(void *)rec_take(m, rec_times(s->groups, b->stretch));
}

/* One row of one step. `dh` comes as the gradient of h from later steps and leaves as what goes to the h before, but for
   the part through w_hh; `gy` is added to it first. */
typedef struct {
    int64_t hidden;
    const float *gy, *y, *kept, *c, *c_before, *h_before;
    float *dh, *dc, *dz;
} rec_back_row;

static void rec_rnn_back(const rec_back_row *p, int relu) {
    const vf zero = vf_set1(0.0f), one = vf_set1(1.0f);
    for (int64_t j = 0; j < p->hidden; j += ND_W) {
        const int left = (int)rec_least(p->hidden - j, ND_W);
        const vf d = vf_add(vf_load(p->dh + j), load_left(p->gy + j, left)), h = load_left(p->y + j, left);
        const vf dz = relu ? vf_blend(vf_gt(h, zero), d, zero) : vf_mul(d, vf_fnma(h, h, one));
        store_left(p->dz + j, dz, left);
        vf_store(p->dh + j, zero);
    }
}

static void rec_gru_back(const rec_back_row *p) {
    const vf zero = vf_set1(0.0f), one = vf_set1(1.0f);
    const int64_t h = p->hidden;
    for (int64_t j = 0; j < h; j += ND_W) {
        const int left = (int)rec_least(h - j, ND_W);
        const float *kept = p->kept + j;
        const vf d = vf_add(vf_load(p->dh + j), load_left(p->gy + j, left));
        const vf r = load_left(kept, left), z = load_left(kept + h, left);
        const vf n = load_left(kept + 2 * h, left), hn = load_left(kept + 3 * h, left);
        const vf before = load_left(p->h_before + j, left);
        const vf dn = vf_mul(vf_mul(d, vf_sub(one, z)), vf_fnma(n, n, one));
        const vf dz = vf_mul(vf_mul(d, vf_sub(before, n)), vf_mul(z, vf_sub(one, z)));
        const vf dr = vf_mul(vf_mul(dn, hn), vf_mul(r, vf_sub(one, r)));
        store_left(p->dz + j, dr, left);
        store_left(p->dz + h + j, dz, left);
        store_left(p->dz + 2 * h + j, dn, left);
        store_left(p->dz + 3 * h + j, vf_mul(dn, r), left);
        vf_store(p->dh + j, vf_add(vf_mul(d, z), zero)); /* not -0 */
    }
}

static void rec_lstm_back(const rec_back_row *p) {
    const vf one = vf_set1(1.0f);
    const int64_t h = p->hidden;
    for (int64_t j = 0; j < h; j += ND_W) {
        const int left = (int)rec_least(h - j, ND_W);
        const float *kept = p->kept + j;
        const vf d = vf_add(vf_load(p->dh + j), load_left(p->gy + j, left));
        const vf i = load_left(kept, left), f = load_left(kept + h, left);
        const vf g = load_left(kept + 2 * h, left), o = load_left(kept + 3 * h, left);
        const vf t = v_tanh(load_left(p->c + j, left));
        const vf dc = vf_fma(vf_mul(d, o), vf_fnma(t, t, one), vf_load(p->dc + j));
        store_left(p->dz + j, vf_mul(vf_mul(dc, g), vf_mul(i, vf_sub(one, i))), left);
        store_left(p->dz + h + j, vf_mul(vf_mul(dc, load_left(p->c_before + j, left)), vf_mul(f, vf_sub(one, f))), left);
        store_left(p->dz + 2 * h + j, vf_mul(vf_mul(dc, i), vf_fnma(g, g, one)), left);
        store_left(p->dz + 3 * h + j, vf_mul(vf_mul(d, t), vf_mul(o, vf_sub(one, o))), left);
        vf_store(p->dc + j, vf_mul(dc, f));
        vf_store(p->dh + j, vf_set1(0.0f));
    }
}

enum { REC_PRODUCTS = 1, REC_SUMS = 2 }; /* dz times the weights, e' dz */
enum { REC_SOME = 1, REC_INFINITE = 0x7f800000 };

/* Whether the bits of every |number| are below `limit`: REC_SOME, all are 0; REC_INFINITE, all are finite. */
static int rec_below(const float *row, int64_t n, uint32_t limit) {
    const vi most = vi_set1(limit - 1), size = vi_set1(0x7fffffff);
    for (int64_t j = 0; j < n; j += ND_W) {
        const vf x = load_left(row + j, (int)rec_least(n - j, ND_W));
        if (vm_any(vi_ltu(most, vi_and(vf_bits(x), size)))) return 0;
    }
    return 1;
}

/* Row `row` of the sequences at the `at`-th step of going on: its e and dz. */
static void rec_back_one(const rec_backward *b, int64_t at, int64_t row, float *e, float *dz, float *spare) {
    const rec_sizes *s = &b->s;
    const int64_t h = s->hidden, t = rec_time(s, at), n = s->states;
    const int64_t before = at ? rec_time(s, at - 1) : 0, here = (t * s->batch + row) * h;
    const int64_t there = (before * s->batch + row) * h;
    const int counts = !b->lengths || t < b->lengths[row];
    /* in reverse the first step that counts begins with h0: what was before does not count and has y = 0 */
    const int first = at == 0 || (s->reverse && b->lengths && before >= b->lengths[row]);
    const nd_view *h0 = b->in[1], *gy = b->call->view[0];
    e[0] = e[1 + s->in + h] = 1.0f;
    rec_load_x(s, b->in[0], b->given[0], t, row, counts, e + 1);
    if (first) rec_copy_row((const float *)b->given[1] + row * h0->strides[0], h0->strides[1], h, h, e + 1 + s->in);
    else memcpy(e + 1 + s->in, b->y + there, (size_t)h * sizeof *e);
    if (!counts) {
        float *dh = b->dh + row * s->width;
        memset(dz, 0, (size_t)b->dz_row * sizeof *dz);
        for (int64_t j = 0; j < h; j += ND_W) vf_store(dh + j, vf_add(vf_load(dh + j), vf_set1(0.0f))); /* not -0 */
        return;
    }
    const float *g = (const float *)b->data[0] + t * gy->strides[0] + row * gy->strides[1];
    if (gy->strides[2] != 1) {
        rec_copy_row(g, gy->strides[2], h, h, spare);
        g = spare;
    }
    const rec_back_row p = {h, g, b->y + here, s->kept ? b->kept + here * s->kept : 0, n == 2 ? b->cells + here : 0,
                            n < 2 ? 0 : at ? b->cells + there : b->c0 + row * s->width, e + 1 + s->in,
                            b->dh + row * s->width, n == 2 ? b->dc + row * s->width : 0, dz};
    if (s->cell == REC_LSTM) rec_lstm_back(&p);
    else if (s->cell == REC_GRU) rec_gru_back(&p);
    else rec_rnn_back(&p, s->cell == REC_RELU);
}

/* c += dz w for `rows` rows: all panels of w's columns. A gru's state takes n's gradient from the fourth part of dz. */
static void rec_back_product(const rec_backward *b, const float *dz, const float *packed, int64_t columns, int state,
                             int64_t rows, float *c, int64_t c_step) {
    const rec_sizes *s = &b->s;
    const rec_panels panels = rec_plain_panels(columns);
    const int apart = state && s->cell == REC_GRU;
    const int64_t depth = s->gates * s->hidden, begin = apart ? 2 * s->hidden : depth;
    for (int64_t first = 0; first < panels.columns; first += panels.most) {
        const int64_t count = rec_least(panels.most, panels.columns - first), step = count * ND_W;
        const float *w = packed + first * ND_W * depth;
        float *at = c + first * ND_W;
        rec_product p = {begin, dz, b->dz_row, 1, w, step, at, c_step, at, c_step};
        rec_panel(&p, rows, (int)count);
        if (!apart) continue;
        p.depth = s->hidden;
        p.a = dz + 3 * s->hidden;
        p.b = w + begin * step;
        rec_panel(&p, rows, (int)count);
    }
}

/* What a step of a group has to be part of: its dz are not all zeros, or there is something that zeros do not take away. */
static int32_t rec_back_wants(const rec_backward *b, int64_t rows, const float *e, const float *dz) {
    const rec_sizes *s = &b->s;
    const int64_t gates = (s->kept ? 4 : 1) * s->hidden;
    for (int64_t r = 0; r < rows; r++)
        if (!rec_below(dz + r * b->dz_row, gates, REC_SOME)) return REC_PRODUCTS | REC_SUMS;
    int32_t wants = b->finite ? 0 : REC_PRODUCTS;
    for (int64_t r = 0; r < rows && !(wants & REC_SUMS); r++)
        if (!rec_below(e + r * b->e_row, s->in + s->hidden + 2, REC_INFINITE)) wants |= REC_SUMS;
    return wants;
}

/* A group of sequences back through the stretch. Row k of dz and e: step k / batch of the stretch, sequence k % batch. */
static void rec_back_group(void *context, int64_t task, int worker) {
    const rec_backward *b = context;
    const rec_sizes *s = &b->s;
    const int64_t first = task * s->rows, rows = rec_least(s->rows, s->batch - first);
    float *dx_out = rec_output(b->call, b->data, 0);
    int32_t *wants = b->wants + task * b->stretch;
    for (int64_t j = 0; j < b->steps; j++) {
        const int64_t at = s->steps - 1 - b->start - j, k = j * s->batch + first;
        float *e = b->e + k * b->e_row, *dz = b->dz + k * b->dz_row;
        for (int64_t r = 0; r < rows; r++)
            rec_back_one(b, at, first + r, e + r * b->e_row, dz + r * b->dz_row, b->row + worker * s->width);
        wants[j] = rec_back_wants(b, rows, e, dz);
        if (wants[j] & REC_PRODUCTS)
            rec_back_product(b, dz, b->u, s->hidden, 1, rows, b->dh + first * s->width, s->width);
    }
    if (!dx_out) return;
    for (int64_t j = 0; j < b->steps; j++) {
        const int64_t t = rec_time(s, s->steps - 1 - b->start - j), k = j * s->batch + first;
        float *dx = b->dx + k * b->dx_row;
        memset(dx, 0, (size_t)(rows * b->dx_row) * sizeof *dx);
        if (wants[j] & REC_PRODUCTS)
            rec_back_product(b, b->dz + k * b->dz_row, b->w, s->in, 0, rows, dx, b->dx_row);
        rec_store_rows(dx, rows, b->dx_row, s->in, dx_out + (t * s->batch + first) * s->in);
    }
}

enum { REC_SUM_ROWS = 96 /* columns of e that one tile of the sums takes */ };

static int64_t rec_part_tiles(const rec_sums *p) {
    return rec_round(p->width, 4 * ND_W) / (4 * ND_W) * (rec_round(p->e1 - p->e0, REC_SUM_ROWS) / REC_SUM_ROWS);
}

static int64_t rec_sum_tiles(const rec_backward *b) {
    int64_t tiles = 0;
    for (int i = 0; i < b->n_parts; i++) tiles += rec_part_tiles(&b->parts[i]);
    return tiles;
}

static int64_t rec_sum_tasks(const rec_backward *b) {
    return rec_least(rec_sum_tiles(b), b->s.workers > 1 ? 4 * b->s.workers : 1);
}

static int rec_sum_wanted(const rec_backward *b, int64_t step) {
    int32_t wants = 0;
    for (int64_t g = 0; g < b->s.groups; g++) wants |= b->wants[g * b->stretch + step];
    return wants & REC_SUMS;
}

/* The next steps of the stretch, at `*from` or later, that are in the sums: how many come together; 0: no more. */
static int64_t rec_sum_steps(const rec_backward *b, int64_t *from) {
    int64_t count = 0;
    while (*from < b->steps && !rec_sum_wanted(b, *from)) ++*from;
    while (*from + count < b->steps && rec_sum_wanted(b, *from + count)) count++;
    return count;
}

/* One tile of the sums over the rows of the stretch. */
static void rec_sum_tile(const rec_backward *b, int64_t tile) {
    const rec_sums *p = b->parts;
    while (tile >= rec_part_tiles(p)) tile -= rec_part_tiles(p++);
    const int64_t heights = rec_round(p->e1 - p->e0, REC_SUM_ROWS) / REC_SUM_ROWS;
    const int64_t e0 = p->e0 + tile % heights * REC_SUM_ROWS, column = tile / heights * 4 * ND_W;
    const int64_t count = rec_least(4, rec_round(p->width - column, ND_W) / ND_W);
    float *at = b->sums + e0 * b->sum_row + p->to + column;
    int64_t from = 0, steps;
    while ((steps = rec_sum_steps(b, &from)) > 0) {
        const int64_t row = from * b->s.batch;
        const rec_product product = {steps * b->s.batch, b->e + row * b->e_row + e0, 1, b->e_row,
                                     b->dz + row * b->dz_row + p->d + column, b->dz_row, at, b->sum_row, at, b->sum_row};
        rec_panel(&product, rec_least(REC_SUM_ROWS, p->e1 - e0), (int)count);
        from += steps;
    }
}

static void rec_sum_task(void *context, int64_t task, int worker) {
    const rec_backward *b = context;
    const int64_t tiles = rec_sum_tiles(b), tasks = rec_sum_tasks(b);
    (void)worker;
    for (int64_t tile = tiles * task / tasks; tile < tiles * (task + 1) / tasks; tile++) rec_sum_tile(b, tile);
}

/* The sums' columns e0 .. e0 + count - 1 of e, transposed into an output [gates H, count]; hidden: as h w_hh' has it. */
static void rec_store_sums(const rec_backward *b, int64_t e0, int64_t count, int hidden, float *out) {
    const rec_sizes *s = &b->s;
    const int64_t rows = s->gates * s->hidden, apart = hidden && s->cell == REC_GRU ? 2 * s->hidden : rows;
    const int64_t shift = apart < rows ? b->parts[2].to - apart : 0;
    if (!out) return;
    for (int64_t from = 0; from < rows; from += 16) /* 16 rows at a time so that the lines that are read stay near */
        for (int64_t i = 0; i < count; i++)
            for (int64_t m = from; m < rec_least(from + 16, rows); m++)
                out[m * count + i] = b->sums[(e0 + i) * b->sum_row + (m < apart ? m : m + shift)] + 0.0f; /* not -0 */
}

static void rec_back_store(const rec_backward *b) {
    const rec_sizes *s = &b->s;
    const int n = s->states;
    float *out[7] = {0};
    for (int i = 1; i < 5 + n; i++) out[i] = rec_output(b->call, b->data, i);
    if (out[1]) rec_store_rows(b->dh, s->batch, s->width, s->hidden, out[1]);
    if (n == 2 && out[2]) rec_store_rows(b->dc, s->batch, s->width, s->hidden, out[2]);
    rec_store_sums(b, 1, s->in, 0, out[1 + n]);
    rec_store_sums(b, 1 + s->in, s->hidden, 1, out[2 + n]);
    rec_store_sums(b, 0, 1, 0, out[3 + n]);
    rec_store_sums(b, 1 + s->in + s->hidden, 1, 1, out[4 + n]);
}

static void rec_back_load(rec_backward *b) {
    const rec_sizes *s = &b->s;
    const int n = s->states;
    rec_pack_plain(b->in[1 + n], b->given[1 + n], b->w);
    rec_pack_plain(b->in[2 + n], b->given[2 + n], b->u);
    const int64_t depth = s->gates * s->hidden;
    b->finite = rec_below(b->w, rec_panels_size(rec_plain_panels(s->in), depth), REC_INFINITE) &&
                rec_below(b->u, rec_panels_size(rec_plain_panels(s->hidden), depth), REC_INFINITE);
    memset(b->sums, 0, (size_t)((s->in + s->hidden + 2) * b->sum_row) * sizeof *b->sums);
    memset(b->dz, 0, (size_t)(b->stretch * s->batch * b->dz_row) * sizeof *b->dz);
    rec_load_rows(b->call->view[1], b->data[1], 0, s->batch, s->width, b->dh);
    if (n < 2) return;
    rec_load_rows(b->call->view[2], b->data[2], 0, s->batch, s->width, b->dc);
    rec_load_rows(b->in[2], b->given[2], 0, s->batch, s->width, b->c0);
}

static int32_t rec_backward_prepare(nd_call *c, rec_cell cell) {
    const int n = cell == REC_LSTM ? 2 : 1, kept = cell >= REC_GRU;
    ND_REQUIRE(c->n_in == 7 + 2 * n + n + kept && c->n_out == 5 + n, ND_EVALUE);
    const nd_view *const *in = c->view + 1 + n, *const *saved = in + 6 + n, *const *out = c->view + c->n_in;
    rec_backward b = {0};
    const int32_t status = rec_check(c, cell, in, &b.s);
    ND_REQUIRE(status == ND_OK, status);
    const rec_sizes *s = &b.s;
    ND_REQUIRE(rec_view_is(c->view[0], 3, s->steps, s->batch, s->hidden), ND_ESIZE);
    for (int i = 1; i <= n; i++) ND_REQUIRE(rec_view_is(c->view[i], 2, s->batch, s->hidden, 0), ND_ESIZE);
    ND_REQUIRE(rec_dense_is(saved[0], 3, s->steps, s->batch, s->hidden), ND_ESIZE);
    if (kept) ND_REQUIRE(rec_dense_is(saved[1], 3, s->steps, s->batch, 4 * s->hidden), ND_ESIZE);
    if (n == 2) ND_REQUIRE(rec_dense_is(saved[2], 3, s->steps, s->batch, s->hidden), ND_ESIZE);
    const int64_t rows = s->gates * s->hidden;
    ND_REQUIRE(rec_dense_or_absent(out[0], 3, s->steps, s->batch, s->in), ND_ESIZE);
    for (int i = 1; i <= n; i++) ND_REQUIRE(rec_dense_or_absent(out[i], 2, s->batch, s->hidden, 0), ND_ESIZE);
    ND_REQUIRE(rec_dense_or_absent(out[1 + n], 2, rows, s->in, 0), ND_ESIZE);
    ND_REQUIRE(rec_dense_or_absent(out[2 + n], 2, rows, s->hidden, 0), ND_ESIZE);
    for (int i = 3 + n; i < 5 + n; i++) ND_REQUIRE(rec_dense_or_absent(out[i], 1, rows, 0, 0), ND_ESIZE);
    rec_backward_sizes(&b);
    rec_memory m = {0, 0};
    rec_take_backward(&b, &m);
    rec_take(&m, rec_times(2, s->batch)); /* lengths, 8 bytes each */
    return rec_counted(&m, &c->scratch);
}

static int32_t rec_backward_run(const nd_call *c, rec_cell cell, void *const *data, void *scratch) {
    const int n = cell == REC_LSTM ? 2 : 1, kept = cell >= REC_GRU;
    rec_backward b = {.call = c, .data = data, .in = c->view + 1 + n, .given = data + 1 + n};
    b.s = rec_sizes_of(c, cell, b.in);
    if (b.s.hidden == 0) { /* nothing but dx, which is 0 */
        float *dx = rec_output(c, data, 0);
        if (dx) memset(dx, 0, (size_t)nd_size(c->view[c->n_in]) * sizeof *dx);
        return ND_OK;
    }
    rec_backward_sizes(&b);
    void *const *saved = b.given + 6 + n;
    b.y = saved[0];
    b.kept = kept ? saved[1] : 0;
    b.cells = n == 2 ? saved[2] : 0;
    rec_memory m = {scratch, 0};
    rec_take_backward(&b, &m);
    b.lengths = rec_lengths(&b.s, b.in[5 + n], b.given[5 + n], (int64_t *)(void *)rec_take(&m, 2 * b.s.batch));
    rec_back_load(&b);
    if (b.s.batch > 0)
        for (b.start = 0; b.start < b.s.steps; b.start += b.steps) {
            b.steps = rec_least(b.stretch, b.s.steps - b.start);
            nd_parallel(b.s.groups, rec_back_group, &b);
            nd_parallel(rec_sum_tasks(&b), rec_sum_task, &b);
        }
    rec_back_store(&b);
    return ND_OK;
}
