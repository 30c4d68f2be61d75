/* max_pool(x [*B, *S]; kernel, stride, padding, dilation, ceil_mode) -> values [*B, *P], index int64 [*B, *P]: over one
 *     or two axes. Padding never wins; index is the place within S, counted row by row, of the first largest (of the
 *     last NaN, where there is one).
 * avg_pool(x; kernel, stride, padding, ceil_mode, count_include_pad) -> y: the elements of each window added in order
 *     of places, times 1 / their count; padding adds nothing, and counts where count_include_pad is 1.
 *
 * Lists of attributes come with their length. 0 <= 2 padding <= kernel. Dense float32; no output may be an input.
 */

/* One axis: n elements, m windows. */
typedef struct {
    int64_t n, m, kernel, stride, padding, dilation;
} pool_axis;

static int32_t pool_read_axis(pool_axis *a, int64_t n, int ceil_mode) {
    ND_REQUIRE(a->kernel >= 1 && a->kernel <= POOL_MOST && a->stride >= 1 && a->stride <= POOL_MOST, ND_EVALUE);
    ND_REQUIRE(a->dilation >= 1 && a->dilation <= POOL_MOST, ND_EVALUE);
    ND_REQUIRE(a->padding >= 0 && a->padding <= a->kernel / 2, ND_EVALUE);
    ND_REQUIRE(n <= INT64_MAX / 4, ND_ESIZE);
    int64_t spare = n + 2 * a->padding - a->dilation * (a->kernel - 1) - 1;
    if (ceil_mode) { /* a last window may hang over the end, but must begin before it */
        const int64_t up = spare >= 0 ? (spare + a->stride - 1) / a->stride : -(-spare / a->stride);
        if (up * a->stride < n + a->padding) spare = up * a->stride;
    }
    ND_REQUIRE(spare >= 0, ND_ESIZE);
    a->n = n;
    a->m = spare / a->stride + 1;
    return ND_OK;
}

/* The attributes as axes, the first of them with one window where there is only one axis; the number of rows. */
static int32_t pool_read(const nd_call *c, int dilated, pool_axis axis[2], int64_t *rows) {
    const int64_t *attr = c->attr;
    ND_REQUIRE(c->n_attr >= 1, ND_EVALUE);
    const int n = attr[0] == 1 || attr[0] == 2 ? (int)attr[0] : 0, lists = dilated ? 4 : 3;
    ND_REQUIRE(n && c->n_attr == lists * (n + 1) + (dilated ? 1 : 2), ND_EVALUE);
    for (int l = 0; l < lists; l++) ND_REQUIRE(attr[l * (n + 1)] == n, ND_EVALUE);
    const nd_view *x = c->view[0];
    const int lead = x->rank - n;
    ND_REQUIRE(lead >= 0 && rows_product(x, 0, lead, rows), ND_ESIZE);
    for (int i = 0; i < 2; i++) {
        const int from = i - (2 - n);
        axis[i] = (pool_axis){1, 1, 1, 1, 0, 1};
        if (from < 0) continue;
        axis[i].kernel = attr[1 + from];
        axis[i].stride = attr[n + 2 + from];
        axis[i].padding = attr[2 * n + 3 + from];
        if (dilated) axis[i].dilation = attr[3 * n + 4 + from];
        const int32_t status = pool_read_axis(&axis[i], x->dims[lead + from], attr[lists * (n + 1)] != 0);
        ND_REQUIRE(status == ND_OK, status);
    }
    return ND_OK;
}

static int32_t pool_check(nd_call *c, int dilated) {
    pool_axis axis[2];
    int64_t rows;
    const int32_t status = pool_read(c, dilated, axis, &rows);
    ND_REQUIRE(status == ND_OK, status);
    const nd_view *x = c->view[0];
    const int lead = x->rank - (int)c->attr[0];
    ND_REQUIRE(nd_dense(x), ND_ESIZE);
    for (int i = c->n_in; i < c->n_in + c->n_out; i++) {
        const nd_view *v = c->view[i];
        ND_REQUIRE(v->rank == x->rank && nd_dense(v), ND_ESIZE);
        for (int j = 0; j < lead; j++) ND_REQUIRE(v->dims[j] == x->dims[j], ND_ESIZE);
        for (int j = lead; j < x->rank; j++) ND_REQUIRE(v->dims[j] == axis[2 - (x->rank - j)].m, ND_ESIZE);
    }
    return ND_OK;
}

static int32_t op_max_pool_prepare(nd_call *c) {
    const int32_t status = rows_check(c, 1, 2, 1, 4u);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(c->view[2]->dtype == ND_I64, ND_EVALUE);
    return pool_check(c, 1);
}

static int32_t op_avg_pool_prepare(nd_call *c) {
    const int32_t status = rows_check(c, 1, 1, 1, 0);
    ND_REQUIRE(status == ND_OK, status);
    return pool_check(c, 0);
}

/* The places [*first, *end) of window i that lie inside; returns the element that place 0 is (maybe outside). */
static inline int64_t pool_places(const pool_axis *a, int64_t i, int64_t *first, int64_t *end) {
    const int64_t start = i * a->stride - a->padding, d = a->dilation;
    *first = start < 0 ? (-start + d - 1) / d : 0;
    const int64_t fit = start < a->n ? (a->n - start + d - 1) / d : 0;
    *end = fit < a->kernel ? fit : a->kernel;
    return start;
}

/* Whether all places of the ND_W windows from j on are inside. */
static inline int pool_inside(const pool_axis *a, int64_t j) {
    const int64_t start = j * a->stride - a->padding, reach = (ND_W - 1) * a->stride + (a->kernel - 1) * a->dilation;
    return j + ND_W <= a->m && start >= 0 && start + reach < a->n;
}

enum { POOL_PLACES = 64 /* kernel places that are numbered in registers */ };

/* ND_W windows of one row, from column `left` on, all of whose columns are inside; rows r0 .. r1 - 1 of the kernel. */
static void max_pool_block(const pool_axis axis[2], int64_t top, int64_t left, int64_t r0, int64_t r1, const float *x,
                           float *value, int64_t *index) {
    const pool_axis *a = &axis[1];
    int64_t offset[POOL_PLACES];
    float which[ND_W];
    vf best = vf_set1(-INFINITY), place = vf_set1(0.0f);
    int count = 0;
    for (int64_t r = r0; r < r1; r++)
        for (int64_t c = 0; c < a->kernel; c++, count++) {
            const int64_t column = left + c * a->dilation;
            offset[count] = (top + r * axis[0].dilation) * a->n + column;
            const vf v = pool_gather(x + offset[count], a->stride, a->n - column), here = vf_set1((float)count);
            const vm larger = vf_gt(v, best), number = vf_eq(v, v); /* a NaN is taken whatever was there */
            place = vf_blend(number, vf_blend(larger, here, place), here);
            best = vf_blend(number, vf_blend(larger, v, best), v);
        }
    vf_store(value, best);
    vf_store(which, place);
    for (int l = 0; l < ND_W; l++) index[l] = offset[(int)which[l]] + l * a->stride;
}

/* One row of windows (window row i) of an image. */
static void max_pool_line(const pool_axis axis[2], int64_t i, const float *x, float *value, int64_t *index) {
    int64_t r0, r1, c0, c1;
    const int64_t top = pool_places(&axis[0], i, &r0, &r1), width = axis[1].n, columns = axis[1].kernel;
    const int few = r0 < r1 && columns <= POOL_PLACES && (r1 - r0) * columns <= POOL_PLACES;
    for (int64_t j = 0; j < axis[1].m; j++) {
        const int64_t left = pool_places(&axis[1], j, &c0, &c1);
        if (few && pool_inside(&axis[1], j)) {
            max_pool_block(axis, top, left, r0, r1, x, value + j, index + j);
            j += ND_W - 1;
            continue;
        }
        int64_t at = (top + r0 * axis[0].dilation) * width + left + c0 * axis[1].dilation;
        float best = -INFINITY;
        for (int64_t r = r0; r < r1; r++)
            for (int64_t c = c0; c < c1; c++) {
                const int64_t here = (top + r * axis[0].dilation) * width + left + c * axis[1].dilation;
                if (x[here] > best || x[here] != x[here]) {
                    best = x[here];
                    at = here;
                }
            }
        value[j] = best;
        index[j] = at;
    }
}

static void avg_pool_line(const pool_axis axis[2], int64_t i, int with_padding, const float *x, float *y) {
    int64_t r0, r1, c0, c1;
    const int64_t top = pool_places(&axis[0], i, &r0, &r1), width = axis[1].n;
    for (int64_t j = 0; j < axis[1].m; j++) {
        const int64_t left = pool_places(&axis[1], j, &c0, &c1);
        double count = (double)(r1 - r0) * (double)(c1 - c0);
        if (with_padding) { /* what hangs over in ceil mode never counts */
            const int64_t rows = axis[0].n + axis[0].padding - top, cols = width + axis[1].padding - left;
            count = (double)(rows < axis[0].kernel ? rows : axis[0].kernel) *
                    (double)(cols < axis[1].kernel ? cols : axis[1].kernel);
        }
        float sum = 0.0f;
        for (int64_t r = r0; r < r1; r++)
            for (int64_t c = c0; c < c1; c++) sum += x[(top + r) * width + left + c];
        y[j] = sum * (float)(1.0 / count);
    }
}

static void max_pool_lines(const rows_work *w, int64_t first, int64_t end, int worker) {
    pool_axis axis[2];
    int64_t rows;
    (void)worker;
    pool_read(w->call, 1, axis, &rows);
    for (int64_t u = first; u < end; u++) {
        const float *x = (const float *)w->data[0] + u / axis[0].m * axis[0].n * axis[1].n;
        max_pool_line(axis, u % axis[0].m, x, (float *)w->data[1] + u * axis[1].m,
                      (int64_t *)w->data[2] + u * axis[1].m);
    }
}

static void avg_pool_lines(const rows_work *w, int64_t first, int64_t end, int worker) {
    pool_axis axis[2];
    int64_t rows;
    (void)worker;
    pool_read(w->call, 0, axis, &rows);
    for (int64_t u = first; u < end; u++) {
        const float *x = (const float *)w->data[0] + u / axis[0].m * axis[0].n * axis[1].n;
        avg_pool_line(axis, u % axis[0].m, w->call->attr[w->call->n_attr - 1] != 0, x,
                      (float *)w->data[1] + u * axis[1].m);
    }
}

static void pool_go(const nd_call *c, void *const *data, int dilated,
                    void (*body)(const rows_work *, int64_t, int64_t, int)) {
    pool_axis axis[2];
    int64_t rows;
    pool_read(c, dilated, axis, &rows);
    rows_work w = ROWS_WORK(c, data, 0, 0, rows * axis[0].m, body);
    const double places = (double)axis[0].kernel * (double)axis[1].kernel;
    rows_run(&w, 2.0 * (double)rows * (double)axis[0].m * (double)axis[1].m * places);
}

static int32_t op_max_pool_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    (void)scratch;
    (void)persist;
    pool_go(c, data, 1, max_pool_lines);
    return ND_OK;
}

static int32_t op_avg_pool_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    (void)scratch;
    (void)persist;
    pool_go(c, data, 0, avg_pool_lines);
    return ND_OK;
}
