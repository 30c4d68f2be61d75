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

/* The place that an index names among n: at most n - 1, or larger than that. */
static inline uint64_t data_place(int64_t index, int64_t n) { return (uint64_t)index + (index < 0 ? (uint64_t)n : 0u); }

typedef struct {
    const char *x;
    const int64_t *index;
    char *out;
    int64_t outer, n, inner, m, run, tasks, item;
    int32_t status[DATA_MAX_TASKS];
} data_pick;

static int32_t data_pick_go(data_pick *p, void (*fn)(void *, int64_t, int)) {
    if (p->tasks > 1) nd_parallel(p->tasks, fn, p);
    else fn(p, 0, 0);
    for (int64_t t = 0; t < p->tasks; t++)
        if (p->status[t] != ND_OK) return p->status[t];
    return ND_OK;
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

/* Whether there are `run` rows of n from every index on. */
static int data_index_fits(const data_pick *p) {
    if (p->run > p->n) return p->m == 0;
    const uint64_t limit = (uint64_t)(p->n - p->run);
    int bad = 0;
    for (int64_t i = 0; i < p->m; i++) bad |= data_place(p->index[i], p->n) > limit;
    return !bad;
}

/* Rows first .. last - 1 of [outer * m] rows of run * inner. */
static void data_take_task(void *context, int64_t t, int worker) {
    data_pick *p = context;
    const int64_t rows = p->outer * p->m, first = data_share(rows, p->tasks, t), last = data_share(rows, p->tasks, t + 1);
    const int64_t size = p->run * p->inner, n = p->n;
    const char *x = p->x + first / p->m * n * p->inner;
    char *out = p->out + first * size;
    (void)worker;
    for (int64_t r = first, i = first % p->m; r < last; i = 0, x += n * p->inner) {
        const int64_t end = last - r < p->m - i ? i + last - r : p->m;
        r += end - i;
        if (size == 4 && p->inner == 4)
            for (; i < end; i++, out += 4) memcpy(out, x + (int64_t)data_place(p->index[i], n) * 4, 4);
        else
            for (; i < end; i++, out += size) data_move(out, x + (int64_t)data_place(p->index[i], n) * p->inner, size);
    }
}

static int32_t op_take_prepare(nd_call *c) { return data_take_check(c, 0, 2); }

static int32_t op_take_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const int64_t item = nd_item_size(c->view[0]->dtype);
    data_pick p = {data[0], data[1], data[2], c->k[0], c->k[1], c->k[2], c->k[3], c->k[4], 1, item, {0}};
    (void)scratch;
    (void)persist;
    if (c->k[6] == 0) return ND_OK;
    ND_REQUIRE(data_index_fits(&p), ND_EVALUE);
    p.tasks = data_tasks(c, c->k[6], p.outer * p.m);
    p.inner *= item; /* bytes from here on */
    return data_pick_go(&p, data_take_task);
}

/* --- take_add --------------------------------------------------------------------------------------------------- */

/* out[i] += g[i] */
static inline void data_add_run(int64_t n, const float *g, float *out) {
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
    const int64_t size = p->run * p->inner;
    (void)worker;
    for (int64_t o = first; o < last; o++) {
        float *out = (float *)(void *)p->out + o * p->n * p->inner;
        const float *g = (const float *)(const void *)p->x + o * p->m * size;
        memset(out, 0, (size_t)(p->n * p->inner) * sizeof *out);
        if (size == 1)
            for (int64_t i = 0; i < p->m; i++) out[data_place(p->index[i], p->n)] += g[i];
        else
            for (int64_t i = 0; i < p->m; i++, g += size)
                data_add_run(size, g, out + (int64_t)data_place(p->index[i], p->n) * p->inner);
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
    ND_REQUIRE(data_index_fits(&p), ND_EVALUE);
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

/* out[i] = the element of x at place index[i], `a` bytes wide, plus i b bytes; places outside are told. */
static inline int data_gather_run(int64_t item, int64_t count, const char *x, int64_t a, int64_t b, const int64_t *index,
                                  int64_t n, char *out) {
    int bad = 0;
    for (int64_t i = 0; i < count; i++) {
        const uint64_t place = data_place(index[i], n);
        const int outside = place >= (uint64_t)n;
        bad |= outside;
        memcpy(out + i * item, x + (outside ? 0 : (int64_t)place) * a + i * b, (size_t)item);
    }
    return bad;
}

/* b is 0 where the axis is the last, and the elements are side by side. */
static inline int data_gather_item(int64_t item, int64_t count, const char *x, int64_t a, int64_t b, const int64_t *index,
                                   int64_t n, char *out) {
    if (b == 0) return data_gather_run(item, count, x, item, 0, index, n, out);
    return data_gather_run(item, count, x, a, item, index, n, out);
}

static int data_gather_some(int64_t item, int64_t count, const char *x, int64_t a, int64_t b, const int64_t *index, int64_t n,
                            char *out) {
    if (item == 4) return data_gather_item(4, count, x, a, b, index, n, out);
    if (item == 8) return data_gather_item(8, count, x, a, b, index, n, out);
    return data_gather_item(1, count, x, a, b, index, n, out);
}

/* Rows first .. last - 1 of [outer * m] rows of inner. */
static void data_gather_task(void *context, int64_t t, int worker) {
    data_pick *p = context;
    const int64_t rows = p->outer * p->m, first = data_share(rows, p->tasks, t), last = data_share(rows, p->tasks, t + 1);
    const int64_t inner = p->inner, item = p->item;
    const char *x = p->x + first / p->m * p->n * inner * item;
    int bad = 0;
    (void)worker;
    for (int64_t r = first, i = first % p->m; r < last; i = 0, x += p->n * inner * item) {
        const int64_t count = last - r < p->m - i ? last - r : p->m - i;
        if (inner == 1) bad |= data_gather_some(item, count, x, item, 0, p->index + r, p->n, p->out + r * item);
        else
            for (int64_t q = r * inner; q < (r + count) * inner; q += inner)
                bad |= data_gather_some(item, inner, x, inner * item, item, p->index + q, p->n, p->out + q * item);
        r += count;
    }
    p->status[t] = bad ? ND_EVALUE : ND_OK;
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
    ND_REQUIRE(p.n > 0, ND_EVALUE);
    p.tasks = data_tasks(c, c->k[5], p.outer * p.m);
    return data_pick_go(&p, data_gather_task);
}

/* out[index[i] a + i b] += g[i]; what is meant for places outside is told, and nothing is added anywhere. */
static inline int data_scatter_run(int64_t count, const float *g, int64_t a, int64_t b, const int64_t *index, int64_t n,
                                   float *out) {
    for (int64_t i = 0; i < count; i++) {
        const uint64_t place = data_place(index[i], n);
        if (place >= (uint64_t)n) return 1;
        out[(int64_t)place * a + i * b] += g[i];
    }
    return 0;
}

/* Outer blocks first .. last - 1. */
static void data_scatter_task(void *context, int64_t t, int worker) {
    data_pick *p = context;
    const int64_t first = data_share(p->outer, p->tasks, t), last = data_share(p->outer, p->tasks, t + 1);
    const int64_t size = p->m * p->inner;
    int bad = 0;
    (void)worker;
    for (int64_t o = first; o < last && !bad; o++) {
        float *out = (float *)(void *)p->out + o * p->n * p->inner;
        const float *g = (const float *)(const void *)p->x + o * size;
        const int64_t *index = p->index + o * size;
        memset(out, 0, (size_t)(p->n * p->inner) * sizeof *out);
        if (p->inner == 1) bad = data_scatter_run(size, g, 1, 0, index, p->n, out);
        else
            for (int64_t q = 0; q < size; q += p->inner)
                bad |= data_scatter_run(p->inner, g + q, p->inner, 1, index + q, p->n, out);
    }
    p->status[t] = bad ? ND_EVALUE : ND_OK;
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
