/* dropout(x, rng; p, offset) -> out
 *      nd_dropout_f32 (kernels/random.h) with key rng[0] and stream rng[1] + offset, read as unsigned; rng int64 [2], read
 *      at run time. x and out dense float32 of one shape, 0 <= p <= 1. out may be x.
 */
#ifndef ND_OPS_RANDOM_H
#define ND_OPS_RANDOM_H

typedef struct {
    philox gen;
    const float *x;
    float *out;
    double p;
    int64_t n, tasks;
} random_dropout;

static int32_t op_dropout_prepare(nd_call *c) {
    ND_REQUIRE(c->n_in == 2 && c->n_out == 1 && c->n_attr == 2, ND_EVALUE);
    const nd_view *x = c->view[0], *rng = c->view[1], *out = c->view[2];
    ND_REQUIRE(x && rng && out, ND_ENULL);
    ND_REQUIRE(data_dense(x, ND_F32, -1) && data_dense(out, ND_F32, -1) && nd_same_dims(x, out), ND_ESIZE);
    ND_REQUIRE(data_dense(rng, ND_I64, 2), ND_ESIZE);
    const double p = nd_attr_f64(c, 0);
    ND_REQUIRE(p >= 0.0 && p <= 1.0, ND_EVALUE);
    c->k[0] = data_count(x);
    return ND_OK;
}

/* Shares are whole vectors of counters: 4 ND_W elements at least, whatever the instruction set. */
static void random_dropout_task(void *context, int64_t t, int worker) {
    const random_dropout *d = context;
    const int64_t units = (d->n + 63) / 64, first = 64 * data_share(units, d->tasks, t);
    const int64_t end = 64 * data_share(units, d->tasks, t + 1), last = end < d->n ? end : d->n;
    (void)worker;
    dropout_blocks(&d->gen, d->p, (uint64_t)first / 4, last - first, d->x + first, d->out + first);
}

static int32_t op_dropout_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const uint64_t *rng = data[1];
    random_dropout d = {philox_make(rng[0], rng[1] + (uint64_t)c->attr[1]), data[0], data[2], nd_attr_f64(c, 0), c->k[0], 1};
    (void)scratch;
    (void)persist;
    if (d.n == 0) return ND_OK;
    if (d.p == 1.0) {
        memset(d.out, 0, (size_t)d.n * sizeof *d.out);
        return ND_OK;
    }
    d.tasks = data_tasks(c, d.n, (d.n + 63) / 64);
    if (d.tasks > 1) nd_parallel(d.tasks, random_dropout_task, &d);
    else random_dropout_task(&d, 0, 0);
    return ND_OK;
}

#define ND_OPS_RANDOM(X) X(dropout, 1, 0)
#endif
