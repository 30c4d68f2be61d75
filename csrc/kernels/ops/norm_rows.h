/* What the families norm, softmax, pool, conv and spectral share: checks of operands, and the split of work over units
   that do not depend on each other (rows, channels, images), so that the bits never depend on the number of threads. */
#ifndef ND_NORM_ROWS_H
#define ND_NORM_ROWS_H

enum { ROWS_MIN_WORK = 50000 /* below this many operations threads cost more than they give */ };

/* a b for a, b >= 0, where the product leaves room for byte sizes; 0 where it does not. */
static inline int rows_mul(int64_t a, int64_t b, int64_t *out) {
    if (b != 0 && a > INT64_MAX / 64 / b) return 0;
    *out = a * b;
    return 1;
}

/* The product of dims first .. end - 1. */
static inline int rows_product(const nd_view *v, int first, int end, int64_t *out) {
    int64_t n = 1;
    for (int i = first; i < end; i++)
        if (v->dims[i] == 0) {
            *out = 0;
            return 1;
        }
    for (int i = first; i < end; i++)
        if (!rows_mul(n, v->dims[i], &n)) return 0;
    *out = n;
    return 1;
}

/* As many operands and attributes as expected, every operand float32, but for those of `other` (bits), which the caller
   checks. */
static int32_t rows_check(const nd_call *c, int n_in, int n_out, int min_attr, uint32_t other) {
    int64_t size;
    ND_REQUIRE(c->n_in == n_in && c->n_out == n_out && c->n_attr >= min_attr, ND_EVALUE);
    for (int i = 0; i < n_in + n_out; i++) {
        const nd_view *v = c->view[i];
        ND_REQUIRE(v, ND_ENULL);
        ND_REQUIRE(v->rank >= 0 && v->rank <= ND_MAX_RANK, ND_EVALUE);
        ND_REQUIRE((other >> i & 1) || v->dtype == ND_F32, ND_EVALUE);
        for (int j = 0; j < v->rank; j++) ND_REQUIRE(v->dims[j] >= 0, ND_ESIZE);
        ND_REQUIRE(rows_product(v, 0, v->rank, &size), ND_ESIZE);
    }
    return ND_OK;
}

/* [*B, n] as rows x n. */
static int32_t rows_of(const nd_view *v, int64_t *rows, int64_t *n) {
    ND_REQUIRE(v->rank >= 1 && nd_dense(v), ND_ESIZE);
    ND_REQUIRE(rows_product(v, 0, v->rank - 1, rows), ND_ESIZE);
    *n = v->dims[v->rank - 1];
    return ND_OK;
}

typedef struct rows_work {
    const nd_call *call;
    void *const *data;
    char *scratch;
    const char *persist;
    int64_t units, tasks;
    void (*body)(const struct rows_work *, int64_t first, int64_t end, int worker);
} rows_work;

static void rows_task(void *context, int64_t task, int worker) {
    const rows_work *w = context;
    const int64_t share = w->units / w->tasks, more = w->units % w->tasks;
    const int64_t first = task * share + (task < more ? task : more);
    w->body(w, first, first + share + (task < more), worker);
}

/* Runs body over all units; `work` is about how many operations that is. */
static void rows_run(rows_work *w, double work) {
    if (w->units <= 0) return;
    const int64_t most = w->call->threads > 1 && work >= ROWS_MIN_WORK ? 4 * (int64_t)w->call->threads : 1;
    w->tasks = w->units < most ? w->units : most;
    if (w->tasks == 1) w->body(w, 0, w->units, 0);
    else nd_parallel(w->tasks, rows_task, w);
}

#define ROWS_WORK(c, data, scratch, persist, units, body) \
    {(c), (data), (char *)(scratch), (const char *)(persist), (units), 1, (body)}

#endif
