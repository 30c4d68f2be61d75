/* sumsq_scale(loss, g...; max_norm) -> control     float64 [2] = (norm, scale)
 *
 * norm: the root of the sum of squares of all arrays g (dense float32, any number), summed in double: pieces of 16,384
 * elements as nd_sumsq_f32 does, the pieces in order. scale: min(1, max_norm / (norm + 1e-6)), 1 where max_norm is negative
 * (no clipping), NaN where loss (one float32, or absent) or norm is not finite: the optimizers' sign to leave all as it is.
 */

typedef struct {
    const nd_call *c;
    void *const *data;
    double *part;
    int64_t pieces, tasks;
} reduce_squares;

static void reduce_squares_task(void *context, int64_t t, int worker) {
    const reduce_squares *s = context;
    const int64_t first = data_share(s->pieces, s->tasks, t), last = data_share(s->pieces, s->tasks, t + 1);
    int64_t before = 0; /* pieces of the arrays passed so far */
    (void)worker;
    for (int32_t i = 1; i < s->c->n_in && before < last; i++) {
        const int64_t n = nd_size(s->c->view[i]), count = (n + REDUCE_PIECE - 1) / REDUCE_PIECE;
        for (int64_t p = first > before ? first - before : 0; p < count && before + p < last; p++) {
            const int64_t at = p * REDUCE_PIECE, size = n - at < REDUCE_PIECE ? n - at : REDUCE_PIECE;
            k_nd_sumsq_f32(size, (const float *)s->data[i] + at, &s->part[before + p]);
        }
        before += count;
    }
}

static int32_t op_sumsq_scale_prepare(nd_call *c) {
    ND_REQUIRE(c->n_in >= 1 && c->n_out == 1 && c->n_attr == 1, ND_EVALUE);
    ND_REQUIRE(!c->view[0] || data_dense(c->view[0], ND_F32, 1), ND_ESIZE);
    int64_t pieces = 0, total = 0;
    for (int32_t i = 1; i < c->n_in; i++) {
        ND_REQUIRE(c->view[i], ND_ENULL);
        ND_REQUIRE(data_dense(c->view[i], ND_F32, -1), ND_ESIZE);
        const int64_t n = data_count(c->view[i]);
        ND_REQUIRE(n <= ((int64_t)1 << 56) - total, ND_ESIZE);
        total += n;
        pieces += (n + REDUCE_PIECE - 1) / REDUCE_PIECE;
    }
    ND_REQUIRE(c->view[c->n_in], ND_ENULL);
    ND_REQUIRE(data_dense(c->view[c->n_in], ND_F64, 2), ND_ESIZE);
    const double max_norm = nd_attr_f64(c, 0);
    ND_REQUIRE(max_norm == max_norm, ND_EVALUE);
    c->k[0] = pieces;
    c->k[1] = total;
    c->scratch = pieces * 8;
    return ND_OK;
}

static int32_t op_sumsq_scale_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    reduce_squares s = {c, data, scratch, c->k[0], 1};
    double *control = data[c->n_in], sum = 0.0;
    (void)persist;
    s.tasks = data_tasks(c, c->k[1], s.pieces);
    if (s.tasks > 1) nd_parallel(s.tasks, reduce_squares_task, &s);
    else reduce_squares_task(&s, 0, 0);
    for (int64_t p = 0; p < s.pieces; p++) sum += s.part[p];
    const double norm = sqrt(sum), max_norm = nd_attr_f64(c, 0);
    double scale = max_norm < 0.0 ? 1.0 : max_norm / (norm + 1e-6);
    if (scale > 1.0) scale = 1.0;
    const float loss = data[0] && c->view[0] ? *(const float *)data[0] : 0.0f;
    if (!(norm - norm == 0.0) || !(loss - loss == 0.0f)) scale = NAN;
    control[0] = norm;
    control[1] = scale;
    return ND_OK;
}
