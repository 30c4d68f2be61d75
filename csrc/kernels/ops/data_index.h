/* Picking by whole numbers. Indices are dense int64; -n .. -1 count from the end of an axis with n elements. Numbers
 * outside the axis make `run` return ND_EVALUE (the contents of the outputs are then undefined). x, g and out are dense.
 *
 * take(x, index; n, inner, run, rank, shape[rank]) -> out
 *      With the elements of x as [outer, n, inner] and index of m elements, out [outer, m, run, inner] is `run` >= 1
 *      consecutive rows from each index on. `shape` says how out lists its axes; only the number of elements matters.
 * take_add(g, index; n, inner, run, rank, shape[rank]) -> out
 *      The transpose: out, of `shape`, is [outer, n, inner], the sum of the g [outer, m, run, inner] that take would have
 *      copied from each place, added in order of index. float32.
 * gather(x, index; dim) -> out
 *      out[.., i, ..] = x[.., index[.., i, ..], ..]; x and index differ in axis dim only.
 * scatter_add(g, index; dim, size) -> out
 *      out[.., index[.., i, ..], ..] += g[.., i, ..] from zero, in order of i, axis dim of out being `size` long. float32.
 */

/* The place that an index names among n, or -1. */
static inline int64_t data_place(int64_t index, int64_t n) {
    if (index < 0) index += n;
    return index >= 0 && index < n ? index : -1;
}

typedef struct {
    const char *x;
    const int64_t *index;
    char *out;
    int64_t outer, n, inner, m, run, tasks; /* inner: bytes for take, else elements */
    int64_t item;
    int32_t status[DATA_MAX_TASKS];
} data_pick;

static int32_t data_pick_status(const data_pick *p) {
    for (int64_t t = 0; t < p->tasks; t++)
        if (p->status[t] != ND_OK) return p->status[t];
    return ND_OK;
}

static int32_t data_pick_go(data_pick *p, void (*fn)(void *, int64_t, int)) {
    if (p->tasks > 1) nd_parallel(p->tasks, fn, p);
    else fn(p, 0, 0);
    return data_pick_status(p);
}

/* --- take ------------------------------------------------------------------------------------------------------- */

/* For take (table: the input) and take_add (table: the output): k = outer, n, inner, m, run, elements of table and list. */
static int32_t data_take_check(nd_call *c, int table_at, int list_at) {
    ND_REQUIRE(c->n_in == 2 && c->n_out == 1 && c->n_attr >= 4, ND_EVALUE);
    const nd_view *table = c->view[table_at], *index = c->view[1], *list = c->view[list_at];
    ND_REQUIRE(table && index && list, ND_ENULL);
    ND_REQUIRE(data_dense(table, -1, -1) && data_dense(index, ND_I64, -1) && data_dense(list, table->dtype, -1), ND_ESIZE);
    const int64_t *shape = 0;
    int32_t at = 3;
    const int64_t rank = data_list(c, &at, &shape);
    ND_REQUIRE(rank >= 0 && at == c->n_attr && data_has_shape(c->view[2], shape, rank), ND_EVALUE);
    const int64_t n = c->attr[0], inner = c->attr[1], run = c->attr[2], m = data_count(index);
    const int64_t size = data_count(table), total = data_count(list);
    int64_t outer = 0;
    const int64_t most = (int64_t)1 << 52;
    ND_REQUIRE(n >= 0 && inner >= 0 && inner <= most && run >= 1 && run <= most / (inner + 1), ND_EVALUE);
    if (size) {
        ND_REQUIRE(n >= 1 && inner >= 1 && n <= size / inner && size % (n * inner) == 0, ND_ESIZE);
        outer = size / (n * inner);
    }
    if (outer && m) { /* total = outer m run inner, by divisions that cannot overflow */
        ND_REQUIRE(total % outer == 0 && total / outer % m == 0 && total / outer / m % run == 0, ND_ESIZE);
        ND_REQUIRE(total / outer / m / run == inner, ND_ESIZE);
    } else {
        ND_REQUIRE(total == 0, ND_ESIZE);
    }
    const int64_t numbers[7] = {outer, n, inner, m, run, size, total};
    memcpy(c->k, numbers, sizeof numbers);
    return ND_OK;
}

/* Rows first .. last - 1 of [outer * m] rows of run * inner. */
static void data_take_task(void *context, int64_t t, int worker) {
    data_pick *p = context;
    const int64_t rows = p->outer * p->m, first = data_share(rows, p->tasks, t), last = data_share(rows, p->tasks, t + 1);
    const int64_t size = p->run * p->inner, limit = p->n - p->run;
    int64_t i = first % p->m;
    const char *x = p->x + first / p->m * p->n * p->inner;
    char *out = p->out + first * size;
    (void)worker;
    p->status[t] = ND_OK;
    for (int64_t r = first; r < last; r++, out += size) {
        const int64_t at = data_place(p->index[i], p->n);
        if (at < 0 || at > limit) {
            p->status[t] = ND_EVALUE;
            return;
        }
        if (size == 4) memcpy(out, x + at * p->inner, 4);
        else memcpy(out, x + at * p->inner, (size_t)size);
        if (++i == p->m) {
            i = 0;
            x += p->n * p->inner;
        }
    }
}

static int32_t op_take_prepare(nd_call *c) { return data_take_check(c, 0, 2); }

static int32_t op_take_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const int64_t item = nd_item_size(c->view[0]->dtype);
    data_pick p = {data[0], data[1], data[2], c->k[0], c->k[1], c->k[2] * item, c->k[3], c->k[4], 1, item, {0}};
    (void)scratch;
    (void)persist;
    if (c->k[6] == 0) return ND_OK;
    p.tasks = data_tasks(c, c->k[6], p.outer * p.m);
    return data_pick_go(&p, data_take_task);
}

/* --- take_add --------------------------------------------------------------------------------------------------- */

/* out[i] += g[i] */
static void data_add_run(int64_t n, const float *g, float *out) {
    int64_t i = 0;
    for (; i + ND_W <= n; i += ND_W) vf_store(out + i, vf_add(vf_load(out + i), vf_load(g + i)));
    if (i < n) {
        const int left = (int)(n - i);
        vf_store_part(out + i, vf_add(vf_load_part(out + i, left), vf_load_part(g + i, left)), left);
    }
}

/* Outer blocks first .. last - 1. */
static void data_take_add_task(void *context, int64_t t, int worker) {
    data_pick *p = context;
    const int64_t first = data_share(p->outer, p->tasks, t), last = data_share(p->outer, p->tasks, t + 1);
    const int64_t size = p->run * p->inner, limit = p->n - p->run;
    (void)worker;
    p->status[t] = ND_OK;
    for (int64_t o = first; o < last; o++) {
        float *out = (float *)p->out + o * p->n * p->inner;
        const float *g = (const float *)p->x + o * p->m * size;
        memset(out, 0, (size_t)(p->n * p->inner) * sizeof *out);
        for (int64_t i = 0; i < p->m; i++, g += size) {
            const int64_t at = data_place(p->index[i], p->n);
            if (at < 0 || at > limit) {
                p->status[t] = ND_EVALUE;
                return;
            }
            if (size == 1) out[at] += *g;
            else data_add_run(size, g, out + at * p->inner);
        }
    }
}

static int32_t op_take_add_prepare(nd_call *c) {
    const int32_t status = data_take_check(c, 2, 0);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(c->view[2]->dtype == ND_F32, ND_ESIZE);
    return ND_OK;
}

static int32_t op_take_add_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    data_pick p = {data[0], data[1], data[2], c->k[0], c->k[1], c->k[2], c->k[3], c->k[4], 1, 4, {0}};
    (void)scratch;
    (void)persist;
    if (c->k[5] == 0) return ND_OK;
    p.tasks = data_tasks(c, c->k[6] + c->k[5], p.outer);
    return data_pick_go(&p, data_take_add_task);
}

/* --- gather and scatter_add ------------------------------------------------------------------------------------- */

/* For gather and scatter_add: table has n elements along dim, list has m; k = outer, n, inner, m, elements of both. */
static int32_t data_along_check(nd_call *c, const nd_view *table, const nd_view *list) {
    const nd_view *index = c->view[1];
    ND_REQUIRE(table && list && index, ND_ENULL);
    ND_REQUIRE(data_dense(table, -1, -1) && data_dense(list, table->dtype, -1) && data_dense(index, ND_I64, -1), ND_ESIZE);
    ND_REQUIRE(c->attr[0] >= 0 && c->attr[0] < table->rank, ND_EVALUE);
    ND_REQUIRE(nd_same_dims(list, index) && list->rank == table->rank, ND_ESIZE);
    const int dim = (int)c->attr[0];
    for (int d = 0; d < table->rank; d++) ND_REQUIRE(d == dim || table->dims[d] == list->dims[d], ND_ESIZE);
    const int64_t numbers[6] = {data_extent(table, 0, dim), table->dims[dim], data_extent(table, dim + 1, table->rank),
                                list->dims[dim], data_count(table), data_count(list)};
    memcpy(c->k, numbers, sizeof numbers);
    return ND_OK;
}

/* Rows first .. last - 1 of [outer * m] rows of inner. */
static void data_gather_task(void *context, int64_t t, int worker) {
    data_pick *p = context;
    const int64_t rows = p->outer * p->m, first = data_share(rows, p->tasks, t), last = data_share(rows, p->tasks, t + 1);
    const int64_t inner = p->inner, item = p->item;
    (void)worker;
    p->status[t] = ND_OK;
    for (int64_t r = first; r < last; r++) {
        const char *x = p->x + r / p->m * p->n * inner * item;
        const int64_t *index = p->index + r * inner;
        char *out = p->out + r * inner * item;
        for (int64_t i = 0; i < inner; i++) {
            const int64_t at = data_place(index[i], p->n);
            if (at < 0) {
                p->status[t] = ND_EVALUE;
                return;
            }
            const char *from = x + (at * inner + i) * item;
            if (item == 4) memcpy(out + i * 4, from, 4);
            else if (item == 8) memcpy(out + i * 8, from, 8);
            else out[i] = *from;
        }
    }
}

static int32_t op_gather_prepare(nd_call *c) {
    ND_REQUIRE(c->n_in == 2 && c->n_out == 1 && c->n_attr == 1, ND_EVALUE);
    return data_along_check(c, c->view[0], c->view[2]);
}

static int32_t op_gather_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    data_pick p = {data[0], data[1], data[2], c->k[0], c->k[1], c->k[2], c->k[3], 1, 1,
                   nd_item_size(c->view[0]->dtype), {0}};
    (void)scratch;
    (void)persist;
    if (c->k[5] == 0) return ND_OK;
    p.tasks = data_tasks(c, c->k[5], p.outer * p.m);
    return data_pick_go(&p, data_gather_task);
}

/* Outer blocks first .. last - 1. */
static void data_scatter_task(void *context, int64_t t, int worker) {
    data_pick *p = context;
    const int64_t first = data_share(p->outer, p->tasks, t), last = data_share(p->outer, p->tasks, t + 1);
    (void)worker;
    p->status[t] = ND_OK;
    for (int64_t o = first; o < last; o++) {
        float *out = (float *)p->out + o * p->n * p->inner;
        const float *g = (const float *)p->x + o * p->m * p->inner;
        const int64_t *index = p->index + o * p->m * p->inner;
        memset(out, 0, (size_t)(p->n * p->inner) * sizeof *out);
        for (int64_t i = 0; i < p->m; i++, g += p->inner, index += p->inner) {
            for (int64_t j = 0; j < p->inner; j++) {
                const int64_t at = data_place(index[j], p->n);
                if (at < 0) {
                    p->status[t] = ND_EVALUE;
                    return;
                }
                out[at * p->inner + j] += g[j];
            }
        }
    }
}

static int32_t op_scatter_add_prepare(nd_call *c) {
    ND_REQUIRE(c->n_in == 2 && c->n_out == 1 && c->n_attr == 2, ND_EVALUE);
    const int32_t status = data_along_check(c, c->view[2], c->view[0]);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(c->view[2]->dtype == ND_F32 && c->attr[1] == c->k[1], ND_ESIZE);
    return ND_OK;
}

static int32_t op_scatter_add_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    data_pick p = {data[0], data[1], data[2], c->k[0], c->k[1], c->k[2], c->k[3], 1, 1, 4, {0}};
    (void)scratch;
    (void)persist;
    if (c->k[4] == 0) return ND_OK;
    p.tasks = data_tasks(c, c->k[4] + c->k[5], p.outer);
    return data_pick_go(&p, data_scatter_task);
}
