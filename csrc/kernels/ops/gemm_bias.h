/* bias_act(x [*, n], bias [n] or absent) -> out [*, n], pre [*, n] or absent; attribute act: nd_bias_act_f32.
 * bias_act_bwd(g [*, n], saved [*, n], by [*, n] or absent) -> gx [*, n], gbias [n] or absent; attribute act:
 * nd_bias_act_bwd_f32 of g, or of g times by. For identity saved may be absent.
 * All dense. out may be x, gx may be g. Tasks are blocks of ND_ROW_BLOCK rows, and the sums of the blocks are added in
 * order, so that gbias has the bits of one thread. */

enum { BA_WORK = 50000 /* elements below which nothing is split */ };
enum { BA_ROWS, BA_COLS, BA_BLOCKS };

static int32_t bias_act_check(nd_call *c, const nd_view *x, const nd_view *y) {
    ND_REQUIRE(c->n_attr == 1 && c->attr[0] >= 0 && c->attr[0] < ND_ACT_COUNT, ND_EVALUE);
    ND_REQUIRE(c->threads >= 1, ND_EVALUE);
    ND_REQUIRE(x && y, ND_ENULL);
    ND_REQUIRE(x->rank >= 1 && x->rank <= ND_MAX_RANK, ND_ESIZE);
    int64_t size = 1;
    for (int i = 0; i < x->rank; i++) {
        ND_REQUIRE(x->dims[i] >= 0 && (x->dims[i] == 0 || size <= (INT64_MAX / 8) / x->dims[i]), ND_ESIZE);
        if (i < x->rank - 1) size *= x->dims[i];
    }
    ND_REQUIRE(nd_same_dims(x, y) && gemm_dense(x) && gemm_dense(y), ND_ESIZE);
    c->k[BA_COLS] = x->dims[x->rank - 1];
    c->k[BA_ROWS] = size;
    c->k[BA_BLOCKS] = size / ND_ROW_BLOCK + (size % ND_ROW_BLOCK != 0);
    c->scratch = c->persist = 0;
    return ND_OK;
}

static int is_vector(const nd_view *v, int64_t n) { return !v || (v->rank == 1 && v->dims[0] == n && gemm_dense(v)); }

static int32_t op_bias_act_prepare(nd_call *c) {
    ND_REQUIRE(c->n_in == 2 && c->n_out == 2, ND_EVALUE);
    const int32_t status = bias_act_check(c, c->view[0], c->view[2]);
    ND_REQUIRE(status == ND_OK, status);
    const nd_view *pre = c->view[3];
    ND_REQUIRE(is_vector(c->view[1], c->k[BA_COLS]), ND_ESIZE);
    ND_REQUIRE(!pre || (nd_same_dims(pre, c->view[0]) && gemm_dense(pre)), ND_ESIZE);
    return ND_OK;
}

static int32_t op_bias_act_bwd_prepare(nd_call *c) {
    ND_REQUIRE(c->n_in == 3 && c->n_out == 2, ND_EVALUE);
    const int32_t status = bias_act_check(c, c->view[0], c->view[3]);
    ND_REQUIRE(status == ND_OK, status);
    const nd_view *saved = c->view[1], *by = c->view[2];
    ND_REQUIRE(saved || c->attr[0] == ND_ACT_IDENTITY, ND_ENULL);
    ND_REQUIRE(!saved || (nd_same_dims(saved, c->view[0]) && gemm_dense(saved)), ND_ESIZE);
    ND_REQUIRE(!by || (nd_same_dims(by, c->view[0]) && gemm_dense(by)), ND_ESIZE);
    ND_REQUIRE(is_vector(c->view[4], c->k[BA_COLS]), ND_ESIZE);
    if (c->view[4]) c->scratch = nd_align64(c->k[BA_BLOCKS] * c->k[BA_COLS] * (int64_t)sizeof(float));
    return ND_OK;
}

typedef struct {
    const nd_call *call;
    void *const *data;
    float *sums;
    int64_t tasks;
} bias_act_job;

/* The rows of one task, in whole blocks; returns the first block. */
static int64_t bias_act_rows(const bias_act_job *job, int64_t task, int64_t *row, int64_t *count) {
    const int64_t *k = job->call->k, each = k[BA_BLOCKS] / job->tasks, more = k[BA_BLOCKS] % job->tasks;
    const int64_t first = task * each + (task < more ? task : more), blocks = each + (task < more);
    *row = first * ND_ROW_BLOCK;
    *count = blocks * ND_ROW_BLOCK < k[BA_ROWS] - *row ? blocks * ND_ROW_BLOCK : k[BA_ROWS] - *row;
    return first;
}

static void bias_act_task(void *context, int64_t task, int worker) {
    (void)worker;
    const bias_act_job *job = context;
    const nd_call *c = job->call;
    int64_t row, count;
    bias_act_rows(job, task, &row, &count);
    const int64_t cols = c->k[BA_COLS], at = row * cols;
    k_nd_bias_act_f32(count, cols, (const float *)job->data[0] + at, c->view[1] ? (const float *)job->data[1] : 0,
                      (int32_t)c->attr[0], (float *)job->data[2] + at, c->view[3] ? (float *)job->data[3] + at : 0);
}

static void bias_act_times(int64_t n, const float *g, const float *by, float *to) {
    int64_t i = 0;
    for (; i + ND_W <= n; i += ND_W) vf_store(to + i, vf_mul(vf_load(g + i), vf_load(by + i)));
    if (i < n) {
        const int left = (int)(n - i);
        vf_store_part(to + i, vf_mul(vf_load_part(g + i, left), vf_load_part(by + i, left)), left);
    }
}

static void bias_act_bwd_task(void *context, int64_t task, int worker) {
    (void)worker;
    const bias_act_job *job = context;
    const nd_call *c = job->call;
    int64_t row, count;
    const int64_t block = bias_act_rows(job, task, &row, &count), cols = c->k[BA_COLS];
    for (int64_t r = 0; r < count; r += ND_ROW_BLOCK) {
        const int64_t rows = count - r < ND_ROW_BLOCK ? count - r : ND_ROW_BLOCK, at = (row + r) * cols;
        const float *g = (const float *)job->data[0] + at, *saved = c->view[1] ? (const float *)job->data[1] + at : 0;
        float *gx = (float *)job->data[3] + at;
        if (c->view[2]) {
            bias_act_times(rows * cols, g, (const float *)job->data[2] + at, gx);
            g = gx;
        }
        k_nd_bias_act_bwd_f32(rows, cols, g, saved, (int32_t)c->attr[0], gx,
                              job->sums ? job->sums + (block + r / ND_ROW_BLOCK) * cols : 0);
    }
}

static void bias_act_start(bias_act_job *job, void (*task)(void *, int64_t, int)) {
    const nd_call *c = job->call;
    const double work = (double)c->k[BA_ROWS] * (double)c->k[BA_COLS];
    if (c->threads > 1 && work > BA_WORK)
        job->tasks = c->k[BA_BLOCKS] < 4 * c->threads ? c->k[BA_BLOCKS] : 4 * c->threads;
    if (job->tasks == 1) task(job, 0, 0);
    else nd_parallel(job->tasks, task, job);
}

static int32_t op_bias_act_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    (void)scratch;
    (void)persist;
    bias_act_job job = {c, data, 0, 1};
    if (c->k[BA_ROWS] && c->k[BA_COLS]) bias_act_start(&job, bias_act_task);
    return ND_OK;
}

static int32_t op_bias_act_bwd_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    (void)persist;
    const int64_t cols = c->k[BA_COLS];
    float *total = c->view[4] ? data[4] : 0;
    bias_act_job job = {c, data, total ? scratch : 0, 1};
    if (cols == 0) return ND_OK;
    if (c->k[BA_ROWS]) bias_act_start(&job, bias_act_bwd_task);
    if (!total) return ND_OK;
    memset(total, 0, (size_t)cols * sizeof *total); /* only now: a gradient of one row may have this memory */
    if (c->k[BA_ROWS]) add_column_sums(c->k[BA_BLOCKS], cols, job.sums, total);
    return ND_OK;
}
