/* Lines that a product will need next are asked for while it works, a few with each micro-tile.
 *
 * The first of the panels that go over a block of R reads its lines for the first time, from rows that lie apart, and so fast
 * that a processor which looks ahead by itself comes too late: it would wait for a fourth of the time of a product whose
 * factors come from memory. A line that is asked for in vain costs nothing but the asking, and any address will do. */

/* One tile: rows and cols of R V from i0 and j0 on. */
typedef struct {
    const float *r, *v;
    const float *constant; /* packed V of this item, or NULL */
    int64_t rows, cols, j0, tj;
    float *acc;
    int64_t acc_ld;        /* 0: a micro-tile (straight) or a panel (turned) at a time */
    gemm_finish finish;
    int turned, plain, far;
    int64_t more;          /* rows of R behind this tile's */
} gemm_part;

/* Memory that is asked for while something else is worked on: rows of `bytes` from `at` on, a few lines at a time. */
typedef struct {
    const char *at;
    int64_t rows, bytes, step; /* rows left, bytes of a row, from one to the next */
    int64_t done;              /* of the first of them */
    int64_t each;              /* lines at a time */
} gemm_ahead;

static gemm_ahead gemm_region(const float *at, int64_t rows, int64_t row, int64_t columns, int64_t column, int64_t times) {
    gemm_ahead a = {0};
    if (rows <= 0 || columns <= 0 || (row != 1 && column != 1)) return a;
    a.at = (const char *)at;
    a.rows = column == 1 ? rows : columns;
    a.bytes = (column == 1 ? columns : rows) * (int64_t)sizeof(float);
    a.step = (column == 1 ? row : column) * (int64_t)sizeof(float);
    a.each = (a.rows * ((a.bytes + GEMM_LINE - 1) / GEMM_LINE) + times - 1) / times;
    return a;
}

static void gemm_ask(gemm_ahead *a) {
    for (int64_t i = 0; i < a->each && a->rows > 0; i++) {
        ND_PREFETCH_NEAR(a->at + a->done);
        a->done += GEMM_LINE;
        if (a->done < a->bytes) continue;
        a->done = 0;
        a->at += a->step;
        a->rows--;
    }
}

/* What follows rows i .. i + rows of a tile, in the block of k from p on: in ahead[0] the next rows of R, and behind the last
   ones the next block of k; in ahead[1] its V. */
static void gemm_next(const int64_t *g, const gemm_part *part, int64_t p, int64_t kc, int64_t i, int64_t rows,
                      gemm_ahead *ahead) {
    const int64_t times = ((rows + GEMM_MR - 1) / GEMM_MR) * ((part->cols + GEMM_NR - 1) / GEMM_NR), next = p + kc;
    int64_t high = part->rows - i - rows, wide = kc, at = i + rows, from = p;
    if (high <= 0 && next < g[G_K]) {
        high = part->rows;
        at = 0;
        from = next;
        wide = g[G_K] - from < kc ? g[G_K] - from : kc;
        if (!part->constant)
            ahead[1] = gemm_region(part->v + from * g[G_VK], wide, g[G_VK], part->cols, g[G_VN], times);
    } else if (high <= 0) {
        high = part->more;
        from = 0;
        wide = g[G_KC] < g[G_K] ? g[G_KC] : g[G_K];
    }
    if (high > GEMM_MC) high = GEMM_MC;
    ahead[0] = gemm_region(part->r + at * g[G_RM] + from * g[G_RK], high, g[G_RM], wide, g[G_RK], times);
}
