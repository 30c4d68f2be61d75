/* Reductions of float32. x has any strides, out is dense.
 *
 * sum, mean, prod, amax, amin(x; n, dims[n], keepdim) -> out
 *      Over the axes dims (ascending, each once; none: a copy), which out lacks, or has with length 1 under keepdim. Over
 *      nothing: sum 0, prod 1, mean NaN; amax and amin refuse it. A NaN makes amax and amin NaN.
 * argmax(x; dim) -> out
 *      int64, without axis dim: the place of the largest element, the first of equals, the first NaN if there is one. x
 *      dense, fewer than 2^31 elements along dim.
 * sumsq_scale(loss, g...; max_norm) -> control     reduce_norm.h
 *
 * The order of additions depends on shape and strides only. Where the axis with stride 1 is reduced, its elements go to 64
 * lanes (element i to lane i % 64), folded to 16 and by the fixed tree to one; a row of more than 2,048 adds the folded
 * 16 lanes up in double every 2,048, and rows beyond 16,384 do that in pieces of 16,384. Where that axis is kept, each
 * column adds its rows in order in blocks of 64, the blocks in order in groups of 1,024 rows, and the groups in order. A
 * layout without unit stride is read into a buffer and treated as rows.
 */
#ifndef ND_OPS_REDUCE_H
#define ND_OPS_REDUCE_H

enum { REDUCE_SUM, REDUCE_MEAN, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN };
enum { REDUCE_PIECE = 16384, REDUCE_BLOCK = 2048, REDUCE_GROUP = 1024, REDUCE_TILE = 1024 };

/* One axis of the canonical form. */
typedef struct {
    int64_t n, a, b; /* length, stride of x, stride of out (0 when reduced) */
} reduce_axis;

typedef struct {
    const float *x;
    float *out;
    int kind, kept, reduced;           /* axes of each sort, besides `main` */
    reduce_axis k[ND_MAX_RANK], r[ND_MAX_RANK];
    reduce_axis main, col;             /* the reduced axis of the inner loop; in column form, the kept axis with stride 1 */
    int columns;                       /* column form */
    int64_t outs, over;                /* combinations of k, and of r */
    float scale, start;
    int64_t tasks, tiles, groups;
    double *total;                     /* row form: a total for each piece of a row, when there is one output */
    float *group_sum;                  /* column form: col.n totals for each group, when there is one output row */
} reduce_job;

static inline float reduce_max1(float a, float b) { return a != a || a > b ? a : b; }
static inline float reduce_min1(float a, float b) { return a != a || a < b ? a : b; }
static inline float reduce_mul1(float a, float b) { return a * b; }
static inline vf reduce_maxv(vf a, vf b) { return vf_blend(vf_eq(a, a), vf_max(a, b), a); }
static inline vf reduce_minv(vf a, vf b) { return vf_blend(vf_eq(a, a), vf_min(a, b), a); }

/* name, combining vectors, neutral element */
#define REDUCE_KINDS(X) \
    X(add, vf_add, 0.0f) \
    X(mul, vf_mul, 1.0f) \
    X(max, reduce_maxv, -INFINITY) \
    X(min, reduce_minv, INFINITY)

/* row: a contiguous row of n on 64 lanes, folded to 16 floats. columns: acc[c] = the rows of x combined in order, starting
   with the first; rows >= 1. join: acc[c] = acc[c] with x[c]. */
#define REDUCE_LEAVES(name, vop, neutral)                                                                         \
    static inline lanes16 reduce_##name##_row(int64_t n, const float *x) {                                        \
        vf acc[4 * ND_REGS];                                                                                      \
        lanes16 out;                                                                                              \
        int64_t i = 0;                                                                                            \
        ND_UNROLL                                                                                                 \
        for (int k = 0; k < 4 * ND_REGS; k++) acc[k] = vf_set1(neutral);                                          \
        for (; i + 4 * ND_LANES <= n; i += 4 * ND_LANES) {                                                        \
            ND_UNROLL                                                                                             \
            for (int k = 0; k < 4 * ND_REGS; k++) acc[k] = vop(acc[k], vf_load(x + i + k * ND_W));                \
        }                                                                                                         \
        for (int l = 0; l < 4 && i + ND_LANES <= n; l++, i += ND_LANES) {                                         \
            ND_UNROLL                                                                                             \
            for (int k = 0; k < ND_REGS; k++) acc[k] = vop(acc[k], vf_load(x + i + k * ND_W));                    \
        }                                                                                                         \
        if (i < n) {                                                                                              \
            ND_UNROLL                                                                                             \
            for (int k = 0; k < ND_REGS; k++)                                                                     \
                acc[ND_REGS + k] = vop(acc[ND_REGS + k], load_tail(x + i, (int)(n - i), k, vf_set1(neutral)));    \
        }                                                                                                         \
        ND_UNROLL                                                                                                 \
        for (int k = 0; k < ND_REGS; k++)                                                                         \
            out.r[k] = vop(vop(acc[k], acc[ND_REGS + k]), vop(acc[2 * ND_REGS + k], acc[3 * ND_REGS + k]));       \
        return out;                                                                                               \
    }                                                                                                             \
    static void reduce_##name##_columns(int64_t rows, int64_t stride, int64_t cols, const float *x, float *acc) { \
        for (int64_t r = 0; r < rows;) {                                                                          \
            const float *x0 = x + r * stride, *x1 = x0 + stride, *x2 = x1 + stride, *x3 = x2 + stride;            \
            const int first = r == 0, four = rows - r >= 4;                                                       \
            for (int64_t c = 0; c < cols; c += ND_W) {                                                            \
                const int left = cols - c < ND_W ? (int)(cols - c) : ND_W;                                        \
                vf v = load_left(x0 + c, left);                                                                   \
                if (!first) v = vop(load_left(acc + c, left), v);                                                 \
                if (four) {                                                                                       \
                    v = vop(v, load_left(x1 + c, left));                                                          \
                    v = vop(v, load_left(x2 + c, left));                                                          \
                    v = vop(v, load_left(x3 + c, left));                                                          \
                }                                                                                                 \
                store_left(acc + c, v, left);                                                                     \
            }                                                                                                     \
            r += four ? 4 : 1;                                                                                    \
        }                                                                                                         \
    }                                                                                                             \
    static void reduce_##name##_join(int64_t cols, const float *x, float *acc) {                                  \
        for (int64_t c = 0; c < cols; c += ND_W) {                                                                \
            const int left = cols - c < ND_W ? (int)(cols - c) : ND_W;                                            \
            store_left(acc + c, vop(load_left(acc + c, left), load_left(x + c, left)), left);                     \
        }                                                                                                         \
    }
REDUCE_KINDS(REDUCE_LEAVES)

/* The fixed tree, for what lanes_sum does not do. */
#define REDUCE_FOLD(name, fop)                                             \
    static float reduce_##name##_fold(lanes16 a) {                         \
        float t[ND_LANES];                                                 \
        for (int k = 0; k < ND_REGS; k++) vf_store(t + k * ND_W, a.r[k]);  \
        for (int h = ND_LANES / 2; h > 0; h /= 2)                          \
            for (int l = 0; l < h; l++) t[l] = fop(t[l], t[l + h]);        \
        return t[0];                                                       \
    }
REDUCE_FOLD(mul, reduce_mul1)
REDUCE_FOLD(max, reduce_max1)
REDUCE_FOLD(min, reduce_min1)

/* --- the canonical form ----------------------------------------------------------------------------------------- */

/* Axes of length 1 dropped, neighbours of one sort joined; the inner axis chosen. */
static void reduce_axes(reduce_job *j, const nd_view *x, uint32_t mask) {
    int64_t step = 1;
    int last = -1; /* the sort of the axis before */
    for (int i = x->rank - 1; i >= 0; i--) {
        const int sort = (int)(mask >> i & 1);
        const int64_t n = x->dims[i], a = x->strides[i];
        if (n == 1) continue;
        reduce_axis *axes = sort ? j->r : j->k;
        int *count = sort ? &j->reduced : &j->kept;
        if (last == sort && axes[*count - 1].a * axes[*count - 1].n == a) axes[*count - 1].n *= n;
        else axes[(*count)++] = (reduce_axis){n, a, sort ? 0 : step};
        if (!sort) step *= n;
        last = sort;
    }
    /* the lists run from the innermost axis outwards */
    int row = -1, col = -1, longest = 0;
    for (int i = 0; i < j->reduced; i++) {
        if (j->r[i].a == 1 && row < 0) row = i;
        if (j->r[i].n > j->r[longest].n) longest = i;
    }
    for (int i = 0; i < j->kept; i++)
        if (j->k[i].a == 1 && col < 0) col = i;
    j->columns = row < 0 && col >= 0;
    const int main = row >= 0 ? row : longest;
    j->main = j->reduced ? j->r[main] : (reduce_axis){1, 1, 0};
    if (j->reduced) j->r[main] = j->r[--j->reduced];
    if (j->columns) {
        j->col = j->k[col];
        j->k[col] = j->k[--j->kept];
    }
    j->outs = j->over = 1;
    for (int i = 0; i < j->kept; i++) j->outs *= j->k[i].n;
    for (int i = 0; i < j->reduced; i++) j->over *= j->r[i].n;
}

/* Offset in x of combination number `at` of these axes; *to: that in out. */
static int64_t reduce_offset(const reduce_axis *axes, int count, int64_t at, int64_t *to) {
    int64_t from = 0;
    for (int i = 0; i < count; i++) {
        const int64_t q = at % axes[i].n;
        from += q * axes[i].a;
        *to += q * axes[i].b;
        at /= axes[i].n;
    }
    return from;
}

/* --- rows ------------------------------------------------------------------------------------------------------- */

/* The sum of n contiguous floats: n <= REDUCE_BLOCK in float, more in double. */
static double reduce_sum_row(int64_t n, const float *x) {
    if (n <= REDUCE_BLOCK) return lanes_sum(reduce_add_row(n, x));
    vd acc[ND_REGS];
    double t[ND_LANES];
    ND_UNROLL
    for (int k = 0; k < ND_REGS; k++) acc[k] = vd_zero();
    for (int64_t i = 0; i < n; i += REDUCE_BLOCK) {
        const lanes16 part = reduce_add_row(n - i < REDUCE_BLOCK ? n - i : REDUCE_BLOCK, x + i);
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) acc[k] = vd_add(acc[k], vf_widen(part.r[k]));
    }
    ND_UNROLL
    for (int k = 0; k < ND_REGS; k++) vd_store(t + k * ND_W, acc[k]);
    for (int h = ND_LANES / 2; h > 0; h /= 2)
        for (int l = 0; l < h; l++) t[l] += t[l + h];
    return t[0];
}

static double reduce_row(int kind, int64_t n, const float *x) {
    switch (kind) {
        case REDUCE_PROD: return reduce_mul_fold(reduce_mul_row(n, x));
        case REDUCE_MAX: return reduce_max_fold(reduce_max_row(n, x));
        case REDUCE_MIN: return reduce_min_fold(reduce_min_row(n, x));
        default: return reduce_sum_row(n, x);
    }
}

/* Totals so far with one more: in double for sums, exactly as floats otherwise. */
static double reduce_join1(int kind, double total, double more) {
    switch (kind) {
        case REDUCE_PROD: return (float)total * (float)more;
        case REDUCE_MAX: return reduce_max1((float)total, (float)more);
        case REDUCE_MIN: return reduce_min1((float)total, (float)more);
        default: return total + more;
    }
}

/* Elements first .. first + n - 1 of the row at x. */
static double reduce_piece(const reduce_job *j, const float *x, int64_t n) {
    if (j->main.a == 1) return reduce_row(j->kind, n, x);
    float buffer[REDUCE_BLOCK];
    double total = j->start;
    for (int64_t i = 0; i < n; i += REDUCE_BLOCK) {
        const int64_t count = n - i < REDUCE_BLOCK ? n - i : REDUCE_BLOCK;
        for (int64_t q = 0; q < count; q++) buffer[q] = x[(i + q) * j->main.a];
        total = reduce_join1(j->kind, total, reduce_row(j->kind, count, buffer));
    }
    return total;
}

static void reduce_store(const reduce_job *j, int64_t to, double total) {
    j->out[to] = j->kind == REDUCE_MEAN ? (float)total * j->scale : (float)total;
}

static void reduce_rows_task(void *context, int64_t t, int worker) {
    const reduce_job *j = context;
    const int64_t first = data_share(j->outs, j->tasks, t), last = data_share(j->outs, j->tasks, t + 1);
    (void)worker;
    for (int64_t o = first; o < last; o++) {
        int64_t to = 0, none = 0;
        const float *x = j->x + reduce_offset(j->k, j->kept, o, &to);
        double total = j->start;
        for (int64_t q = 0; q < j->over; q++) {
            const float *row = x + (j->reduced ? reduce_offset(j->r, j->reduced, q, &none) : 0);
            for (int64_t i = 0; i < j->main.n; i += REDUCE_PIECE) {
                const int64_t n = j->main.n - i < REDUCE_PIECE ? j->main.n - i : REDUCE_PIECE;
                total = reduce_join1(j->kind, total, reduce_piece(j, row + i * j->main.a, n));
            }
        }
        reduce_store(j, to, total);
    }
}

/* One output: the pieces of its only row are shared out. */
static void reduce_pieces_task(void *context, int64_t t, int worker) {
    const reduce_job *j = context;
    const int64_t pieces = j->groups, first = data_share(pieces, j->tasks, t), last = data_share(pieces, j->tasks, t + 1);
    (void)worker;
    for (int64_t p = first; p < last; p++) {
        const int64_t i = p * REDUCE_PIECE, n = j->main.n - i < REDUCE_PIECE ? j->main.n - i : REDUCE_PIECE;
        j->total[p] = reduce_piece(j, j->x + i * j->main.a, n);
    }
}

static void reduce_rows(const nd_call *c, reduce_job *j) {
    const int64_t work = j->outs * j->over * j->main.n;
    if (j->outs == 1 && j->over == 1 && j->groups > 1) {
        double total = j->start;
        j->tasks = data_tasks(c, work, j->groups);
        if (j->tasks > 1) nd_parallel(j->tasks, reduce_pieces_task, j);
        else reduce_pieces_task(j, 0, 0);
        for (int64_t p = 0; p < j->groups; p++) total = reduce_join1(j->kind, total, j->total[p]);
        reduce_store(j, 0, total);
        return;
    }
    j->tasks = data_tasks(c, work, j->outs);
    if (j->tasks > 1) nd_parallel(j->tasks, reduce_rows_task, j);
    else reduce_rows_task(j, 0, 0);
}

/* --- columns ---------------------------------------------------------------------------------------------------- */

static void reduce_columns(int kind, int64_t rows, int64_t stride, int64_t cols, const float *x, float *acc) {
    switch (kind) {
        case REDUCE_PROD: reduce_mul_columns(rows, stride, cols, x, acc); break;
        case REDUCE_MAX: reduce_max_columns(rows, stride, cols, x, acc); break;
        case REDUCE_MIN: reduce_min_columns(rows, stride, cols, x, acc); break;
        default: reduce_add_columns(rows, stride, cols, x, acc);
    }
}

static void reduce_join(int kind, int64_t cols, const float *x, float *acc) {
    switch (kind) {
        case REDUCE_PROD: reduce_mul_join(cols, x, acc); break;
        case REDUCE_MAX: reduce_max_join(cols, x, acc); break;
        case REDUCE_MIN: reduce_min_join(cols, x, acc); break;
        default: reduce_add_join(cols, x, acc);
    }
}

/* acc[c] = rows 0 .. rows - 1 (at most REDUCE_GROUP) of cols (at most REDUCE_TILE) columns, in blocks of 64. */
static void reduce_group(const reduce_job *j, int64_t rows, int64_t cols, const float *x, float *acc) {
    float block[REDUCE_TILE];
    for (int64_t r = 0; r < rows; r += ND_ROW_BLOCK) {
        const int64_t count = rows - r < ND_ROW_BLOCK ? rows - r : ND_ROW_BLOCK;
        reduce_columns(j->kind, count, j->main.a, cols, x + r * j->main.a, r ? block : acc);
        if (r) reduce_join(j->kind, cols, block, acc);
    }
}

/* The outputs of one tile of columns of one combination of the kept axes. */
static void reduce_tile(const reduce_job *j, const float *x, int64_t cols, float *out) {
    float total[REDUCE_TILE], group[REDUCE_TILE];
    int64_t none = 0;
    int begun = 0;
    for (int64_t q = 0; q < j->over; q++) {
        const float *at = x + reduce_offset(j->r, j->reduced, q, &none);
        for (int64_t r = 0; r < j->main.n; r += REDUCE_GROUP) {
            const int64_t rows = j->main.n - r < REDUCE_GROUP ? j->main.n - r : REDUCE_GROUP;
            reduce_group(j, rows, cols, at + r * j->main.a, begun ? group : total);
            if (begun) reduce_join(j->kind, cols, group, total);
            begun = 1;
        }
    }
    const float scale = j->kind == REDUCE_MEAN ? j->scale : 1.0f;
    for (int64_t c = 0; c < cols; c++) out[c * j->col.b] = total[c] * scale;
}

static void reduce_tiles_task(void *context, int64_t t, int worker) {
    const reduce_job *j = context;
    const int64_t n = j->outs * j->tiles, first = data_share(n, j->tasks, t), last = data_share(n, j->tasks, t + 1);
    (void)worker;
    for (int64_t u = first; u < last; u++) {
        int64_t to = 0;
        const float *x = j->x + reduce_offset(j->k, j->kept, u / j->tiles, &to);
        const int64_t c = u % j->tiles * REDUCE_TILE, cols = j->col.n - c < REDUCE_TILE ? j->col.n - c : REDUCE_TILE;
        reduce_tile(j, x + c, cols, j->out + to + c * j->col.b);
    }
}

/* Many rows above few columns: each task takes groups of rows. */
static void reduce_groups_task(void *context, int64_t t, int worker) {
    const reduce_job *j = context;
    const int64_t first = data_share(j->groups, j->tasks, t), last = data_share(j->groups, j->tasks, t + 1);
    (void)worker;
    for (int64_t g = first; g < last; g++) {
        const int64_t r = g * REDUCE_GROUP, rows = j->main.n - r < REDUCE_GROUP ? j->main.n - r : REDUCE_GROUP;
        for (int64_t c = 0; c < j->col.n; c += REDUCE_TILE) {
            const int64_t cols = j->col.n - c < REDUCE_TILE ? j->col.n - c : REDUCE_TILE;
            reduce_group(j, rows, cols, j->x + r * j->main.a + c, j->group_sum + g * j->col.n + c);
        }
    }
}

static void reduce_all_columns(const nd_call *c, reduce_job *j) {
    const int64_t work = j->outs * j->over * j->main.n * j->col.n;
    if (j->groups > 1) {
        j->tasks = data_tasks(c, work, j->groups);
        if (j->tasks > 1) nd_parallel(j->tasks, reduce_groups_task, j);
        else reduce_groups_task(j, 0, 0);
        for (int64_t g = 1; g < j->groups; g++) reduce_join(j->kind, j->col.n, j->group_sum + g * j->col.n, j->group_sum);
        const float scale = j->kind == REDUCE_MEAN ? j->scale : 1.0f;
        for (int64_t i = 0; i < j->col.n; i++) j->out[i * j->col.b] = j->group_sum[i] * scale;
        return;
    }
    j->tasks = data_tasks(c, work, j->outs * j->tiles);
    if (j->tasks > 1) nd_parallel(j->tasks, reduce_tiles_task, j);
    else reduce_tiles_task(j, 0, 0);
}

/* --- the operations --------------------------------------------------------------------------------------------- */

/* The job without addresses. groups: pieces of a single row, or groups of a single row of columns, 1 otherwise. */
static reduce_job reduce_plan(const nd_call *c, int kind) {
    reduce_job j;
    memset(&j, 0, sizeof j);
    j.kind = kind;
    reduce_axes(&j, c->view[0], (uint32_t)c->k[0]);
    j.start = kind == REDUCE_PROD ? 1.0f : kind == REDUCE_MAX ? -INFINITY : kind == REDUCE_MIN ? INFINITY : 0.0f;
    j.tiles = j.columns ? (j.col.n + REDUCE_TILE - 1) / REDUCE_TILE : 1;
    j.groups = 1;
    if (j.outs == 1 && j.over == 1) {
        const int64_t size = j.columns ? REDUCE_GROUP : REDUCE_PIECE;
        j.groups = (j.main.n + size - 1) / size;
    }
    return j;
}

static int32_t reduce_prepare(nd_call *c, int kind) {
    ND_REQUIRE(c->n_in == 1 && c->n_out == 1, ND_EVALUE);
    const nd_view *x = c->view[0], *out = c->view[1];
    ND_REQUIRE(x && out, ND_ENULL);
    ND_REQUIRE(data_count(x) >= 0 && x->dtype == ND_F32 && data_dense(out, ND_F32, -1), ND_ESIZE);
    const int64_t *dims = 0;
    int32_t at = 0;
    const int64_t n = data_list(c, &at, &dims);
    ND_REQUIRE(n >= 0 && n <= x->rank && at + 1 == c->n_attr && (c->attr[at] == 0 || c->attr[at] == 1), ND_EVALUE);
    const int keep = c->attr[at] != 0;
    uint32_t mask = 0;
    int64_t count = 1;
    for (int64_t i = 0; i < n; i++) {
        ND_REQUIRE(dims[i] >= (i ? dims[i - 1] + 1 : 0) && dims[i] < x->rank, ND_EVALUE);
        mask |= 1u << dims[i];
    }
    int o = 0;
    for (int i = 0; i < x->rank; i++) {
        if (mask >> i & 1) {
            if (x->dims[i] == 0) count = 0;
            if (!keep) continue;
        }
        ND_REQUIRE(o < out->rank && out->dims[o] == (mask >> i & 1 ? 1 : x->dims[i]), ND_ESIZE);
        o++;
    }
    ND_REQUIRE(o == out->rank, ND_ESIZE);
    for (int i = 0; i < x->rank && data_count(x) > 0; i++)
        if (mask >> i & 1) count *= x->dims[i];
    c->k[0] = mask;
    c->k[1] = count;
    c->k[2] = data_count(out);
    c->k[3] = data_count(x);
    ND_REQUIRE(count || c->k[2] == 0 || (kind != REDUCE_MAX && kind != REDUCE_MIN), ND_ESIZE);
    if (c->k[3]) {
        const reduce_job j = reduce_plan(c, kind);
        c->scratch = j.groups > 1 ? j.groups * (j.columns ? j.col.n * 4 : 8) : 0;
    }
    return ND_OK;
}

static int32_t reduce_run(const nd_call *c, int kind, void *const *data, void *scratch) {
    float *out = data[1];
    if (c->k[2] == 0) return ND_OK;
    if (c->k[3] == 0) {
        const float empty = kind == REDUCE_PROD ? 1.0f : kind == REDUCE_MEAN ? NAN : 0.0f;
        for (int64_t i = 0; i < c->k[2]; i++) out[i] = empty;
        return ND_OK;
    }
    reduce_job j = reduce_plan(c, kind);
    j.x = data[0];
    j.out = out;
    j.scale = (float)(1.0 / (double)c->k[1]);
    j.total = scratch;
    j.group_sum = scratch;
    if (j.columns) reduce_all_columns(c, &j);
    else reduce_rows(c, &j);
    return ND_OK;
}

#define REDUCE_OP(name, kind)                                                                                       \
    static int32_t op_##name##_prepare(nd_call *c) { return reduce_prepare(c, kind); }                              \
    static int32_t op_##name##_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {       \
        (void)persist;                                                                                              \
        return reduce_run(c, kind, data, scratch);                                                                  \
    }
REDUCE_OP(sum, REDUCE_SUM)
REDUCE_OP(mean, REDUCE_MEAN)
REDUCE_OP(prod, REDUCE_PROD)
REDUCE_OP(amax, REDUCE_MAX)
REDUCE_OP(amin, REDUCE_MIN)

#include "reduce_argmax.h"
#include "reduce_norm.h"

#define ND_OPS_REDUCE(X) \
    X(sum, 0, 0) \
    X(mean, 0, 0) \
    X(prod, 0, 0) \
    X(amax, 0, 0) \
    X(amin, 0, 0) \
    X(argmax, 0, 0) \
    X(sumsq_scale, 0, 0)
#endif
