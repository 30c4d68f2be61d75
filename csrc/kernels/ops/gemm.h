/* gemm(a [*batch, m, k], b [*batch, k, n], bias [n] or absent, addend [*batch, m, n] or absent) -> out [*batch, m, n],
 * pre [*batch, m, n] or absent; attributes act (ND_ACT_*), alpha (double, rounded to float32).
 *
 *     pre = alpha (a b) + addend + bias,   out = act(pre)
 *
 * a and b take any strides; the rest is dense. The addend may have the memory of either output.
 * Each element of a b is one chain of fused multiply-adds over k in order, starting at 0, whatever the shapes, layouts,
 * blocking, threads and instruction set; alpha 1 multiplies nothing; then come the addend, the bias, the activation,
 * each rounded. k = 0 gives products of 0. A constant b is packed once.
 *
 * One exception, where a chain would take up to twice the time: m = 1, n > 1, and 64 k or more that are adjacent in a and
 * in b, which is not constant. There lane l of 16 is the chain over k = l, l + 16 ..., and the lanes are added on the fixed
 * tree (common.h): the same bits on all threads and instruction sets, but not those that the row has among others.
 */
#include "gemm_kernel.h"
#include "gemm_row.h"
#include "gemm_pack.h"
#include "gemm_epilogue.h"
#include "gemm_plan.h"
#include "gemm_bias.h"
#include "gemm_ahead.h"

typedef struct {
    const nd_call *call;
    void *const *data;
    char *scratch;
    const float *persist;
    int64_t tiles_m, tiles_n, tasks;
    gemm_finish finish; /* of the whole output of item 0 */
    int plain;          /* the accumulators are the output */
    int far;            /* lines are asked for ahead */
    int direct;         /* items of one tile, with R read as it is */
} gemm_job;

/* What a worker has packed of V in its memory. */
typedef struct {
    char *scratch;
    const float *v;
    int64_t tile;
} gemm_worker;

/* Where batch item `item` of an operand starts. */
static int64_t gemm_offset(const nd_view *v, int64_t axes, int64_t item) {
    int64_t at = 0;
    for (int64_t i = axes - 1; i > 0; i--) {
        at += item % v->dims[i] * v->strides[i];
        item /= v->dims[i];
    }
    return axes > 0 ? at + item * v->strides[0] : 0;
}

/* One micro-tile at row i of the block at `row`, column j; acc: where the accumulators of the panel start. */
ND_INLINE void gemm_micro(gemm_tile *t, const gemm_part *part, gemm_kernel *const *kernel, float *acc, int64_t row,
                          int64_t i, int mr, int64_t j, int64_t width, int first, int last) {
    if (part->far && last && !part->turned) /* a short tile is done before its lines would be there */
        finish_ask(&part->finish, row + i + (t->k <= GEMM_K_SHORT ? GEMM_MR_1 : 0), j, mr, width);
    t->c = part->plain ? part->finish.out + (row + i) * t->c_ld + j
                       : acc + (part->acc_ld || part->turned ? i * t->c_ld : 0);
    t->start = first ? 0 : t->c;
    kernel[(mr - 1) * 4](t);
    if (!last || part->plain || part->turned) return;
    const gemm_finish f = finish_at(&part->finish, row + i, j, 0);
    gemm_finishes[f.act](&f, mr, width, t->c, t->c_ld);
}

/* Rows of the next tile of `left`. A last tile of few chains would wait for its own results: the last two share alike. */
ND_INLINE int gemm_height(int64_t left, int nv) {
    const int most = nv == 1 ? GEMM_MR_1 : GEMM_MR, few = GEMM_CHAINS / nv < most ? GEMM_CHAINS / nv : most;
    if (left <= most) return (int)left;
    return left < most + few ? (int)((left / 2 + GEMM_GROUP - 1) / GEMM_GROUP * GEMM_GROUP) : most;
}

/* One block of k over rows row .. row + rows of a tile. For a long k panels of V are outside, so that one stays in the
   nearest cache; for a short one groups of rows, so that the output is written along its lines. */
static void gemm_sweep(gemm_tile t, const gemm_part *part, int64_t row, int64_t rows, int64_t panel, int first,
                       int last, gemm_ahead *ahead) {
    const float *r = t.a, *v = t.b;
    const int unit_rows = t.ar == 1, by_rows = t.k <= GEMM_K_SHORT && !part->turned;
    const int64_t high = by_rows ? GEMM_MR_1 : rows;
    t.c_ld = part->plain ? part->finish.ld : part->acc_ld ? part->acc_ld : GEMM_NR;
    for (int64_t i0 = 0; i0 < rows; i0 += high) {
        const int64_t i1 = rows - i0 < high ? rows : i0 + high;
        for (int64_t j = 0; j < part->cols; j += GEMM_NR) {
            const int64_t width = part->cols - j < GEMM_NR ? part->cols - j : GEMM_NR;
            const int nv = (int)((width + ND_W - 1) / ND_W);
            gemm_kernel *const *kernel = &gemm_kernels[nv - 1][0][unit_rows][width % ND_W != 0];
            float *acc = part->acc + (part->acc_ld ? row * part->acc_ld + j : 0);
            t.b = v + j / GEMM_NR * panel;
            t.last = (int)(width - (nv - 1) * ND_W);
            int mr;
            for (int64_t i = i0; i < i1; i += mr) {
                mr = gemm_height(i1 - i, nv);
                t.a = r + i / GEMM_GROUP * t.ag;
                gemm_ask(&ahead[0]);
                gemm_ask(&ahead[1]);
                gemm_micro(&t, part, kernel, acc, row, i, mr, j, width, first, last);
            }
            if (!last || !part->turned) continue;
            const gemm_finish f = finish_at(&part->finish, j, row, 0);
            finish_transposed(&f, rows, width, acc, t.c_ld);
        }
    }
}

static void gemm_blocks(const int64_t *g, const gemm_part *part, gemm_worker *worker) {
    float *packed_v = (float *)worker->scratch, *packed_r = (float *)(worker->scratch + g[G_R_AT]);
    const int64_t k = g[G_K], width = round_up(g[G_COLS], GEMM_NR);
    int64_t p = 0;
    do {
        const int64_t kc = k - p < g[G_KC] ? k - p : g[G_KC];
        const float *v = part->v + p * g[G_VK];
        const int known = g[G_KC] >= k && worker->v == v && worker->tile == part->tj;
        if (g[G_PACK_V] && !known) gemm_pack_b(kc, part->cols, v, g[G_VK], g[G_VN], packed_v);
        worker->v = v;
        worker->tile = part->tj;
        for (int64_t i = 0; i < part->rows; i += GEMM_MC) {
            const int64_t rows = part->rows - i < GEMM_MC ? part->rows - i : GEMM_MC;
            gemm_tile t = {.a = part->r + i * g[G_RM] + p * g[G_RK], .b = v, .ag = GEMM_GROUP * g[G_RM], .ar = g[G_RM],
                           .ak = g[G_RK], .bk = g[G_VK], .k = kc};
            int64_t panel = GEMM_NR;
            if (part->constant || g[G_PACK_V]) {
                t.b = part->constant ? part->constant + p * width + part->j0 * kc : packed_v;
                t.bk = GEMM_NR;
                panel = kc * GEMM_NR;
            }
            if (g[G_PACK_R]) {
                gemm_pack_a(rows, kc, t.a, g[G_RM], g[G_RK], packed_r);
                t.a = packed_r;
                t.ag = gemm_group(kc);
                t.ar = 1;
                t.ak = GEMM_GROUP;
            }
            gemm_ahead ahead[2] = {{0}};
            if (part->far) gemm_next(g, part, p, kc, i, rows, ahead);
            gemm_sweep(t, part, i, rows, panel, p == 0, p + kc >= k, ahead);
        }
        p += kc;
    } while (p < k);
}

/* One row of R. */
static void gemm_single(const int64_t *g, const gemm_part *part, gemm_worker *worker) {
    float *packed = (float *)worker->scratch;
    const int64_t k = g[G_K];
    gemm_row t = {.x = part->r, .b = part->v, .k = k, .xs = g[G_RK], .bk = g[G_VK], .panel = GEMM_NR, .bn = g[G_VN],
                  .y = part->plain ? part->finish.out : part->acc, .first = 1};
    if (part->constant) {
        t.b = part->constant + part->j0 * k;
        t.bk = GEMM_NR;
        t.panel = k * GEMM_NR;
        t.far = k * g[G_COLS] > ROW_NEAR;
        gemm_row_columns(t, part->cols);
    } else if (g[G_PACK_V]) {
        for (int64_t p = 0; p == 0 || p < k; p += g[G_KC]) {
            t.k = k - p < g[G_KC] ? k - p : g[G_KC];
            t.b = packed;
            t.bk = GEMM_NR;
            t.panel = t.k * GEMM_NR;
            t.x = part->r + p * g[G_RK];
            gemm_pack_b(t.k, part->cols, part->v + p * g[G_VK], g[G_VK], g[G_VN], packed);
            gemm_row_columns(t, part->cols);
            t.first = 0;
        }
    } else if (g[G_LANES]) gemm_row_lanes(&t, part->cols);
    else if (g[G_VN] == 1 && g[G_COLS] > ROW_WIDE && k > 0) gemm_row_stream(t, part->cols);
    else if (g[G_VN] == 1) gemm_row_columns(t, part->cols);
    else gemm_row_dots(&t, part->cols);
    if (!part->plain) gemm_finishes[part->finish.act](&part->finish, 1, part->cols, part->acc, part->cols);
}

/* k = 1: each row of the output is a multiple of V's row, written from front to back. */
static void gemm_outer(const int64_t *g, const gemm_part *part) {
    gemm_row t = {.x = part->r, .b = part->v, .xs = 1, .y = part->finish.out};
    for (int64_t i = 0; i < part->rows; i++, t.x += g[G_RM], t.y += part->finish.ld) row_sweep(&t, part->cols, 1, 1);
}

static void gemm_run_tile(const gemm_job *job, int64_t item, int64_t ti, int64_t tj, gemm_worker *worker) {
    const nd_call *c = job->call;
    const int64_t *g = c->k, i0 = ti * g[G_MT], j0 = tj * g[G_NT];
    const int turned = (int)g[G_TURNED], r = turned ? 1 : 0, v = turned ? 0 : 1;
    const int64_t n = job->finish.ld, row = turned ? j0 : i0, col = turned ? i0 : j0;
    gemm_part part = {.rows = g[G_ROWS] - i0 < g[G_MT] ? g[G_ROWS] - i0 : g[G_MT],
                      .cols = g[G_COLS] - j0 < g[G_NT] ? g[G_COLS] - j0 : g[G_NT],
                      .j0 = j0, .tj = tj, .acc = (float *)(worker->scratch + g[G_ACC_AT]),
                      .acc_ld = g[G_KC] < g[G_K] ? g[G_NT] : 0, .turned = turned && !g[G_SINGLE], .plain = job->plain,
                      .far = job->far, .more = g[G_ROWS] - i0 - g[G_MT]};
    part.r = (const float *)job->data[r] + gemm_offset(c->view[r], g[G_AXES], item) + i0 * g[G_RM];
    part.v = (const float *)job->data[v] + gemm_offset(c->view[v], g[G_AXES], item) + j0 * g[G_VN];
    if (g[G_PERSIST]) part.constant = job->persist + (g[G_COPIES] > 1 ? item * round_up(n, GEMM_NR) * g[G_K] : 0);
    part.finish = finish_at(&job->finish, row, col, item * g[G_ROWS] * g[G_COLS]);
    if (g[G_SINGLE]) gemm_single(g, &part, worker);
    else if (g[G_K] == 1 && g[G_VN] == 1 && part.plain && !part.constant && part.cols >= 4 * ND_W) gemm_outer(g, &part);
    else gemm_blocks(g, &part, worker);
}

/* Items of one tile each, with R read as it is: attention's and other small products. V is read as it is or packed. */
static void gemm_items(const gemm_job *job, int64_t item, int64_t count, float *packed) {
    const nd_call *c = job->call;
    const int64_t *g = c->k, n = job->finish.ld, width = round_up(n, GEMM_NR);
    const int pack = (int)g[G_PACK_V], panels = pack || g[G_PERSIST];
    const float *a = job->data[0], *b = g[G_PERSIST] ? job->persist : job->data[1];
    gemm_part part = {.rows = g[G_ROWS], .cols = n, .finish = job->finish, .plain = 1};
    gemm_tile t = {.ag = GEMM_GROUP * g[G_RM], .ar = g[G_RM], .ak = g[G_RK], .bk = panels ? GEMM_NR : g[G_VK], .k = g[G_K]};
    gemm_ahead nothing[2] = {{0}};
    part.finish.out += item * part.rows * n;
    for (const int64_t end = item + count; item < end; item++, part.finish.out += part.rows * n) {
        t.a = a + gemm_offset(c->view[0], g[G_AXES], item);
        t.b = b + (!g[G_PERSIST] ? gemm_offset(c->view[1], g[G_AXES], item) : g[G_COPIES] > 1 ? item * width * t.k : 0);
        if (pack) {
            gemm_pack_b(t.k, n, t.b, g[G_VK], g[G_VN], packed);
            t.b = packed;
        }
        gemm_sweep(t, &part, 0, part.rows, panels ? t.k * GEMM_NR : GEMM_NR, 1, 1, nothing);
    }
}

static void gemm_task(void *context, int64_t task, int worker) {
    const gemm_job *job = context;
    const int64_t tiles = job->tiles_m * job->tiles_n, total = job->call->k[G_ITEMS] * tiles;
    const int64_t each = total / job->tasks, more = total % job->tasks, start = task * each + (task < more ? task : more);
    if (job->direct) {
        gemm_items(job, start, each + (task < more), (float *)(job->scratch + worker * job->call->k[G_WORKER]));
        return;
    }
    int64_t item = start / tiles, tj = start % tiles / job->tiles_m, ti = start % job->tiles_m;
    gemm_worker state = {job->scratch + worker * job->call->k[G_WORKER], 0, -1};
    for (int64_t left = each + (task < more); left > 0; left--) {
        gemm_run_tile(job, item, ti, tj, &state);
        if (++ti < job->tiles_m) continue;
        ti = 0;
        if (++tj < job->tiles_n) continue;
        tj = 0;
        item++;
    }
}

static int32_t op_gemm_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const int64_t *g = c->k;
    if (nd_size(c->view[4]) == 0) return ND_OK;
    gemm_job job = {.call = c, .data = data, .scratch = scratch, .persist = persist, .tasks = 1,
                    .tiles_m = (g[G_ROWS] + g[G_MT] - 1) / g[G_MT], .tiles_n = (g[G_COLS] + g[G_NT] - 1) / g[G_NT]};
    const int64_t total = g[G_ITEMS] * job.tiles_m * job.tiles_n, n = g[G_TURNED] ? g[G_ROWS] : g[G_COLS];
    const float *bias = c->view[2] ? data[2] : 0;
    job.finish = (gemm_finish){(float)nd_attr_f64(c, 1), (int)c->attr[0], n > 1 ? bias : 0, c->view[3] ? data[3] : 0,
                               n == 1 ? bias : 0, data[4], c->view[5] ? data[5] : 0, n};
    job.plain = finish_nothing(&job.finish) && !(g[G_TURNED] && !g[G_SINGLE]);
    job.direct = job.plain && !g[G_TURNED] && !g[G_SINGLE] && !g[G_PACK_R] && g[G_KC] >= g[G_K] &&
                 job.tiles_m * job.tiles_n == 1 && g[G_ROWS] <= GEMM_MC;
    job.far = gemm_far(g);
    const double work = (double)g[G_ITEMS] * (double)g[G_ROWS] * (double)g[G_COLS] * (double)(g[G_K] + 8);
    const int64_t most = GEMM_SHARES * c->threads;
    if (c->threads > 1 && work > GEMM_WORK) job.tasks = total < most ? total : most;
    if (job.tasks == 1) gemm_task(&job, 0, 0);
    else nd_parallel(job.tasks, gemm_task, &job);
    return ND_OK;
}

static int32_t gemm_pack(const nd_call *c, void *const *data, void *persist) {
    const int64_t *g = c->k, n = g[G_COLS], k = g[G_K], width = round_up(n, GEMM_NR);
    for (int64_t copy = 0; copy < g[G_COPIES]; copy++) {
        const float *b = (const float *)data[1] + gemm_offset(c->view[1], g[G_AXES], copy);
        float *to = (float *)persist + copy * width * k;
        for (int64_t p = 0; p < k; p += g[G_KC]) {
            const int64_t kc = k - p < g[G_KC] ? k - p : g[G_KC];
            gemm_pack_b(kc, n, b + p * g[G_VK], g[G_VK], g[G_VN], to + p * width);
        }
    }
    return ND_OK;
}

#define ND_OPS_GEMM(X) X(gemm, 1u << 3, gemm_pack) X(bias_act, 1u << 0, 0) X(bias_act_bwd, 1u << 0, 0)
