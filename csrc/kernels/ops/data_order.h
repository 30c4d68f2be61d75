/* cumsum(x; dim) -> out      out[.., i, ..] = x[.., 0, ..] + ... + x[.., i, ..], added in that order. x of any strides, so
 *                            that a flipped view costs nothing; out dense. float32.
 * argsort(x; dim) -> out     int64: the order of x along axis dim; equal elements keep theirs, NaNs come last. x dense
 *                            float32, with fewer than 2^31 elements along dim.
 */

enum { DATA_ROWS_AT_ONCE = 8 };

typedef struct {
    const float *x;
    float *out;
    int rank, dim, last; /* last: the axis that runs fastest among the others, -1 without one */
    int64_t n, width, blocks, tasks; /* n along dim, width along last, blocks: all the other combinations */
    int64_t dims[ND_MAX_RANK], a[ND_MAX_RANK], b[ND_MAX_RANK]; /* lengths, strides of x and out */
} data_scan;

/* `count` running sums side by side, so that the additions of one do not wait for those of another. */
static void data_scan_rows(const data_scan *p, const float *x, int64_t ax, float *out, int64_t bx, int count) {
    const int64_t a = p->a[p->dim], b = p->b[p->dim];
    float sum[DATA_ROWS_AT_ONCE] = {0};
    for (int64_t i = 0; i < p->n; i++)
        for (int r = 0; r < count; r++) {
            sum[r] = i == 0 ? x[r * ax] : sum[r] + x[i * a + r * ax]; /* -0 + nothing is -0 */
            out[i * b + r * bx] = sum[r];
        }
}

static void data_scan_vectors(const data_scan *p, const float *x, float *out) {
    const int64_t a = p->a[p->dim], b = p->b[p->dim];
    for (int64_t j = 0; j < p->width; j += ND_W) {
        const int left = p->width - j < ND_W ? (int)(p->width - j) : ND_W;
        vf sum = load_left(x + j, left);
        store_left(out + j, sum, left);
        for (int64_t i = 1; i < p->n; i++) {
            sum = vf_add(sum, load_left(x + i * a + j, left));
            store_left(out + i * b + j, sum, left);
        }
    }
}

static void data_scan_task(void *context, int64_t t, int worker) {
    const data_scan *p = context;
    const int64_t first = data_share(p->blocks, p->tasks, t), last = data_share(p->blocks, p->tasks, t + 1);
    (void)worker;
    for (int64_t block = first; block < last; block++) {
        int64_t rest = block, from = 0, to = 0;
        for (int d = p->rank - 1; d >= 0; d--) {
            if (d == p->dim || d == p->last) continue;
            from += rest % p->dims[d] * p->a[d];
            to += rest % p->dims[d] * p->b[d];
            rest /= p->dims[d];
        }
        const int64_t ax = p->last < 0 ? 0 : p->a[p->last], bx = p->last < 0 ? 0 : p->b[p->last];
        if (ax == 1 && bx == 1) {
            data_scan_vectors(p, p->x + from, p->out + to);
            continue;
        }
        for (int64_t j = 0; j < p->width; j += DATA_ROWS_AT_ONCE) {
            const int count = p->width - j < DATA_ROWS_AT_ONCE ? (int)(p->width - j) : DATA_ROWS_AT_ONCE;
            data_scan_rows(p, p->x + from + j * ax, ax, p->out + to + j * bx, bx, count);
        }
    }
}

static int32_t op_cumsum_prepare(nd_call *c) {
    ND_REQUIRE(c->n_in == 1 && c->n_out == 1 && c->n_attr == 1, ND_EVALUE);
    const nd_view *x = c->view[0], *out = c->view[1];
    ND_REQUIRE(x && out, ND_ENULL);
    ND_REQUIRE(data_count(x) >= 0 && x->dtype == ND_F32 && data_dense(out, ND_F32, -1) && nd_same_dims(x, out), ND_ESIZE);
    ND_REQUIRE(c->attr[0] >= 0 && c->attr[0] < x->rank, ND_EVALUE);
    c->k[0] = data_count(out);
    return ND_OK;
}

static int32_t op_cumsum_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const nd_view *x = c->view[0];
    data_scan p = {data[0], data[1], x->rank, (int)c->attr[0], -1, 0, 1, 1, 1, {0}, {0}, {0}};
    int64_t step = 1;
    (void)scratch;
    (void)persist;
    if (c->k[0] == 0) return ND_OK;
    for (int d = p.rank - 1; d >= 0; step *= p.dims[d--]) {
        p.dims[d] = x->dims[d];
        p.a[d] = x->strides[d];
        p.b[d] = step;
        if (d != p.dim && p.dims[d] > 1 && p.last < 0) p.last = d;
    }
    p.n = p.dims[p.dim];
    p.width = p.last < 0 ? 1 : p.dims[p.last];
    p.blocks = c->k[0] / (p.n * p.width);
    p.tasks = data_tasks(c, c->k[0], p.blocks);
    if (p.tasks > 1) nd_parallel(p.tasks, data_scan_task, &p);
    else data_scan_task(&p, 0, 0);
    return ND_OK;
}

/* --- argsort ---------------------------------------------------------------------------------------------------- */

enum { DATA_RADIX_FROM = 512 /* shorter rows are merged, longer ones counted */, DATA_INSERT = 8 };

/* A key and its position in one number: sorting such numbers is a stable sort. Minus zero equals zero; NaNs are last. */
static inline uint64_t data_sort_key(float x, uint32_t at) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (bits << 1 == 0) bits = 0;
    bits = (bits & 0x7fffffffu) > 0x7f800000u ? 0xffffffffu : bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (uint64_t)bits << 32 | at;
}

static void data_insertion_sort(uint64_t *a, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        const uint64_t key = a[i];
        int64_t j = i;
        for (; j > 0 && a[j - 1] > key; j--) a[j] = a[j - 1];
        a[j] = key;
    }
}

/* Runs of DATA_INSERT, merged until one is left; the sorted numbers are in the array returned. */
static const uint64_t *data_merge_sort(uint64_t *a, uint64_t *b, int64_t n) {
    for (int64_t i = 0; i < n; i += DATA_INSERT) data_insertion_sort(a + i, n - i < DATA_INSERT ? n - i : DATA_INSERT);
    for (int64_t run = DATA_INSERT; run < n; run *= 2) {
        for (int64_t i = 0; i < n; i += 2 * run) {
            const int64_t middle = i + run < n ? i + run : n, end = middle + run < n ? middle + run : n;
            int64_t l = i, r = middle, o = i;
            while (l < middle && r < end) {
                const uint64_t x = a[l], y = a[r];
                const int right = y < x;
                b[o++] = right ? y : x;
                r += right;
                l += !right;
            }
            memcpy(b + o, a + l, (size_t)(middle - l) * sizeof *b);
            memcpy(b + o + middle - l, a + r, (size_t)(end - r) * sizeof *b);
        }
        uint64_t *swap = a;
        a = b;
        b = swap;
    }
    return a;
}

/* Four passes over the bytes of the keys, the lowest first; the positions below need none, being in order already. */
static const uint64_t *data_radix_sort(uint64_t *a, uint64_t *b, int64_t n) {
    uint32_t count[4][256];
    memset(count, 0, sizeof count);
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < 4; k++) count[k][a[i] >> (32 + 8 * k) & 255]++;
    for (int k = 0; k < 4; k++) {
        if (count[k][a[0] >> (32 + 8 * k) & 255] == (uint32_t)n) continue; /* one value: nothing to do */
        uint32_t sum = 0;
        for (int v = 0; v < 256; v++) {
            const uint32_t here = count[k][v];
            count[k][v] = sum;
            sum += here;
        }
        for (int64_t i = 0; i < n; i++) b[count[k][a[i] >> (32 + 8 * k) & 255]++] = a[i];
        uint64_t *swap = a;
        a = b;
        b = swap;
    }
    return a;
}

typedef struct {
    const float *x;
    int64_t *out;
    uint64_t *room; /* 2 n for each task */
    int64_t rows, n, inner, tasks;
} data_sort;

static void data_sort_task(void *context, int64_t t, int worker) {
    const data_sort *p = context;
    const int64_t first = data_share(p->rows, p->tasks, t), last = data_share(p->rows, p->tasks, t + 1);
    uint64_t *a = p->room + worker * 2 * p->n, *b = a + p->n;
    for (int64_t r = first; r < last; r++) {
        const int64_t at = r / p->inner * p->n * p->inner + r % p->inner;
        for (int64_t i = 0; i < p->n; i++) a[i] = data_sort_key(p->x[at + i * p->inner], (uint32_t)i);
        const uint64_t *sorted = p->n < DATA_RADIX_FROM ? data_merge_sort(a, b, p->n) : data_radix_sort(a, b, p->n);
        for (int64_t i = 0; i < p->n; i++) p->out[at + i * p->inner] = (int64_t)(sorted[i] & 0xffffffffu);
    }
}

static int32_t op_argsort_prepare(nd_call *c) {
    ND_REQUIRE(c->n_in == 1 && c->n_out == 1 && c->n_attr == 1, ND_EVALUE);
    const nd_view *x = c->view[0], *out = c->view[1];
    ND_REQUIRE(x && out, ND_ENULL);
    ND_REQUIRE(data_dense(x, ND_F32, -1) && data_dense(out, ND_I64, -1) && nd_same_dims(x, out), ND_ESIZE);
    ND_REQUIRE(c->attr[0] >= 0 && c->attr[0] < x->rank, ND_EVALUE);
    const int dim = (int)c->attr[0];
    ND_REQUIRE(x->dims[dim] <= INT32_MAX, ND_ESIZE);
    ND_REQUIRE(c->threads >= 1 && c->threads <= 4096, ND_EVALUE);
    c->k[0] = data_count(x);
    c->k[1] = x->dims[dim];
    c->k[2] = data_extent(x, dim + 1, x->rank);
    c->scratch = c->k[0] == 0 ? 0 : 16 * c->k[1] * c->threads;
    return ND_OK;
}

static int32_t op_argsort_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    data_sort p = {data[0], data[1], scratch, 0, c->k[1], c->k[2], 1};
    (void)persist;
    if (c->k[0] == 0) return ND_OK;
    p.rows = c->k[0] / p.n;
    p.tasks = data_tasks(c, 16 * c->k[0], p.rows);
    if (p.tasks > 1) nd_parallel(p.tasks, data_sort_task, &p);
    else data_sort_task(&p, 0, 0);
    return ND_OK;
}
