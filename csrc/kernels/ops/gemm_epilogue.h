/* What gemm does to the accumulators of a tile while they are in cache. */

typedef struct {
    float alpha;
    int act;
    const float *bias, *addend; /* at the tile's first column and element, or NULL */
    const float *one_bias;      /* the bias of all elements (an output of one column), or NULL */
    float *out, *pre;           /* at the tile's first element; pre or NULL */
    int64_t ld;                 /* of addend, out and pre */
} gemm_finish;

/* For the tile that starts at this row and column, `more` elements behind f's. */
static gemm_finish finish_at(const gemm_finish *f, int64_t row, int64_t col, int64_t more) {
    const int64_t at = row * f->ld + col + more;
    gemm_finish g = *f;
    g.out += at;
    if (g.pre) g.pre += at;
    if (g.addend) g.addend += at;
    if (g.bias) g.bias += col;
    return g;
}

/* Asks for the lines of a micro-tile that the epilogue reads and writes, before the tile is worked out. */
static inline void finish_ask(const gemm_finish *f, int64_t row, int64_t col, int rows, int64_t width) {
    for (int i = 0; i < rows; i++) {
        const int64_t at = (row + i) * f->ld + col;
        for (int64_t j = 0; j < width; j += 16) {
            ND_PREFETCH(f->out + at + j);
            if (f->addend) ND_PREFETCH(f->addend + at + j);
            if (f->pre) ND_PREFETCH(f->pre + at + j);
        }
    }
}

/* Whether the accumulators are the output. */
static int finish_nothing(const gemm_finish *f) {
    return f->alpha == 1.0f && f->act == ND_ACT_IDENTITY && !f->bias && !f->one_bias && !f->addend && !f->pre;
}

static inline vf finish_z(const gemm_finish *f, vf z, int64_t at, int64_t col, int left) {
    if (f->alpha != 1.0f) z = vf_mul(z, vf_set1(f->alpha));
    if (f->addend) z = vf_add(z, load_left(f->addend + at, left));
    if (f->bias) z = vf_add(z, load_left(f->bias + col, left));
    if (f->one_bias) z = vf_add(z, vf_set1(*f->one_bias));
    if (f->pre) store_left(f->pre + at, z, left);
    return z;
}

/* Whole vectors. */
#define GEMM_FINISH_WHOLE(name)                                                                                    \
    static void finish_whole_##name(const gemm_finish *f, int64_t rows, int64_t cols, const float *acc,            \
                                    int64_t acc_ld) {                                                              \
        const float *bias = f->bias, *addend = f->addend;                                                          \
        float *out = f->out, *pre = f->pre;                                                                        \
        const int64_t ld = f->ld;                                                                                  \
        for (int64_t i = 0; i < rows; i++, acc += acc_ld) {                                                        \
            for (int64_t j = 0; j < cols; j += ND_W) {                                                             \
                vf z = vf_load(acc + j);                                                                           \
                if (addend) z = vf_add(z, vf_load(addend + i * ld + j));                                           \
                if (bias) z = vf_add(z, vf_load(bias + j));                                                        \
                if (pre) vf_store(pre + i * ld + j, z);                                                            \
                vf_store(out + i * ld + j, act_##name(z));                                                         \
            }                                                                                                      \
        }                                                                                                          \
    }
ND_ACTS(GEMM_FINISH_WHOLE)

#define GEMM_FINISH(name)                                                                                          \
    static void finish_##name(const gemm_finish *f, int64_t rows, int64_t cols, const float *acc, int64_t acc_ld) { \
        if (cols % ND_W == 0 && f->alpha == 1.0f && !f->one_bias) {                                                \
            finish_whole_##name(f, rows, cols, acc, acc_ld);                                                       \
            return;                                                                                                \
        }                                                                                                          \
        for (int64_t i = 0; i < rows; i++)                                                                         \
            for (int64_t j = 0; j < cols; j += ND_W) {                                                             \
                const int left = cols - j < ND_W ? (int)(cols - j) : ND_W;                                         \
                const int64_t at = i * f->ld + j;                                                                  \
                const vf z = finish_z(f, load_left(acc + i * acc_ld + j, left), at, j, left);                      \
                store_left(f->out + at, act_##name(z), left);                                                      \
            }                                                                                                      \
    }
ND_ACTS(GEMM_FINISH)

#define GEMM_FINISH_ENTRY(name) finish_##name,
static void (*const gemm_finishes[ND_ACT_COUNT])(const gemm_finish *, int64_t, int64_t, const float *, int64_t) = {
    ND_ACTS(GEMM_FINISH_ENTRY)};

/* The accumulators of columns x rows, transposed on the way: blocks of ND_W x ND_W through a buffer. */
static void finish_transposed(const gemm_finish *f, int64_t cols, int64_t rows, const float *acc, int64_t acc_ld) {
    float block[ND_W * ND_W];
    for (int64_t j = 0; j < cols; j += ND_W)
        for (int64_t i = 0; i < rows; i += ND_W) {
            const int width = cols - j < ND_W ? (int)(cols - j) : ND_W;
            const int height = rows - i < ND_W ? (int)(rows - i) : ND_W;
            vf x[ND_W], y[ND_W];
            for (int q = 0; q < ND_W; q++)
                x[q] = q < width ? load_left(acc + (j + q) * acc_ld + i, height) : vf_set1(0.0f);
            vf_transpose(x, y);
            for (int q = 0; q < ND_W; q++) vf_store(block + q * ND_W, y[q]);
            const gemm_finish g = finish_at(f, i, j, 0);
            gemm_finishes[g.act](&g, height, width, block, ND_W);
        }
}
