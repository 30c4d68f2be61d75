/* Rows in and out: ND_W transforms at a time become lanes. Where neighbouring lanes are neighbours in memory they are
   loaded as they lie; where the values of one transform are, blocks are transposed; else they are picked one by one. */

typedef struct {
    int count; /* lanes in use; the others repeat the last */
    int64_t in[ND_W], out[ND_W];
    int in_near, out_near; /* all ND_W lanes lie side by side */
} fft_group;

static fft_group fft_rows(const fft_shape *s, int64_t first) {
    fft_group g;
    g.count = s->rows - first < ND_W ? (int)(s->rows - first) : ND_W;
    g.in_near = g.out_near = g.count == ND_W;
    for (int l = 0; l < ND_W; l++) {
        int64_t row = first + (l < g.count ? l : g.count - 1);
        g.in[l] = g.out[l] = 0;
        for (int i = 0; i < s->rank; i++) {
            g.in[l] += row % s->dims[i] * s->in[i];
            g.out[l] += row % s->dims[i] * s->out[i];
            row /= s->dims[i];
        }
        g.in_near &= g.in[l] == g.in[0] + l * (s->inverse ? 2 : 1);
        g.out_near &= g.out[l] == g.out[0] + l * (s->inverse ? 1 : 2);
    }
    if (s->inverse && s->pair != 1) g.in_near = 0;
    return g;
}

static inline vf fft_pick(const fft_group *g, const float *x, int64_t offset) {
    float t[ND_W];
    for (int l = 0; l < ND_W; l++) t[l] = x[g->in[l] + offset];
    return vf_load(t);
}

/* `count` numbers of every lane, a step apart, into vectors to[slot[i] * ND_W], or to[i * ND_W] without slots. */
static void fft_read_rows(const fft_shape *s, const fft_group *g, const float *x, int64_t count, int64_t step,
                          const int64_t *slot, float *to) {
    int64_t i = 0;
    if (g->in_near && !s->inverse)
        for (; i < count; i++) vf_store(to + (slot ? slot[i] : i) * ND_W, vf_load(x + g->in[0] + i * step));
    if (step == 1)
        for (; i + ND_W <= count; i += ND_W) {
            vf a[ND_W], b[ND_W];
            for (int l = 0; l < ND_W; l++) a[l] = vf_load(x + g->in[l] + i);
            vf_transpose(a, b);
            for (int l = 0; l < ND_W; l++) vf_store(to + (slot ? slot[i + l] : i + l) * ND_W, b[l]);
        }
    for (; i < count; i++) vf_store(to + (slot ? slot[i] : i) * ND_W, fft_pick(g, x, i * step));
}

/* `count` vectors from[i], each a number of every lane, to places a step apart. */
static void fft_write_rows(const fft_group *g, const float *from, int64_t count, int64_t step, float *y) {
    int64_t i = 0;
    if (step == 1)
        for (; i + ND_W <= count; i += ND_W) {
            vf a[ND_W], b[ND_W];
            for (int l = 0; l < ND_W; l++) a[l] = vf_load(from + (i + l) * ND_W);
            vf_transpose(a, b);
            for (int l = 0; l < g->count; l++) vf_store(y + g->out[l] + i, b[l]);
        }
    for (; i < count; i++)
        for (int l = 0; l < g->count; l++) y[g->out[l] + i * step] = from[i * ND_W + l];
}

static void fft_forward(const fft_shape *s, const fft_tables *t, const fft_group *g, const float *x, float *y,
                        float *z) {
    const vf zero = vf_set1(0.0f);
    float *held = z + 2 * ND_W * (s->length > s->bins ? s->length : s->bins);
    fft_read_rows(s, g, x, s->have, s->in_step, t->slot, z);
    for (int64_t i = s->have; i < s->n; i++) vf_store(z + t->slot[i] * ND_W, zero);
    for (int64_t i = 0; s->n % 2 && i < s->n; i++) vf_store(z + (2 * i + 1) * ND_W, zero);
    fft_stages(s, t, z, held);
    if (s->n % 2 == 0) fft_untangle(s, t, z);
    if (s->out_step == 2) { /* a row's pairs lie side by side, as the vectors do here */
        fft_write_rows(g, z, 2 * s->bins, 1, y);
    } else if (g->out_near) {
        for (int64_t k = 0; k < s->bins; k++) {
            vf a, b;
            vf_zip(vf_load(z + 2 * k * ND_W), vf_load(z + (2 * k + 1) * ND_W), &a, &b);
            vf_store(y + g->out[0] + k * s->out_step, a);
            vf_store(y + g->out[0] + k * s->out_step + ND_W, b);
        }
    } else {
        for (int64_t k = 0; k < s->bins; k++)
            for (int l = 0; l < g->count; l++) {
                y[g->out[l] + k * s->out_step] = z[2 * k * ND_W + l];
                y[g->out[l] + k * s->out_step + 1] = z[(2 * k + 1) * ND_W + l];
            }
    }
}

/* The bins of every lane, filled up with zeros. */
static void fft_read_bins(const fft_shape *s, const fft_group *g, const float *x, float *bins) {
    const vf zero = vf_set1(0.0f);
    if (g->in_near)
        for (int64_t k = 0; k < s->have; k++) {
            const float *at = x + g->in[0] + k * s->in_step;
            vf re, im;
            vf_unzip(vf_load(at), vf_load(at + ND_W), &re, &im);
            fft_store(bins + 2 * k * ND_W, (fft_pair){re, im});
        }
    else if (s->in_step == 2 && s->pair == 1)
        fft_read_rows(s, g, x, 2 * s->have, 1, 0, bins);
    else
        for (int64_t k = 0; k < s->have; k++)
            fft_store(bins + 2 * k * ND_W,
                      (fft_pair){fft_pick(g, x, k * s->in_step), fft_pick(g, x, k * s->in_step + s->pair)});
    for (int64_t i = 2 * s->have; i < 2 * s->bins; i++) vf_store(bins + i * ND_W, zero);
    vf_store(bins + ND_W, zero); /* of bins that are their own mirror images */
    if (s->n % 2 == 0) vf_store(bins + (2 * s->bins - 1) * ND_W, zero);
}

static void fft_backward(const fft_shape *s, const fft_tables *t, const fft_group *g, const float *x, float *y,
                         float *bins) {
    float *z = bins + 2 * ND_W * s->bins, *held = z + 2 * ND_W * (s->length > s->bins ? s->length : s->bins);
    fft_read_bins(s, g, x, bins);
    if (s->n % 2) fft_mirror(s, t, bins, z);
    else fft_tangle(s, t, bins, z);
    fft_stages(s, t, z, held);
    /* values in order: the imaginary part of an element comes first, and for odd n it is all there is */
    for (int64_t i = 0; i < s->length; i++) {
        const fft_pair a = fft_load(z + 2 * i * ND_W);
        if (s->n % 2) vf_store(z + i * ND_W, a.im);
        else fft_store(z + 2 * i * ND_W, (fft_pair){a.im, a.re});
    }
    if (g->out_near && s->out_step != 1)
        for (int64_t i = 0; i < s->n; i++) vf_store(y + g->out[0] + i * s->out_step, vf_load(z + i * ND_W));
    else
        fft_write_rows(g, z, s->n, s->out_step, y);
}

typedef struct {
    const fft_shape *shape;
    fft_tables tables;
} fft_plan;

static void fft_groups(const rows_work *w, int64_t first, int64_t end, int worker) {
    const fft_plan *p = (const fft_plan *)(const void *)w->persist;
    float *scratch = (float *)(void *)(w->scratch + worker * w->call->k[0]);
    for (int64_t u = first; u < end; u++) {
        const fft_group g = fft_rows(p->shape, u * ND_W);
        if (p->shape->inverse) fft_backward(p->shape, &p->tables, &g, w->data[0], w->data[1], scratch);
        else fft_forward(p->shape, &p->tables, &g, w->data[0], w->data[1], scratch);
    }
}

static int32_t fft_run(const nd_call *c, int inverse, void *const *data, void *scratch, const void *persist) {
    fft_shape s;
    fft_read(c, inverse, &s);
    fft_plan p = {&s, fft_find(&s, persist)};
    rows_work w = ROWS_WORK(c, data, scratch, &p, s.rows / ND_W + (s.rows % ND_W != 0), fft_groups);
    rows_run(&w, 4.0 * (double)s.rows * (double)s.n);
    return ND_OK;
}
