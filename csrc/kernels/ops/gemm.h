/* gemm(a [*batch, m, k], b [*batch, k, n], bias [n] or absent, addend [*batch, m, n] or absent) -> out [*batch, m, n],
 * pre [*batch, m, n] or absent; attributes act (ND_ACT_*), alpha (double, rounded to float32).
 *
 *     pre = alpha (a b) + addend + bias,   out = act(pre)
 *
 * a and b take any strides; the rest is dense. The addend may have the memory of either output.
 * Each element of a b is one chain of fused multiply-adds over k in order, starting at 0, whatever the shapes, layouts,
 * blocking, threads and instruction set; alpha 1 multiplies nothing; then come the addend, the bias, the activation, each rounded.
 * k = 0 gives products of 0. A constant b is packed once.
 */
#include "gemm_kernel.h"
#include "gemm_pack.h"
#include "gemm_epilogue.h"
#include "gemm_bias.h"

enum {
    GEMM_KC = 256,             /* k of a block when k is longer than GEMM_K_WHOLE */
    GEMM_K_WHOLE = 512,
    GEMM_MC = 240,             /* rows of a tile, columns of a tile */
    GEMM_NC = 480,
    GEMM_WORK = 50000,         /* multiply-adds below which nothing is split over threads */
    GEMM_MOST_WORKERS = 1024,
};
#define GEMM_MOST ((int64_t)1 << 40)      /* largest dim */
#define GEMM_MOST_PACKED ((int64_t)1 << 31) /* elements of a constant b that is worth packing */

/* Numbers that prepare leaves for run. */
enum { G_ITEMS, G_M, G_N, G_K, G_AM, G_AK, G_BK, G_BN, G_AXES, G_MT, G_NT, G_KC, G_PACK_A, G_PACK_B, G_PERSIST,
       G_WORKER, G_A_AT, G_C_AT, G_COPIES };

static int64_t round_up(int64_t x, int64_t unit) { return (x + unit - 1) / unit * unit; }

/* Shapes, dtypes and layouts; leaves dims, strides and the number of batch items in k. */
static int32_t gemm_check(nd_call *c) {
    ND_REQUIRE(c->n_in == 4 && c->n_out == 2 && c->n_attr == 2, ND_EVALUE);
    const nd_view *a = c->view[0], *b = c->view[1], *bias = c->view[2], *addend = c->view[3], *out = c->view[4];
    const nd_view *pre = c->view[5];
    ND_REQUIRE(a && b && out, ND_ENULL);
    ND_REQUIRE(a->dtype == ND_F32 && b->dtype == ND_F32 && nd_is(out, ND_F32), ND_EVALUE);
    const int rank = out->rank;
    ND_REQUIRE(rank >= 2 && rank <= ND_MAX_RANK && a->rank == rank && b->rank == rank, ND_ESIZE);
    const int64_t m = out->dims[rank - 2], n = out->dims[rank - 1], k = a->dims[rank - 1];
    ND_REQUIRE(a->dims[rank - 2] == m && b->dims[rank - 1] == n && b->dims[rank - 2] == k, ND_ESIZE);
    ND_REQUIRE(k >= 0 && k <= GEMM_MOST, ND_ESIZE);
    int64_t size = 1;
    for (int i = 0; i < rank; i++) {
        ND_REQUIRE(out->dims[i] >= 0 && out->dims[i] <= GEMM_MOST, ND_ESIZE);
        ND_REQUIRE(i >= rank - 2 || (a->dims[i] == out->dims[i] && b->dims[i] == out->dims[i]), ND_ESIZE);
        ND_REQUIRE(out->dims[i] == 0 || size <= (INT64_MAX / 8) / out->dims[i], ND_ESIZE);
        size *= out->dims[i];
    }
    ND_REQUIRE(!bias || (nd_is(bias, ND_F32) && bias->rank == 1 && bias->dims[0] == n), ND_ESIZE);
    ND_REQUIRE(!addend || (nd_is(addend, ND_F32) && nd_same_dims(addend, out)), ND_ESIZE);
    ND_REQUIRE(!pre || (nd_is(pre, ND_F32) && nd_same_dims(pre, out)), ND_ESIZE);
    ND_REQUIRE(c->attr[0] >= 0 && c->attr[0] < ND_ACT_COUNT, ND_EVALUE);
    ND_REQUIRE(c->threads >= 1 && c->threads <= GEMM_MOST_WORKERS, ND_EVALUE);
    return ND_OK;
}

/* Joins inner batch axes over which b is the same to the rows, where a's strides allow it. */
static void gemm_fold(nd_call *c) {
    const nd_view *a = c->view[0], *b = c->view[1], *out = c->view[4];
    int axes = out->rank - 2;
    int64_t m = out->dims[axes], am = a->strides[axes];
    for (; axes > 0; axes--) {
        const int64_t count = out->dims[axes - 1];
        if (count != 1) {
            if (b->strides[axes - 1] != 0) break;
            if (m == 1) am = a->strides[axes - 1];
            else if (a->strides[axes - 1] != m * am) break;
            m *= count;
        }
    }
    int64_t items = 1;
    for (int i = 0; i < axes; i++) items *= out->dims[i];
    c->k[G_AXES] = axes;
    c->k[G_ITEMS] = items;
    c->k[G_M] = m;
    c->k[G_AM] = am;
    c->k[G_N] = out->dims[out->rank - 1];
    c->k[G_K] = a->dims[out->rank - 1];
    c->k[G_AK] = a->strides[out->rank - 1];
    c->k[G_BK] = b->strides[out->rank - 2];
    c->k[G_BN] = b->strides[out->rank - 1];
    /* An axis of length 1 may have any stride: make it one that suits. */
    if (c->k[G_M] == 1) c->k[G_AM] = 1;
    if (c->k[G_K] == 1) c->k[G_AK] = 1;
    if (c->k[G_K] == 1) c->k[G_BK] = c->k[G_N];
    if (c->k[G_N] == 1) c->k[G_BN] = 1;
}

static int64_t gemm_split(int64_t total, int64_t parts, int64_t unit) { return round_up((total + parts - 1) / parts, unit); }

/* Tiles of the output and blocks of k. */
static void gemm_block(nd_call *c) {
    const int64_t m = c->k[G_M], n = c->k[G_N], k = c->k[G_K];
    int64_t mt = gemm_split(m, (m + GEMM_MC - 1) / GEMM_MC, GEMM_MR);
    int64_t nt = gemm_split(n, (n + GEMM_NC - 1) / GEMM_NC, GEMM_NR);
    if (c->threads > 1 && c->k[G_ITEMS] < 2 * c->threads && mt >= m && nt >= n) { /* one tile: make some more */
        if (n > m) nt = gemm_split(n, c->threads, GEMM_NR);
        else mt = gemm_split(m, c->threads, GEMM_MR);
    }
    c->k[G_MT] = mt;
    c->k[G_NT] = nt;
    c->k[G_KC] = k <= GEMM_K_WHOLE ? k : gemm_split(k, (k + GEMM_KC - 1) / GEMM_KC, 16);
}

static int32_t op_gemm_prepare(nd_call *c) {
    const int32_t status = gemm_check(c);
    ND_REQUIRE(status == ND_OK, status);
    c->scratch = c->persist = 0;
    if (nd_size(c->view[4]) == 0) return ND_OK;
    gemm_fold(c);
    gemm_block(c);
    int64_t *g = c->k;
    const nd_view *b = c->view[1];
    g[G_COPIES] = 1;
    for (int i = 0; i < g[G_AXES]; i++)
        if (b->strides[i] != 0 && b->dims[i] != 1) g[G_COPIES] = g[G_ITEMS];
    const int64_t width = round_up(g[G_N], GEMM_NR), most = GEMM_MOST_PACKED / g[G_COPIES];
    g[G_PERSIST] = (b->flags & ND_CONSTANT) && g[G_K] > 0 && width <= most && g[G_K] <= most / width;
    if (g[G_PERSIST]) c->persist = g[G_COPIES] * width * g[G_K] * (int64_t)sizeof(float);
    g[G_PACK_B] = !g[G_PERSIST] && (g[G_BN] != 1 || g[G_M] > 4 * GEMM_MR);
    g[G_PACK_A] = (g[G_AK] != 1 && g[G_AM] != 1) || (g[G_N] > 4 * GEMM_NR && g[G_M] > 4 * GEMM_MR);
    int64_t at = 0;
    if (g[G_PACK_B]) at += nd_align64(g[G_NT] * g[G_KC] * 4);
    g[G_A_AT] = at;
    if (g[G_PACK_A]) at += nd_align64(g[G_MT] * g[G_KC] * 4);
    g[G_C_AT] = at;
    at += g[G_KC] < g[G_K] ? nd_align64(g[G_MT] * g[G_NT] * 4) : nd_align64((int64_t)GEMM_MR * GEMM_NR * 4);
    g[G_WORKER] = at;
    c->scratch = at * c->threads;
    return ND_OK;
}

typedef struct {
    const nd_call *call;
    void *const *data;
    char *scratch;
    const float *persist;
    int64_t tiles_m, tiles_n, tasks;
} gemm_job;

/* Where batch item `item` of an operand starts. */
static int64_t gemm_offset(const nd_view *v, int64_t axes, int64_t item) {
    int64_t at = 0;
    for (int64_t i = axes - 1; i >= 0; i--) {
        at += item % v->dims[i] * v->strides[i];
        item /= v->dims[i];
    }
    return at;
}

/* One block of k over one tile: panels of B outside, so that one stays in the nearest cache. */
static void gemm_sweep(gemm_tile t, int64_t rows, int64_t cols, int64_t b_panel, int64_t acc_ld, float *acc, int first,
                       int last, gemm_finish *f, int act) {
    const float *a = t.a;
    const gemm_finish base = *f;
    const int unit_rows = t.ar == 1 && t.ak != 1;
    for (int64_t j = 0; j < cols; j += GEMM_NR, t.b += b_panel) {
        const int64_t width = cols - j < GEMM_NR ? cols - j : GEMM_NR;
        const int nv = (int)((width + ND_W - 1) / ND_W);
        t.last = (int)(width - (nv - 1) * ND_W);
        for (int64_t i = 0; i < rows; i += GEMM_MR) {
            const int mr = rows - i < GEMM_MR ? (int)(rows - i) : GEMM_MR;
            t.a = a + i / GEMM_GROUP * t.ag;
            t.c = first && last ? acc : acc + i * acc_ld + j;
            t.start = first ? 0 : t.c;
            t.c_ld = t.start_ld = acc_ld;
            gemm_kernels[nv - 1][mr - 1][unit_rows][t.last < ND_W](&t);
            if (!last) continue;
            const int64_t at = i * f->ld + j;
            *f = base;
            f->out += at;
            if (f->pre) f->pre += at;
            if (f->addend) f->addend += at;
            if (f->bias) f->bias += j;
            gemm_finishes[act](f, mr, width, t.c, t.c_ld);
        }
    }
    *f = base;
}

static void gemm_run_tile(const gemm_job *job, int64_t item, int64_t ti, int64_t tj, char *scratch) {
    const nd_call *c = job->call;
    const int64_t *g = c->k, m = g[G_M], n = g[G_N], k = g[G_K], i0 = ti * g[G_MT], j0 = tj * g[G_NT];
    const int64_t rows = m - i0 < g[G_MT] ? m - i0 : g[G_MT], cols = n - j0 < g[G_NT] ? n - j0 : g[G_NT];
    const float *a = (const float *)job->data[0] + gemm_offset(c->view[0], g[G_AXES], item) + i0 * g[G_AM];
    const float *b = (const float *)job->data[1] + gemm_offset(c->view[1], g[G_AXES], item) + j0 * g[G_BN];
    const int64_t at = item * m * n + i0 * n + j0, width = round_up(n, GEMM_NR);
    gemm_finish f = {(float)nd_attr_f64(c, 1), c->view[2] ? (const float *)job->data[2] + j0 : 0,
                     c->view[3] ? (const float *)job->data[3] + at : 0, (float *)job->data[4] + at,
                     c->view[5] ? (float *)job->data[5] + at : 0, n};
    float *packed_b = (float *)scratch, *packed_a = (float *)(scratch + g[G_A_AT]), *acc = (float *)(scratch + g[G_C_AT]);
    const float *constant = job->persist + (g[G_COPIES] > 1 ? item * width * k : 0);
    int64_t p = 0;
    do {
        const int64_t kc = k - p < g[G_KC] ? k - p : g[G_KC];
        const int last = p + kc >= k, whole = g[G_KC] >= k;
        gemm_tile t = {a + p * g[G_AK], b + p * g[G_BK], GEMM_GROUP * g[G_AM], g[G_AM], g[G_AK], g[G_BK], kc, 0, 0, 0, 0, 0};
        int64_t panel = GEMM_NR;
        if (g[G_PACK_A]) {
            gemm_pack_a(rows, kc, t.a, g[G_AM], g[G_AK], packed_a);
            t.a = packed_a;
            t.ag = GEMM_GROUP * kc;
            t.ar = 1;
            t.ak = GEMM_GROUP;
        }
        if (g[G_PERSIST] || g[G_PACK_B]) {
            if (g[G_PACK_B]) gemm_pack_b(kc, cols, t.b, g[G_BK], g[G_BN], packed_b);
            t.b = g[G_PERSIST] ? constant + p * width + j0 * kc : packed_b;
            t.bk = GEMM_NR;
            panel = kc * GEMM_NR;
        }
        gemm_sweep(t, rows, cols, panel, whole ? GEMM_NR : g[G_NT], acc, p == 0, last, &f, (int)c->attr[0]);
        p += kc;
    } while (p < k);
}

static void gemm_task(void *context, int64_t task, int worker) {
    const gemm_job *job = context;
    const int64_t tiles = job->tiles_m * job->tiles_n, total = job->call->k[G_ITEMS] * tiles;
    const int64_t end = (task + 1) * (total / job->tasks) + (task + 1) * (total % job->tasks) / job->tasks;
    for (int64_t i = task * (total / job->tasks) + task * (total % job->tasks) / job->tasks; i < end; i++)
        gemm_run_tile(job, i / tiles, i % tiles % job->tiles_m, i % tiles / job->tiles_m,
                      job->scratch + worker * job->call->k[G_WORKER]);
}

static int32_t op_gemm_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const int64_t *g = c->k;
    if (nd_size(c->view[4]) == 0) return ND_OK;
    gemm_job job = {c, data, scratch, persist, (g[G_M] + g[G_MT] - 1) / g[G_MT], (g[G_N] + g[G_NT] - 1) / g[G_NT], 1};
    const int64_t total = g[G_ITEMS] * job.tiles_m * job.tiles_n;
    const double work = (double)g[G_ITEMS] * (double)g[G_M] * (double)g[G_N] * (double)(g[G_K] + 8);
    if (c->threads > 1 && work > GEMM_WORK) job.tasks = total < 4 * c->threads ? total : 4 * c->threads;
    if (job.tasks == 1) gemm_task(&job, 0, 0);
    else nd_parallel(job.tasks, gemm_task, &job);
    return ND_OK;
}

static int32_t gemm_pack(const nd_call *c, void *const *data, void *persist) {
    const int64_t *g = c->k, n = g[G_N], k = g[G_K], width = round_up(n, GEMM_NR);
    for (int64_t copy = 0; copy < g[G_COPIES]; copy++) {
        const float *b = (const float *)data[1] + gemm_offset(c->view[1], g[G_AXES], copy);
        float *to = (float *)persist + copy * width * k;
        for (int64_t p = 0; p < k; p += g[G_KC]) {
            const int64_t kc = k - p < g[G_KC] ? k - p : g[G_KC];
            gemm_pack_b(kc, n, b + p * g[G_BK], g[G_BK], g[G_BN], to + p * width);
        }
    }
    return ND_OK;
}

#define ND_OPS_GEMM(X) X(gemm, 1u << 3, gemm_pack) X(bias_act, 1u << 0, 0) X(bias_act_bwd, 1u << 0, 0)
