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
 * column adds its rows in order in blocks of 64, the blocks in order in groups of 1,024 rows, and the groups in order; up
 * to 32 columns without gaps go 16 rows at a time, as one row of 16 parts that are added in order at the end. A layout
 * without unit stride is read into a buffer and treated as rows.
 */
#ifndef ND_OPS_REDUCE_H
#define ND_OPS_REDUCE_H

enum { REDUCE_SUM, REDUCE_MEAN, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN };
enum { REDUCE_PIECE = 16384, REDUCE_BLOCK = 2048, REDUCE_GROUP = 1024, REDUCE_TILE = 1024 };
enum { REDUCE_NEAR = 8192 /* elements that stay in the first cache */, REDUCE_NARROW = 32, REDUCE_WIDEN = 16,
       REDUCE_SIDE = 256 };

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

/* Totals so far with one more: sums in double, the others exactly as floats. */
static inline double reduce_add2(double a, double b) { return a + b; }
static inline double reduce_mul2(double a, double b) { return (float)a * (float)b; }
static inline double reduce_max2(double a, double b) { return a != a || a > b ? a : b; }
static inline double reduce_min2(double a, double b) { return a != a || a < b ? a : b; }
static inline vf reduce_maxv(vf a, vf b) { return vf_blend(vf_eq(a, a), vf_max(a, b), a); }
static inline vf reduce_minv(vf a, vf b) { return vf_blend(vf_eq(a, a), vf_min(a, b), a); }

/* row: n contiguous floats on 64 lanes, folded to 16. fold: the fixed tree. rows: each joined to its total. columns:
   acc[c] = the rows of x combined in order, rows >= 1. join: acc[c] = acc[c] with x[c].

   Columns of a block that fits into the first cache stay in registers while the rows go by; larger blocks are read four
   rows at a time, as they lie in memory. The order for each column, and so the bits, is the same. */
#define REDUCE_LEAVES(name, vop, neutral, dop)                                                                    \
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
        ND_UNROLL                                                                                                 \
        for (int k = 0; k < 4 * ND_REGS; k++) {                                                                   \
            const int64_t left = n - i - k * ND_W;                                                                \
            if (left >= ND_W) acc[k] = vop(acc[k], vf_load(x + i + k * ND_W));                                    \
            else if (left > 0) acc[k] = vop(acc[k], load_tail(x + i + k * ND_W, (int)left, 0, vf_set1(neutral))); \
        }                                                                                                         \
        ND_UNROLL                                                                                                 \
        for (int k = 0; k < ND_REGS; k++)                                                                         \
            out.r[k] = vop(vop(acc[k], acc[ND_REGS + k]), vop(acc[2 * ND_REGS + k], acc[3 * ND_REGS + k]));       \
        return out;                                                                                               \
    }                                                                                                             \
    static inline float reduce_##name##_fold(lanes16 a) {                                                         \
        ND_UNROLL                                                                                                 \
        for (int h = ND_REGS / 2; h > 0; h /= 2) {                                                                \
            ND_UNROLL                                                                                             \
            for (int k = 0; k < h; k++) a.r[k] = vop(a.r[k], a.r[k + h]);                                         \
        }                                                                                                         \
        ND_UNROLL                                                                                                 \
        for (int h = ND_W / 2; h > 0; h /= 2) a.r[0] = vop(a.r[0], vf_cross(a.r[0], h));                          \
        return vf_first(a.r[0]);                                                                                  \
    }                                                                                                             \
    static void reduce_##name##_rows(int64_t rows, int64_t step, int64_t n, const float *x, double *total) {      \
        for (int64_t r = 0; r < rows; r++, x += step)                                                             \
            total[r] = dop(total[r], reduce_##name##_fold(reduce_##name##_row(n, x)));                            \
    }                                                                                                             \
    static inline void reduce_##name##_four(int begin, int64_t stride, int64_t cols, const float *x, float *acc) { \
        const float *x1 = x + stride, *x2 = x1 + stride, *x3 = x2 + stride;                                       \
        for (int64_t c = 0; c < cols; c += ND_W) {                                                                \
            const int left = cols - c < ND_W ? (int)(cols - c) : ND_W;                                            \
            vf v = load_left(x + c, left);                                                                        \
            if (!begin) v = vop(load_left(acc + c, left), v);                                                     \
            v = vop(vop(vop(v, load_left(x1 + c, left)), load_left(x2 + c, left)), load_left(x3 + c, left));      \
            store_left(acc + c, v, left);                                                                         \
        }                                                                                                         \
    }                                                                                                             \
    static void reduce_##name##_join(int64_t cols, const float *x, float *acc) {                                  \
        int64_t c = 0;                                                                                            \
        for (; c + ND_W <= cols; c += ND_W) vf_store(acc + c, vop(vf_load(acc + c), vf_load(x + c)));             \
        if (c < cols) {                                                                                           \
            const int left = (int)(cols - c);                                                                     \
            vf_store_part(acc + c, vop(vf_load_part(acc + c, left), vf_load_part(x + c, left)), left);            \
        }                                                                                                         \
    }                                                                                                             \
    static void reduce_##name##_columns(int64_t rows, int64_t stride, int64_t cols, const float *x, float *acc) { \
        int64_t c = 0, r = 4;                                                                                     \
        if (rows < 4 || rows * cols <= REDUCE_NEAR) {                                                             \
            for (; c + 4 * ND_W <= cols; c += 4 * ND_W) {                                                         \
                vf v[4];                                                                                          \
                ND_UNROLL                                                                                         \
                for (int k = 0; k < 4; k++) v[k] = vf_load(x + c + k * ND_W);                                     \
                for (r = 1; r < rows; r++) {                                                                      \
                    ND_UNROLL                                                                                     \
                    for (int k = 0; k < 4; k++) v[k] = vop(v[k], vf_load(x + r * stride + c + k * ND_W));         \
                }                                                                                                 \
                ND_UNROLL                                                                                         \
                for (int k = 0; k < 4; k++) vf_store(acc + c + k * ND_W, v[k]);                                   \
            }                                                                                                     \
            for (; c < cols; c += ND_W) {                                                                         \
                const int left = cols - c < ND_W ? (int)(cols - c) : ND_W;                                        \
                vf v = load_left(x + c, left);                                                                    \
                for (r = 1; r < rows; r++) v = vop(v, load_left(x + r * stride + c, left));                       \
                store_left(acc + c, v, left);                                                                     \
            }                                                                                                     \
            return;                                                                                               \
        }                                                                                                         \
        reduce_##name##_four(1, stride, cols, x, acc);                                                            \
        for (; r + 4 <= rows; r += 4) reduce_##name##_four(0, stride, cols, x + r * stride, acc);                 \
        for (; r < rows; r++) reduce_##name##_join(cols, x + r * stride, acc);                                    \
    }
REDUCE_LEAVES(add, vf_add, 0.0f, reduce_add2)
REDUCE_LEAVES(mul, vf_mul, 1.0f, reduce_mul2)
REDUCE_LEAVES(max, reduce_maxv, -INFINITY, reduce_max2)
REDUCE_LEAVES(min, reduce_minv, INFINITY, reduce_min2)

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

/* Where one combination of axes lies: its number in each axis, its offsets in x and in out. */
typedef struct {
    int64_t at[ND_MAX_RANK], from, to;
} reduce_spot;

static reduce_spot reduce_seek(const reduce_axis *axes, int count, int64_t number) {
    reduce_spot s = {{0}, 0, 0};
    for (int i = 0; i < count && number; i++) {
        s.at[i] = number % axes[i].n;
        s.from += s.at[i] * axes[i].a;
        s.to += s.at[i] * axes[i].b;
        number /= axes[i].n;
    }
    return s;
}

/* The next combination; after the last comes the first. */
static inline void reduce_step(const reduce_axis *axes, int count, reduce_spot *s) {
    for (int i = 0; i < count; i++) {
        s->from += axes[i].a;
        s->to += axes[i].b;
        if (++s->at[i] < axes[i].n) return;
        s->at[i] = 0;
        s->from -= axes[i].a * axes[i].n;
        s->to -= axes[i].b * axes[i].n;
    }
}

/* --- rows ------------------------------------------------------------------------------------------------------- */

/* The sum of n contiguous floats: n <= REDUCE_BLOCK in float, more in double. */
static double reduce_sum_row(int64_t n, const float *x) {
    if (n <= REDUCE_BLOCK) return reduce_add_fold(reduce_add_row(n, x));
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

/* The same by kind. */
static double reduce_join1(int kind, double total, double more) {
    switch (kind) {
        case REDUCE_PROD: return reduce_mul2(total, more);
        case REDUCE_MAX: return reduce_max2(total, more);
        case REDUCE_MIN: return reduce_min2(total, more);
        default: return reduce_add2(total, more);
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

/* A row of any length and stride. */
static double reduce_long_row(const reduce_job *j, const float *x, double total) {
    for (int64_t i = 0; i < j->main.n; i += REDUCE_PIECE) {
        const int64_t n = j->main.n - i < REDUCE_PIECE ? j->main.n - i : REDUCE_PIECE;
        total = reduce_join1(j->kind, total, reduce_piece(j, x + i * j->main.a, n));
    }
    return total;
}

/* `count` rows, `step` apart. */
static void reduce_some_rows(const reduce_job *j, int64_t count, int64_t step, const float *x, double *total) {
    if (j->main.a != 1 || j->main.n > REDUCE_BLOCK) {
        for (int64_t o = 0; o < count; o++) total[o] = reduce_long_row(j, x + o * step, total[o]);
        return;
    }
    switch (j->kind) {
        case REDUCE_PROD: reduce_mul_rows(count, step, j->main.n, x, total); break;
        case REDUCE_MAX: reduce_max_rows(count, step, j->main.n, x, total); break;
        case REDUCE_MIN: reduce_min_rows(count, step, j->main.n, x, total); break;
        default: reduce_add_rows(count, step, j->main.n, x, total);
    }
}

/* Outputs side by side along the innermost kept axis are worked on together, so that memory is read as it lies. */
static void reduce_rows_task(void *context, int64_t t, int worker) {
    const reduce_job *j = context;
    int64_t o = data_share(j->outs, j->tasks, t);
    const int64_t last = data_share(j->outs, j->tasks, t + 1);
    const reduce_axis side = j->kept ? j->k[0] : (reduce_axis){1, 0, 0};
    reduce_spot in = reduce_seek(j->r, j->reduced, 0);
    double total[REDUCE_SIDE];
    (void)worker;
    while (o < last) {
        const reduce_spot out = reduce_seek(j->k, j->kept, o);
        int64_t count = side.n - out.at[0];
        if (count > last - o) count = last - o;
        if (count > REDUCE_SIDE) count = REDUCE_SIDE;
        for (int64_t i = 0; i < count; i++) total[i] = j->start;
        for (int64_t q = 0; q < j->over; q++, reduce_step(j->r, j->reduced, &in))
            reduce_some_rows(j, count, side.a, j->x + out.from + in.from, total);
        for (int64_t i = 0; i < count; i++) reduce_store(j, out.to + i * side.b, total[i]);
        o += count;
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

/* acc[c] = rows 0 .. rows - 1 (at most REDUCE_GROUP) of cols (at most REDUCE_TILE) columns, in blocks of 64. A few columns
   without gaps between the rows are taken as rows of REDUCE_WIDEN times as many columns, whose parts are joined in order. */
static void reduce_group(const reduce_job *j, int64_t rows, int64_t cols, const float *x, float *acc) {
    float block[REDUCE_TILE];
    if (cols <= REDUCE_NARROW && j->main.a == cols && rows >= 2 * REDUCE_WIDEN) {
        const int64_t wide = REDUCE_WIDEN * cols, whole = rows / REDUCE_WIDEN;
        reduce_columns(j->kind, whole, wide, wide, x, block);
        reduce_join(j->kind, (rows - whole * REDUCE_WIDEN) * cols, x + whole * wide, block);
        for (int64_t k = 1; k < REDUCE_WIDEN; k++) reduce_join(j->kind, cols, block + k * cols, block);
        memcpy(acc, block, (size_t)cols * sizeof *acc);
        return;
    }
    for (int64_t r = 0; r < rows; r += ND_ROW_BLOCK) {
        const int64_t count = rows - r < ND_ROW_BLOCK ? rows - r : ND_ROW_BLOCK;
        reduce_columns(j->kind, count, j->main.a, cols, x + r * j->main.a, r ? block : acc);
        if (r) reduce_join(j->kind, cols, block, acc);
    }
}

/* Totals to their places in out. */
static void reduce_place(const reduce_job *j, int64_t cols, const float *total, float *out) {
    if (j->kind == REDUCE_MEAN)
        for (int64_t c = 0; c < cols; c++) out[c * j->col.b] = total[c] * j->scale;
    else if (j->col.b == 1) memcpy(out, total, (size_t)cols * sizeof *out);
    else
        for (int64_t c = 0; c < cols; c++) out[c * j->col.b] = total[c];
}

/* The outputs of one tile of columns of one combination of the kept axes. */
static void reduce_tile(const reduce_job *j, const float *x, int64_t cols, float *out) {
    float total[REDUCE_TILE], group[REDUCE_TILE];
    reduce_spot in = reduce_seek(j->r, j->reduced, 0);
    int begun = 0;
    for (int64_t q = 0; q < j->over; q++, reduce_step(j->r, j->reduced, &in)) {
        for (int64_t r = 0; r < j->main.n; r += REDUCE_GROUP) {
            const int64_t rows = j->main.n - r < REDUCE_GROUP ? j->main.n - r : REDUCE_GROUP;
            reduce_group(j, rows, cols, x + in.from + r * j->main.a, begun ? group : total);
            if (begun) reduce_join(j->kind, cols, group, total);
            begun = 1;
        }
    }
    reduce_place(j, cols, total, out);
}

static void reduce_tiles_task(void *context, int64_t t, int worker) {
    const reduce_job *j = context;
    const int64_t n = j->outs * j->tiles, first = data_share(n, j->tasks, t), last = data_share(n, j->tasks, t + 1);
    int64_t tile = first % j->tiles;
    reduce_spot at = reduce_seek(j->k, j->kept, first / j->tiles);
    (void)worker;
    for (int64_t u = first; u < last; u++) {
        const int64_t c = tile * REDUCE_TILE, cols = j->col.n - c < REDUCE_TILE ? j->col.n - c : REDUCE_TILE;
        reduce_tile(j, j->x + at.from + c, cols, j->out + at.to + c * j->col.b);
        if (++tile < j->tiles) continue;
        tile = 0;
        reduce_step(j->k, j->kept, &at);
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
        reduce_place(j, j->col.n, j->group_sum, j->out);
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
