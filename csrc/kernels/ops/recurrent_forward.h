/* rnn, gru and lstm forward. Contract: recurrent.h. */

typedef struct {
    rec_sizes s;
    const nd_call *call;
    void *const *data;
    const nd_view *const *in; /* views of x, state, weights, biases, lengths */
    const float *w, *u;       /* packed weights */
    const float *bias;        /* a row of z before any product */
    const int64_t *lengths;   /* NULL where all steps count */
    char *worker_memory;
    int64_t worker_bytes;
    float *y, *final[2], *kept, *cells; /* outputs; all but y may be absent */
} rec_forward;

/* A worker's memory, for one group after the other. */
typedef struct {
    float *x, *z, *h, *next, *c;
} rec_group;

static int64_t rec_forward_steps(const rec_sizes *s) { /* steps that are projected at once */
    return s->rows ? rec_least(s->steps, s->rows < REC_FORWARD_ROWS ? REC_FORWARD_ROWS / s->rows : 1) : 0;
}

static rec_group rec_take_group(const rec_sizes *s, rec_memory *m) {
    const int64_t rows = rec_times(rec_forward_steps(s), s->rows), state = rec_times(s->rows, s->width);
    rec_group g;
    g.x = rec_take(m, rec_times(rows, s->in));
    g.z = rec_take(m, rec_times(rows, s->z_row));
    g.h = rec_take(m, state);
    g.next = rec_take(m, state);
    g.c = rec_take(m, s->states == 2 ? state : 0);
    return g;
}

static void rec_take_packed(const rec_sizes *s, rec_memory *m, float **w, float **u) {
    *w = rec_take(m, rec_panels_size(rec_gate_panels(s), s->in));
    *u = rec_take(m, rec_panels_size(rec_gate_panels(s), s->hidden));
}

static void rec_pack_forward(const rec_sizes *s, const nd_view *const *in, void *const *data, float *w, float *u) {
    const int n = s->states;
    rec_pack_gates(s, 0, in[1 + n], data[1 + n], w);
    rec_pack_gates(s, s->cell == REC_GRU ? 2 : 0, in[2 + n], data[2 + n], u);
}

/* The row of z that products are added to: b_ih + b_hh, but for a gru's n, where r comes between the two. */
static void rec_fill_bias(const rec_sizes *s, const nd_view *const *in, void *const *data, float *bias) {
    const int n = s->states, gru = s->cell == REC_GRU;
    const nd_view *vi = in[3 + n], *vh = in[4 + n];
    const float *b_ih = data[3 + n], *b_hh = data[4 + n];
    for (int64_t j = 0; j < s->width; j++) {
        float *at = bias + j / ND_W * s->vectors * ND_W + j % ND_W;
        for (int gate = 0; gate < s->gates; gate++) {
            const int64_t row = gate * s->hidden + j;
            const float a = vi && j < s->hidden ? b_ih[row * vi->strides[0]] : 0.0f;
            const float b = vh && j < s->hidden ? b_hh[row * vh->strides[0]] : 0.0f;
            const int apart = gru && gate == 2;
            at[(gate + s->shift) * ND_W] = apart ? a : a + b;
            if (apart) at[0] = b;
        }
    }
}

/* z = bias + x w', for `rows` rows. */
static void rec_project(const rec_forward *f, const rec_group *g, int64_t rows) {
    const rec_sizes *s = &f->s;
    const rec_panels panels = rec_gate_panels(s);
    for (int64_t first = 0; first < panels.columns; first += panels.most) {
        const int64_t count = rec_least(panels.most, panels.columns - first);
        const int64_t at = (first / s->window * s->vectors + s->shift) * ND_W;
        const rec_product p = {s->in, g->x, s->in, 1, f->w + first * ND_W * s->in, count * ND_W, f->bias + at, 0,
                               g->z + at, s->z_row};
        rec_panel(&p, rows, (int)count);
    }
    if (s->shift) /* what the state's product of a gru begins with */
        for (int64_t r = 0; r < rows; r++)
            for (int64_t at = 0; at < s->z_row; at += s->vectors * ND_W)
                vf_store(g->z + r * s->z_row + at, vf_load(f->bias + at));
}

/* A step of a group: where its rows of the outputs begin. */
typedef struct {
    const rec_sizes *s;
    int64_t rows, time;
    const int64_t *lengths; /* of these rows, or NULL */
    const float *z, *h;     /* z is read once h's product is in it */
    float *next, *c, *y, *kept, *cells;
} rec_step;

static int rec_counts(const rec_step *p, int64_t row) { return !p->lengths || p->time < p->lengths[row]; }

static inline void rec_keep(const rec_step *p, int64_t row, int64_t unit, int left, int gate, vf value) {
    store_left(p->kept + (row * p->s->kept + gate) * p->s->hidden + unit, value, left);
}

/* Stores a new h where the step counts; 0 in y and the old state where it does not. */
static inline void rec_store_h(const rec_step *p, int64_t row, int64_t unit, int left, int counts, vf h) {
    const int64_t at = row * p->s->width + unit;
    vf_store(p->next + at, counts ? h : vf_load(p->h + at));
    store_left(p->y + row * p->s->hidden + unit, counts ? h : vf_set1(0.0f), left);
}

static void rec_rnn_cell(const rec_step *p, int64_t block) {
    const int64_t unit = block * ND_W;
    const int left = (int)rec_least(p->s->hidden - unit, ND_W), relu = p->s->cell == REC_RELU;
    for (int64_t r = 0; r < p->rows; r++) {
        const vf z = vf_load(p->z + r * p->s->z_row + unit);
        rec_store_h(p, r, unit, left, rec_counts(p, r), relu ? vf_max(vf_set1(0.0f), z) : v_tanh(z));
    }
}

static void rec_gru_cell(const rec_step *p, int64_t block) {
    const int64_t unit = block * ND_W;
    const int left = (int)rec_least(p->s->hidden - unit, ND_W);
    for (int64_t r = 0; r < p->rows; r++) {
        const float *at = p->z + r * p->s->z_row + block * 4 * ND_W;
        const vf hn = vf_load(at), reset = v_sigmoid(vf_load(at + ND_W)), z = v_sigmoid(vf_load(at + 2 * ND_W));
        const vf n = v_tanh(vf_fma(reset, hn, vf_load(at + 3 * ND_W)));
        const vf h = vf_load(p->h + r * p->s->width + unit);
        if (p->kept) {
            rec_keep(p, r, unit, left, 0, reset);
            rec_keep(p, r, unit, left, 1, z);
            rec_keep(p, r, unit, left, 2, n);
            rec_keep(p, r, unit, left, 3, hn);
        }
        rec_store_h(p, r, unit, left, rec_counts(p, r), vf_fma(z, vf_sub(h, n), n));
    }
}

static void rec_lstm_cell(const rec_step *p, int64_t block) {
    const int64_t unit = block * ND_W;
    const int left = (int)rec_least(p->s->hidden - unit, ND_W);
    for (int64_t r = 0; r < p->rows; r++) {
        const float *at = p->z + r * p->s->z_row + block * 4 * ND_W;
        float *state = p->c + r * p->s->width + unit;
        const vf i = v_sigmoid(vf_load(at)), f = v_sigmoid(vf_load(at + ND_W));
        const vf g = v_tanh(vf_load(at + 2 * ND_W)), o = v_sigmoid(vf_load(at + 3 * ND_W));
        vf c = vf_fma(f, vf_load(state), vf_mul(i, g));
        const int counts = rec_counts(p, r);
        if (p->kept) {
            rec_keep(p, r, unit, left, 0, i);
            rec_keep(p, r, unit, left, 1, f);
            rec_keep(p, r, unit, left, 2, g);
            rec_keep(p, r, unit, left, 3, o);
        }
        rec_store_h(p, r, unit, left, counts, vf_mul(o, v_tanh(c)));
        if (!counts) c = vf_load(state);
        vf_store(state, c);
        if (p->cells) store_left(p->cells + r * p->s->hidden + unit, c, left);
    }
}

/* z += h u', and the cell on each block as soon as its z is complete. */
static void rec_run_step(const rec_step *p, const float *u, float *z) {
    const rec_sizes *s = p->s;
    const rec_panels panels = rec_gate_panels(s);
    for (int64_t first = 0; first < panels.columns; first += panels.most) {
        const int64_t count = rec_least(panels.most, panels.columns - first), block = first / s->window;
        float *at = z + block * s->vectors * ND_W;
        const rec_product product = {s->hidden, p->h, s->width, 1, u + first * ND_W * s->hidden, count * ND_W,
                                     at, s->z_row, at, s->z_row};
        rec_panel(&product, p->rows, (int)count);
        if (s->cell == REC_LSTM) rec_lstm_cell(p, block);
        else if (s->cell == REC_GRU) rec_gru_cell(p, block);
        else
            for (int64_t b = block; b < block + count; b++) rec_rnn_cell(p, b);
    }
}

/* `steps` steps from the `start`-th on: one projection, then the steps one after the other. */
static void rec_run_stretch(const rec_forward *f, rec_group *g, int64_t first, int64_t rows, int64_t start, int64_t steps) {
    const rec_sizes *s = &f->s;
    for (int64_t j = 0; j < steps; j++) {
        const int64_t t = rec_time(s, start + j);
        for (int64_t r = 0; r < rows; r++)
            rec_load_x(s, f->in[0], f->data[0], t, first + r, !f->lengths || t < f->lengths[first + r],
                       g->x + (j * rows + r) * s->in);
    }
    rec_project(f, g, steps * rows);
    for (int64_t j = 0; j < steps; j++) {
        const int64_t t = rec_time(s, start + j), at = (t * s->batch + first) * s->hidden;
        float *z = g->z + j * rows * s->z_row;
        const rec_step p = {s, rows, t, f->lengths ? f->lengths + first : 0, z, g->h, g->next, g->c, f->y + at,
                            f->kept ? f->kept + at * s->kept : 0, f->cells ? f->cells + at : 0};
        rec_run_step(&p, f->u, z);
        float *old = g->h;
        g->h = g->next;
        g->next = old;
    }
}

/* A group of rows through all of time. */
static void rec_run_group(void *context, int64_t task, int worker) {
    const rec_forward *f = context;
    const rec_sizes *s = &f->s;
    rec_memory m = {f->worker_memory + worker * f->worker_bytes, 0};
    rec_group g = rec_take_group(s, &m);
    const int64_t first = task * s->rows, rows = rec_least(s->rows, s->batch - first);
    rec_load_rows(f->in[1], f->data[1], first, rows, s->width, g.h);
    if (s->states == 2) rec_load_rows(f->in[2], f->data[2], first, rows, s->width, g.c);
    const int64_t most = rec_forward_steps(s);
    for (int64_t at = 0; at < s->steps; at += most)
        rec_run_stretch(f, &g, first, rows, at, rec_least(most, s->steps - at));
    for (int i = 0; i < s->states; i++)
        if (f->final[i]) rec_store_rows(i ? g.c : g.h, rows, s->width, s->hidden, f->final[i] + first * s->hidden);
}

static int rec_constant_weights(const rec_sizes *s, const nd_view *const *in) {
    return in[1 + s->states]->flags & in[2 + s->states]->flags & ND_CONSTANT;
}

static int32_t rec_forward_prepare(nd_call *c, rec_cell cell) {
    const int n = cell == REC_LSTM ? 2 : 1, kept = cell >= REC_GRU;
    rec_sizes s;
    ND_REQUIRE(c->n_in == 6 + n && c->n_out == 2 * n + kept, ND_EVALUE);
    const int32_t status = rec_check(c, cell, c->view, &s);
    ND_REQUIRE(status == ND_OK, status);
    const nd_view *const *out = c->view + c->n_in;
    ND_REQUIRE(out[0], ND_ENULL);
    ND_REQUIRE(rec_dense_or_absent(out[0], 3, s.steps, s.batch, s.hidden), ND_ESIZE);
    for (int i = 1; i <= n; i++) ND_REQUIRE(rec_dense_or_absent(out[i], 2, s.batch, s.hidden, 0), ND_ESIZE);
    if (kept) ND_REQUIRE(rec_dense_or_absent(out[1 + n], 3, s.steps, s.batch, 4 * s.hidden), ND_ESIZE);
    if (n == 2) ND_REQUIRE(rec_dense_or_absent(out[4], 3, s.steps, s.batch, s.hidden), ND_ESIZE);
    rec_memory packed = {0, 0}, group = {0, 0}, m = {0, 0};
    float *w, *u;
    rec_take_packed(&s, &packed, &w, &u);
    rec_take_group(&s, &group);
    ND_REQUIRE(packed.used < REC_MOST && group.used < REC_MOST, ND_ESIZE);
    const int constant = rec_constant_weights(&s, c->view);
    c->persist = constant ? packed.used : 0;
    m.used = constant ? 0 : packed.used;
    rec_take(&m, s.z_row);
    rec_take(&m, rec_times(2, s.batch)); /* lengths, 8 bytes each */
    m.used += rec_times(group.used, s.threads);
    return rec_counted(&m, &c->scratch);
}

static int32_t rec_forward_pack(const nd_call *c, rec_cell cell, void *const *data, void *persist) {
    const rec_sizes s = rec_sizes_of(c, cell, c->view);
    rec_memory m = {persist, 0};
    float *w, *u;
    rec_take_packed(&s, &m, &w, &u);
    rec_pack_forward(&s, c->view, data, w, u);
    return ND_OK;
}

static int32_t rec_forward_run(const nd_call *c, rec_cell cell, void *const *data, void *scratch, const void *persist) {
    rec_forward f = {.s = rec_sizes_of(c, cell, c->view), .call = c, .data = data, .in = c->view};
    const rec_sizes *s = &f.s;
    const int n = s->states;
    if (s->batch == 0 || s->hidden == 0) return ND_OK;
    rec_memory m = {scratch, 0}, kept = {(char *)(uintptr_t)persist, 0};
    float *w, *u;
    rec_take_packed(s, c->persist ? &kept : &m, &w, &u);
    if (!c->persist) rec_pack_forward(s, f.in, data, w, u);
    f.w = w;
    f.u = u;
    float *bias = rec_take(&m, s->z_row);
    rec_fill_bias(s, f.in, data, bias);
    f.bias = bias;
    f.lengths = rec_lengths(s, f.in[5 + n], data[5 + n], (int64_t *)(void *)rec_take(&m, 2 * s->batch));
    rec_memory group = {0, 0};
    rec_take_group(s, &group);
    f.worker_memory = m.base + m.used;
    f.worker_bytes = group.used;
    f.y = rec_output(c, data, 0);
    for (int i = 0; i < n; i++) f.final[i] = rec_output(c, data, 1 + i);
    f.kept = s->kept ? rec_output(c, data, 1 + n) : 0;
    f.cells = n == 2 ? rec_output(c, data, 4) : 0;
    nd_parallel(s->groups, rec_run_group, &f);
    return ND_OK;
}
