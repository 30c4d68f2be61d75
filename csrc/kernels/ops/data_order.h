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

/* DATA_ROWS_AT_ONCE running sums side by side: the additions of one do not wait for those of another. */
static void data_scan_rows(const data_scan *p, const float *x, int64_t ax, float *out, int64_t bx) {
    const int64_t a = p->a[p->dim], b = p->b[p->dim];
    float sum[DATA_ROWS_AT_ONCE];
    ND_UNROLL
    for (int r = 0; r < DATA_ROWS_AT_ONCE; r++) out[r * bx] = sum[r] = x[r * ax];
    for (int64_t i = 1; i < p->n; i++) {
        ND_UNROLL
        for (int r = 0; r < DATA_ROWS_AT_ONCE; r++) out[i * b + r * bx] = sum[r] += x[i * a + r * ax];
    }
}

static void data_scan_row(const data_scan *p, const float *x, float *out) {
    const int64_t a = p->a[p->dim], b = p->b[p->dim];
    float sum = out[0] = x[0];
    for (int64_t i = 1; i < p->n; i++) out[i * b] = sum += x[i * a];
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
        int64_t j = 0;
        for (; j + DATA_ROWS_AT_ONCE <= p->width; j += DATA_ROWS_AT_ONCE)
            data_scan_rows(p, p->x + from + j * ax, ax, p->out + to + j * bx, bx);
        for (; j < p->width; j++) data_scan_row(p, p->x + from + j * ax, p->out + to + j * bx);
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

enum { DATA_COUNTED = 16 * ND_W /* the longest row whose places are counted; longer ones are sorted by digits */ };

/* A number that is ordered as the float is. Minus zero equals zero; NaNs are last and equal. */
static inline uint32_t data_sort_key(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (bits << 1 == 0) return 0x80000000u;
    return (bits & 0x7fffffffu) > 0x7f800000u ? 0xffffffffu : bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* out[place of i] = i, where the place is the number of keys below key i, and of those equal to it before it. n^2 / ND_W
   comparisons without a branch: quicker than sorting for short rows. key has room for a vector more than n. */
static void data_count_sort(uint32_t *key, int64_t n, int64_t stride, int64_t *out) {
    const vi zero = vi_set1(0), one = vi_set1(1);
    for (int64_t i = n; i < n + ND_W; i++) key[i] = 0;
    for (int64_t i = 0; i < n; i += ND_W) {
        vi k;
        memcpy(&k, key + i, sizeof k);
        const int64_t end = i + ND_W < n ? i + ND_W : n;
        vi count = zero;
        for (int64_t j = 0; j < i; j++) count = vi_add(count, vi_blend(vi_ltu(k, vi_set1(key[j])), zero, one));
        for (int64_t j = i; j < end; j++) {
            const vi other = vi_set1(key[j]);
            const vi before = vi_blend(vi_ltu(k, other), zero, one), after = vi_blend(vi_ltu(other, k), one, zero);
            count = vi_add(count, vi_blend(vi_ltu(vi_set1((uint32_t)(j - i)), vi_iota()), before, after));
        }
        for (int64_t j = end; j < n; j++) count = vi_add(count, vi_blend(vi_ltu(vi_set1(key[j]), k), one, zero));
        uint32_t place[ND_W];
        vi_store(place, count);
        for (int64_t j = i; j < end; j++) out[place[j - i] * stride] = j;
    }
}

/* a: keys with the places below them; four passes over the bytes of the keys, the lowest first. The places need none, being
   in order. The sorted numbers are in the array that is returned. */
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
    uint64_t *room; /* 2 n for each worker */
    int64_t rows, n, inner, tasks;
} data_sort;

static void data_sort_task(void *context, int64_t t, int worker) {
    const data_sort *p = context;
    const int64_t first = data_share(p->rows, p->tasks, t), last = data_share(p->rows, p->tasks, t + 1), n = p->n;
    uint64_t *a = p->room + worker * 2 * n;
    for (int64_t r = first; r < last; r++) {
        const int64_t at = r / p->inner * n * p->inner + r % p->inner;
        if (n <= DATA_COUNTED) {
            uint32_t key[DATA_COUNTED + ND_W];
            for (int64_t i = 0; i < n; i++) key[i] = data_sort_key(p->x[at + i * p->inner]);
            data_count_sort(key, n, p->inner, p->out + at);
            continue;
        }
        for (int64_t i = 0; i < n; i++) a[i] = (uint64_t)data_sort_key(p->x[at + i * p->inner]) << 32 | (uint32_t)i;
        const uint64_t *sorted = data_radix_sort(a, a + n, n);
        for (int64_t i = 0; i < n; i++) p->out[at + i * p->inner] = (int64_t)(sorted[i] & 0xffffffffu);
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
