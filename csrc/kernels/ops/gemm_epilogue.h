/* What gemm does to the accumulators of a tile while they are in cache. */

typedef struct {
    float alpha;
    const float *bias, *addend; /* at the tile's first column and element, or NULL */
    float *out, *pre;           /* at the tile's first element; pre or NULL */
    int64_t ld;                 /* of addend, out and pre */
} gemm_finish;

static inline vf finish_z(const gemm_finish *f, vf z, int64_t at, int64_t col, int left) {
    if (f->alpha != 1.0f) z = vf_mul(z, vf_set1(f->alpha));
    if (f->addend) z = vf_add(z, load_left(f->addend + at, left));
    if (f->bias) z = vf_add(z, load_left(f->bias + col, left));
    if (f->pre) store_left(f->pre + at, z, left);
    return z;
}

#define GEMM_FINISH(name)                                                                                          \
    static void finish_##name(const gemm_finish *f, int64_t rows, int64_t cols, const float *acc, int64_t acc_ld) { \
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
