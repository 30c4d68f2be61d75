/* What prepare decides for gemm: checks, which factor's axis the vectors run along, packing, tiles.
 *
 * Inside, the product is always R V: the rows of R [rows, k] are broadcast, the columns of V [k, cols] are the lanes.
 * Straight, R is a and V is b. Turned, R is b transposed and V a transposed, and the tiles are transposed when they are
 * finished: for outputs of one column, and where b's columns are not adjacent and a is the cheaper one to rearrange. */

/* As measured on one processor with 48 KB, 1 MB and 32 MB of cache; none of them changes a bit of a result. */
enum {
    GEMM_K_WHOLE = 512,        /* longer k goes in blocks of GEMM_KC */
    GEMM_KC = 384,
    GEMM_KC_PASSING = 128,     /* or of these, where long factors pass by an output of little, so that what comes next */
    GEMM_LITTLE = 65536,       /* fits beside what is worked on; elements of such an output */
    GEMM_K_SHORT = 8,          /* k up to which the output is written row by row */
    GEMM_DIRECT = 16384,       /* elements, and stride of k, up to which V with adjacent columns is not packed */
    GEMM_DIRECT_STRIDE = 256,
    GEMM_FEW = 48,             /* rows up to which larger V are read as they are too, */
    GEMM_FAR = 1024,           /* if the stride is less than this: lines farther apart meet in few sets of the caches */
    GEMM_MC = 240,             /* rows of R that are packed at once; a multiple of every GEMM_MR */
    GEMM_MT = 960,             /* most rows of a tile, */
    GEMM_NT = 480,             /* and columns */
    GEMM_SINGLE_NT = 256,      /* columns of a tile of one row, */
    GEMM_SINGLE_MOST = 4096,   /* with one thread */
    GEMM_WORK = 500000,        /* multiply-adds below which nothing is split over threads */
    GEMM_NEAR = 1 << 18,       /* elements of R and the output that stay near: lines of more are asked for ahead */
    GEMM_FAR_K = 32,           /* k from which on a tile is long enough for that */
    GEMM_LINE = 64,            /* bytes of a line */
    GEMM_SHARES = 4,           /* tasks for each thread */
    GEMM_MOST_WORKERS = 1024,
};
#define GEMM_MOST ((int64_t)1 << 40)        /* largest dim */
#define GEMM_MOST_PACKED ((int64_t)1 << 31) /* elements of a constant b that is worth packing */

/* Numbers that prepare leaves for run. */
enum { G_ITEMS, G_ROWS, G_COLS, G_K, G_RM, G_RK, G_VK, G_VN, G_AXES, G_MT, G_NT, G_KC, G_PACK_R, G_PACK_V, G_PERSIST,
       G_WORKER, G_R_AT, G_ACC_AT, G_COPIES, G_TURNED, G_SINGLE, G_LANES };

static int64_t round_up(int64_t x, int64_t unit) { return (x + unit - 1) / unit * unit; }
/* Near total / parts, in units. */
static int64_t gemm_share(int64_t total, int64_t parts, int64_t unit) {
    return round_up((total + parts - 1) / parts, unit);
}
/* Shares of at most `most`. */
static int64_t gemm_even(int64_t total, int64_t most, int64_t unit) {
    return gemm_share(total, (total + most - 1) / most, unit);
}

/* float32 and dense; an empty view may have any strides. */
static int gemm_dense(const nd_view *v) { return nd_is(v, ND_F32); }

static int32_t gemm_check(nd_call *c) {
    ND_REQUIRE(c->n_in == 4 && c->n_out == 2 && c->n_attr == 2, ND_EVALUE);
    const nd_view *a = c->view[0], *b = c->view[1], *bias = c->view[2], *addend = c->view[3], *out = c->view[4];
    const nd_view *pre = c->view[5];
    ND_REQUIRE(a && b && out, ND_ENULL);
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
    ND_REQUIRE(a->dtype == ND_F32 && b->dtype == ND_F32 && gemm_dense(out), ND_EVALUE);
    ND_REQUIRE(!bias || (bias->rank == 1 && bias->dims[0] == n && gemm_dense(bias)), ND_ESIZE);
    ND_REQUIRE(!addend || (nd_same_dims(addend, out) && gemm_dense(addend)), ND_ESIZE);
    ND_REQUIRE(!pre || (nd_same_dims(pre, out) && gemm_dense(pre)), ND_ESIZE);
    ND_REQUIRE(c->attr[0] >= 0 && c->attr[0] < ND_ACT_COUNT, ND_EVALUE);
    ND_REQUIRE(c->threads >= 1 && c->threads <= GEMM_MOST_WORKERS, ND_EVALUE);
    return ND_OK;
}

/* Dims and strides into k; inner batch axes over which b is the same join the rows, where a's strides allow it. */
static void gemm_fold(nd_call *c) {
    const nd_view *a = c->view[0], *b = c->view[1], *out = c->view[4];
    const int64_t k = a->dims[out->rank - 1];
    int axes = out->rank - 2;
    int64_t m = out->dims[axes], am = a->strides[axes], *g = c->k;
    if (k == 0) { /* empty factors, whose strides mean nothing: rows of zeros */
        m = nd_size(out) / out->dims[out->rank - 1];
        axes = 0;
    }
    for (; axes > 0; axes--) {
        const int64_t count = out->dims[axes - 1];
        if (count == 1) continue;
        if (b->strides[axes - 1] != 0 || (m != 1 && a->strides[axes - 1] != m * am)) break;
        if (m == 1) am = a->strides[axes - 1];
        m *= count;
    }
    g[G_AXES] = axes;
    g[G_ITEMS] = 1;
    for (int i = 0; i < axes; i++) g[G_ITEMS] *= out->dims[i];
    g[G_COPIES] = 1;
    for (int i = 0; i < axes; i++)
        if (b->strides[i] != 0 && b->dims[i] != 1) g[G_COPIES] = g[G_ITEMS];
    g[G_ROWS] = m;
    g[G_COLS] = out->dims[out->rank - 1];
    g[G_K] = k;
    g[G_RM] = am;
    g[G_RK] = a->strides[out->rank - 1];
    g[G_VK] = b->strides[out->rank - 2];
    g[G_VN] = b->strides[out->rank - 1];
    /* An axis of length 1 may have any stride: make it one that suits. */
    if (g[G_ROWS] == 1) g[G_RM] = 1;
    if (g[G_K] == 1) g[G_RK] = 1;
    if (g[G_K] == 1) g[G_VK] = g[G_COLS];
    if (g[G_COLS] == 1) g[G_VN] = 1;
    if (k == 0) g[G_RM] = g[G_RK] = g[G_VK] = g[G_VN] = 1;
}

/* A constant b is packed once, where it is V. */
static void gemm_keep(nd_call *c) {
    int64_t *g = c->k;
    const int64_t width = round_up(g[G_COLS], GEMM_NR), most = GEMM_MOST_PACKED / g[G_COPIES];
    const int fits = width <= most && g[G_K] <= most / width;
    g[G_PERSIST] = (c->view[1]->flags & ND_CONSTANT) && g[G_COLS] > 1 && g[G_K] > 0 && fits;
    c->persist = g[G_PERSIST] ? g[G_COPIES] * width * g[G_K] * (int64_t)sizeof(float) : 0;
}

/* About the cycles a k costs: the multiply-adds, and packing what has to be packed. */
static double gemm_cost(int64_t rows, int64_t cols, int pack) {
    const double lanes = (double)round_up(cols, ND_W);
    return (double)rows * lanes / (2.0 * ND_W) + (pack ? 0.4 * lanes : 0.0);
}

static void exchange(int64_t *a, int64_t *b) {
    const int64_t keep = *a;
    *a = *b;
    *b = keep;
}

static void gemm_turn(nd_call *c) {
    int64_t *g = c->k;
    const double straight = gemm_cost(g[G_ROWS], g[G_COLS], g[G_VN] != 1);
    const double turned = gemm_cost(g[G_COLS], g[G_ROWS], g[G_RM] != 1) +
                          1.5 * (double)g[G_ROWS] * (double)g[G_COLS] / (double)(g[G_K] + 1);
    g[G_TURNED] = g[G_COLS] == 1 ||
                  (g[G_ROWS] > 1 && !g[G_PERSIST] && (g[G_VN] != 1 || g[G_RM] == 1) && turned < straight);
    if (!g[G_TURNED]) return;
    exchange(&g[G_ROWS], &g[G_COLS]);
    exchange(&g[G_RM], &g[G_VN]);
    exchange(&g[G_RK], &g[G_VK]);
}

/* Whether what is read and written comes from a far cache, and there is work behind which to wait for it. */
static int gemm_far(const int64_t *g) {
    const double each = (double)g[G_ROWS] * ((double)g[G_K] + (double)g[G_COLS]);
    return (g[G_K] <= GEMM_K_SHORT || g[G_K] >= GEMM_FAR_K) && (double)g[G_ITEMS] * each > GEMM_NEAR;
}

/* Whether long factors pass by an output that stays near: the gradient of a weight. */
static int gemm_passing(const int64_t *g) {
    return gemm_far(g) && g[G_RM] == 1 && g[G_VN] == 1 && g[G_K] > GEMM_K_WHOLE && g[G_ROWS] * g[G_COLS] <= GEMM_LITTLE;
}

/* Tiles of the output and blocks of k. */
static void gemm_tiles(nd_call *c) {
    int64_t *g = c->k;
    const int64_t rows = g[G_ROWS], cols = g[G_COLS], k = g[G_K];
    int64_t most_rows = GEMM_MT, most_cols = GEMM_NT;
    const int passing = gemm_passing(g); /* by tiles of columns V is packed once, not by each worker */
    g[G_SINGLE] = rows == 1;
    g[G_LANES] = g[G_SINGLE] && !g[G_TURNED] && !(c->view[1]->flags & ND_CONSTANT) && g[G_RK] == 1 && g[G_VK] == 1 &&
                 g[G_VN] != 1 && k >= ROW_LANES;
    g[G_PACK_V] = !g[G_PERSIST] && g[G_VN] != 1 && !(g[G_SINGLE] && g[G_VK] == 1);
    if (rows > GEMM_FEW ? k > GEMM_DIRECT / cols || g[G_VK] > GEMM_DIRECT_STRIDE
                        : rows > 4 * GEMM_MR && g[G_VK] >= GEMM_FAR)
        g[G_PACK_V] = !g[G_PERSIST];
    /* Adjacent rows are read well as they are by wide tiles. */
    const int often = cols > 4 * GEMM_NR || (cols > 2 * GEMM_NR && g[G_RK] >= GEMM_FAR);
    const int reused = often && rows > 4 * GEMM_MR && (g[G_RM] != 1 || ND_W < 16);
    g[G_PACK_R] = !g[G_SINGLE] && (reused || (g[G_RK] != 1 && g[G_RM] != 1));
    const int64_t block = passing ? GEMM_KC_PASSING : GEMM_KC;
    g[G_KC] = k <= GEMM_K_WHOLE || (g[G_SINGLE] && !g[G_PACK_V]) ? k : gemm_even(k, block, 16);
    if (k == 0) g[G_KC] = 1; /* loops step by it */
    if (g[G_SINGLE]) most_cols = c->threads > 1 ? GEMM_SINGLE_NT : GEMM_SINGLE_MOST;
    if (c->threads > 1 && g[G_ITEMS] < 2 * c->threads) { /* a tile for each */
        const int by_columns = passing && 2 * cols > rows && cols >= c->threads * GEMM_NR;
        int64_t *most = cols > rows || by_columns ? &most_cols : &most_rows;
        const int64_t share = most == &most_cols ? gemm_share(cols, c->threads, GEMM_NR)
                                                 : gemm_share(rows, c->threads, GEMM_MR);
        if (share < *most) *most = share;
    }
    g[G_NT] = gemm_even(cols, most_cols, GEMM_NR);
    int64_t tiles = (rows + most_rows - 1) / most_rows;
    const int64_t shares = GEMM_SHARES * c->threads;
    if (c->threads > 1 && tiles > shares) tiles = round_up(tiles, shares); /* as many for each task */
    g[G_MT] = gemm_share(rows, tiles, GEMM_MR);
}

static int gemm_plain(const nd_call *c) {
    return !c->k[G_TURNED] && (float)nd_attr_f64(c, 1) == 1.0f && c->attr[0] == ND_ACT_IDENTITY && !c->view[2] &&
           !c->view[3] && !c->view[5];
}

/* A worker's memory: packed V, packed R, accumulators. */
static void gemm_scratch(nd_call *c) {
    int64_t *g = c->k, acc = 0;
    const int64_t block = g[G_MT] < GEMM_MC ? g[G_MT] : GEMM_MC;
    g[G_R_AT] = g[G_PACK_V] ? nd_align64(g[G_NT] * g[G_KC] * 4) : 0;
    const int64_t groups = (block + GEMM_GROUP - 1) / GEMM_GROUP;
    g[G_ACC_AT] = g[G_R_AT] + (g[G_PACK_R] ? nd_align64(groups * gemm_group(g[G_KC]) * 4) : 0);
    if (g[G_SINGLE]) acc = g[G_NT];
    else if (gemm_plain(c)) acc = 0;
    else if (g[G_KC] < g[G_K]) acc = g[G_MT] * g[G_NT];
    else acc = (g[G_TURNED] ? block : GEMM_MR_1) * GEMM_NR;
    g[G_WORKER] = g[G_ACC_AT] + nd_align64(acc * 4);
    c->scratch = g[G_WORKER] * c->threads;
}

static int32_t op_gemm_prepare(nd_call *c) {
    const int32_t status = gemm_check(c);
    ND_REQUIRE(status == ND_OK, status);
    c->scratch = c->persist = 0;
    if (nd_size(c->view[4]) == 0) return ND_OK;
    gemm_fold(c);
    gemm_keep(c);
    gemm_turn(c);
    gemm_tiles(c);
    gemm_scratch(c);
    return ND_OK;
}
