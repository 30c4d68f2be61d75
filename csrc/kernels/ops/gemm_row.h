/* Products of one row: y[j] is the sum over k of x[k] B[k, j]. B is read once, so its layout decides how:
 *
 *   columns adjacent (row-major, or packed panels)   the columns are the lanes; wide rows in blocks
 *   k adjacent (a layer's weight)                    blocks of ND_W rows, transposed in registers, are the lanes
 *   k adjacent, as G_LANES has it (gemm_plan.h)      the k are the lanes: sums of 16, on the fixed tree (common.h)
 *
 * The first two are the chain of gemm_kernel.h. The third is not: a chain for each column there means to transpose all
 * of B, which takes up to twice the time of reading it. */

enum {
    ROW_NV = 8,
    ROW_GROUPS = 2,
    ROW_WIDE = 512,         /* columns from which on rows are read whole, a few at a time, */
    ROW_STEP = 4,           /* this many, */
    ROW_SWEEP = 2,          /* and this many vectors of each */
    ROW_NEAR = 128 * 1024,  /* elements of packed B that stay in a near cache: what is more is asked for ahead, */
    ROW_AHEAD = 64,         /* this many elements */
    ROW_LANES = 64,         /* k from which on k are the lanes */
    ROW_COLUMNS = 4,        /* columns of these at once */
};

typedef struct {
    const float *x, *b;
    int64_t k;
    int64_t xs;    /* stride of x */
    int64_t bk;    /* stride of k in B */
    int64_t panel; /* from one panel of GEMM_NR columns to the next */
    int64_t bn;    /* stride of columns, when they are not adjacent */
    float *y;
    int first;     /* y starts at 0, and not at what it holds */
    int far;       /* B comes from a far cache */
} gemm_row;

/* nv vectors of columns from j on; part: the last one has `last` columns; far: asks for B ahead. */
ND_INLINE void row_vectors(const gemm_row *t, int64_t j, const int nv, const int part, int last, const int far) {
    vf acc[ROW_NV];
    const float *at[ROW_NV];
    ND_UNROLL
    for (int v = 0; v < nv; v++) {
        const int64_t column = j + v * ND_W;
        at[v] = t->b + column / GEMM_NR * t->panel + column % GEMM_NR;
        acc[v] = t->first ? vf_set1(0.0f)
                          : part && v == nv - 1 ? vf_load_part(t->y + column, last) : vf_load(t->y + column);
    }
    const float *x = t->x;
    for (int64_t k = 0; k < t->k; k++, x += t->xs) {
        const vf s = vf_set1(*x);
        ND_UNROLL
        for (int v = 0; v < nv; v++) {
            const float *p = at[v] + k * t->bk;
            if (far) ND_PREFETCH(p + ROW_AHEAD);
            acc[v] = vf_fma(s, part && v == nv - 1 ? vf_load_part(p, last) : vf_load(p), acc[v]);
        }
    }
    ND_UNROLL
    for (int v = 0; v < nv; v++) {
        if (part && v == nv - 1) vf_store_part(t->y + j + v * ND_W, acc[v], last);
        else vf_store(t->y + j + v * ND_W, acc[v]);
    }
}

#define ROW_COUNTS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#define ROW_DEFINE(nv) \
    static void row_##nv(const gemm_row *t, int64_t j, int last) { row_vectors(t, j, nv, 0, last, 0); } \
    static void row_##nv##_part(const gemm_row *t, int64_t j, int last) { row_vectors(t, j, nv, 1, last, 0); }
#define ROW_ENTRY(nv) {row_##nv, row_##nv##_part},
ROW_COUNTS(ROW_DEFINE)
static void (*const row_blocks[ROW_NV][2])(const gemm_row *, int64_t, int) = {ROW_COUNTS(ROW_ENTRY)};

static void row_far(const gemm_row *t, int64_t j) { row_vectors(t, j, ROW_NV, 0, ND_W, 1); }

/* Adjacent columns, ROW_NV vectors at once, since each column is one slow chain. */
static void gemm_row_columns(gemm_row t, int64_t n) {
    for (int64_t j = 0; j < n; j += ROW_NV * ND_W) {
        const int64_t width = n - j < ROW_NV * ND_W ? n - j : ROW_NV * ND_W;
        const int nv = (int)((width + ND_W - 1) / ND_W);
        if (t.far && width == ROW_NV * ND_W) row_far(&t, j);
        else row_blocks[nv - 1][width % ND_W != 0](&t, j, (int)(width - (nv - 1) * ND_W));
    }
}

/* `rows` rows of adjacent columns, added to y (first: stored). */
ND_INLINE void row_sweep(const gemm_row *t, int64_t n, const int rows, const int first) {
    vf s[ROW_STEP];
    ND_UNROLL
    for (int i = 0; i < rows; i++) s[i] = vf_set1(t->x[i * t->xs]);
    int64_t j = 0;
    for (; j + ROW_SWEEP * ND_W <= n; j += ROW_SWEEP * ND_W) {
        vf acc[ROW_SWEEP];
        ND_UNROLL
        for (int v = 0; v < ROW_SWEEP; v++) acc[v] = first ? vf_set1(0.0f) : vf_load(t->y + j + v * ND_W);
        ND_UNROLL
        for (int i = 0; i < rows; i++) {
            ND_UNROLL
            for (int v = 0; v < ROW_SWEEP; v++) acc[v] = vf_fma(s[i], vf_load(t->b + i * t->bk + j + v * ND_W), acc[v]);
        }
        ND_UNROLL
        for (int v = 0; v < ROW_SWEEP; v++) vf_store(t->y + j + v * ND_W, acc[v]);
    }
    for (; j < n; j += ND_W) {
        const int left = n - j < ND_W ? (int)(n - j) : ND_W;
        vf acc = first ? vf_set1(0.0f) : load_left(t->y + j, left);
        for (int i = 0; i < rows; i++) acc = vf_fma(s[i], load_left(t->b + i * t->bk + j, left), acc);
        store_left(t->y + j, acc, left);
    }
}

/* Wide rows of adjacent columns from a far cache: read along the rows. */
static void gemm_row_stream(gemm_row t, int64_t n) {
    for (int64_t k = t.k; k > 0;) {
        const int rows = k < ROW_STEP ? 1 : ROW_STEP;
        if (t.first && rows == 1) row_sweep(&t, n, 1, 1);
        else if (t.first) row_sweep(&t, n, ROW_STEP, 1);
        else if (rows == 1) row_sweep(&t, n, 1, 0);
        else row_sweep(&t, n, ROW_STEP, 0);
        t.first = 0;
        t.x += rows * t.xs;
        t.b += rows * t.bk;
        k -= rows;
    }
}

/* `groups` vectors of columns from j on, each column contiguous along k. Lanes past n repeat the last column. */
ND_INLINE void row_dots(const gemm_row *t, int64_t j, int64_t n, const int groups) {
    vf acc[ROW_GROUPS];
    const int64_t most = n - 1 - j, k = t->k;
    ND_UNROLL
    for (int g = 0; g < groups; g++) acc[g] = vf_set1(0.0f);
    const float *b = t->b + j * t->bn;
    int rows = (int)(ND_W - (uintptr_t)b / sizeof *b % ND_W); /* up to where a vector is aligned */
    for (int64_t r = 0; r < k; r += rows, rows = ND_W) {
        if (rows > k - r) rows = (int)(k - r);
        const float *x = t->x + r * t->xs;
        ND_UNROLL
        for (int g = 0; g < groups; g++) {
            vf w[ND_W], c[ND_W];
            if (rows == ND_W && (g + 1) * ND_W <= most + 1) {
                const float *p = b + g * ND_W * t->bn + r;
                ND_UNROLL
                for (int q = 0; q < ND_W; q++) w[q] = vf_load(p + q * t->bn);
                vf_transpose(w, c);
                vf sum = acc[g];
                ND_UNROLL
                for (int q = 0; q < ND_W; q++) sum = vf_fma(vf_set1(x[q * t->xs]), c[q], sum);
                acc[g] = sum;
                continue;
            }
            for (int q = 0; q < ND_W; q++) {
                const int64_t column = g * ND_W + q < most ? g * ND_W + q : most;
                w[q] = load_left(b + column * t->bn + r, rows);
            }
            vf_transpose(w, c);
            for (int q = 0; q < rows; q++) acc[g] = vf_fma(vf_set1(x[q * t->xs]), c[q], acc[g]);
        }
    }
    ND_UNROLL
    for (int g = 0; g < groups; g++) {
        const int64_t left = n - j - g * ND_W;
        if (left > 0) store_left(t->y + j + g * ND_W, acc[g], left < ND_W ? (int)left : ND_W);
    }
}

static void row_dots_4(const gemm_row *t, int64_t j, int64_t n) { row_dots(t, j, n, ROW_GROUPS); }
static void row_dots_1(const gemm_row *t, int64_t j, int64_t n) { row_dots(t, j, n, 1); }

/* Adjacent k, from the first on. */
static void gemm_row_dots(const gemm_row *t, int64_t n) {
    int64_t j = 0;
    for (; n - j > (ROW_GROUPS - 1) * ND_W; j += ROW_GROUPS * ND_W) row_dots_4(t, j, n);
    for (; j < n; j += ND_W) row_dots_1(t, j, n);
}

/* `count` columns from j on, k on 16 lanes: x and each column contiguous along k. */
ND_INLINE void row_lanes(const gemm_row *t, int64_t j, const int count) {
    const float *x = t->x, *b = t->b + j * t->bn;
    lanes16 acc[ROW_COLUMNS];
    int64_t r = 0;
    ND_UNROLL
    for (int c = 0; c < count; c++) acc[c] = lanes_zero();
    for (; r + ND_LANES <= t->k; r += ND_LANES) {
        ND_UNROLL
        for (int i = 0; i < ND_REGS; i++) {
            const vf s = vf_load(x + r + i * ND_W);
            ND_UNROLL
            for (int c = 0; c < count; c++) acc[c].r[i] = vf_fma(s, vf_load(b + c * t->bn + r + i * ND_W), acc[c].r[i]);
        }
    }
    for (int i = 0; r < t->k && i < ND_REGS; i++) {
        const vf zero = vf_set1(0.0f), s = load_tail(x + r, (int)(t->k - r), i, zero);
        for (int c = 0; c < count; c++)
            acc[c].r[i] = vf_fma(s, load_tail(b + c * t->bn + r, (int)(t->k - r), i, zero), acc[c].r[i]);
    }
    ND_UNROLL
    for (int c = 0; c < count; c++) t->y[j + c] = lanes_sum(acc[c]);
}

static void gemm_row_lanes(const gemm_row *t, int64_t n) {
    int64_t j = 0;
    for (; j + ROW_COLUMNS <= n; j += ROW_COLUMNS) row_lanes(t, j, ROW_COLUMNS);
    for (; j < n; j++) row_lanes(t, j, 1);
}
