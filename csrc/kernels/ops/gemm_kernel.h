/* The inner products of gemm: micro-kernels that hold a tile of up to GEMM_MR x GEMM_NV vectors in registers.
 *
 * A kernel adds, for each element of its tile, the products of k in order to one accumulator by vf_fma: whatever the
 * tile, the layout and the instruction set, the chain of one element is the same.
 *
 * Rows of A are addressed in groups of 4: row i is at a + (i / 4) ag + (i % 4) ar, element k of it at + k ak. That
 * serves row-major A (ar = stride, ak = 1), column-major A (ar = 1) and packed A (ar = 1, ak = 4) with two loops.
 */
/* Rows and vectors of a tile; GEMM_MR_1: rows of a tile of one vector, which would have too few chains otherwise. */
#if ND_W == 16
enum { GEMM_MR = 12, GEMM_NV = 2, GEMM_MR_1 = 12 };
#elif ND_W == 8
enum { GEMM_MR = 4, GEMM_NV = 3, GEMM_MR_1 = 8 };
#elif ND_W == 4
enum { GEMM_MR = 8, GEMM_NV = 3, GEMM_MR_1 = 8 };
#else
enum { GEMM_MR = 4, GEMM_NV = 2, GEMM_MR_1 = 4 };
#endif
enum {
    GEMM_NR = GEMM_NV * ND_W,
    GEMM_GROUP = 4,
    GEMM_CHAINS = 8, /* accumulators that keep the multipliers busy while each waits for its own last sum */
};

typedef struct {
    const float *a, *b;
    int64_t ag, ar, ak; /* strides of A: groups of rows, rows of a group, k; one of ar and ak is 1 */
    int64_t bk;         /* the stride of k in B, whose columns are adjacent */
    int64_t k;
    const float *start; /* the accumulators so far, or NULL for 0 */
    float *c;           /* takes the accumulators */
    int64_t c_ld;       /* of start and c */
    int last;           /* columns of the last vector: 1 .. ND_W */
} gemm_tile;

/* part: the last vector of B and C is not whole. */
ND_INLINE void gemm_body(const gemm_tile *t, const int mr, const int nv, const int unit_rows, const int part) {
    vf acc[GEMM_MR_1][GEMM_NV];
    const int last = t->last;
    ND_UNROLL
    for (int i = 0; i < mr; i++) {
        ND_UNROLL
        for (int v = 0; v < nv; v++) acc[i][v] = vf_set1(0.0f);
    }
    if (t->start) {
        ND_UNROLL
        for (int i = 0; i < mr; i++) {
            ND_UNROLL
            for (int v = 0; v < nv; v++) {
                const float *p = t->start + i * t->c_ld + v * ND_W;
                acc[i][v] = part && v == nv - 1 ? vf_load_part(p, last) : vf_load(p);
            }
        }
    }
    const float *a = t->a, *b = t->b;
    const int64_t ag = t->ag, ar = unit_rows ? 1 : t->ar, ak = unit_rows ? t->ak : 1, bk = t->bk;
    for (int64_t k = t->k; k > 0; k--) {
        vf bv[GEMM_NV];
        ND_UNROLL
        for (int v = 0; v < nv; v++)
            bv[v] = part && v == nv - 1 ? vf_load_part(b + v * ND_W, last) : vf_load(b + v * ND_W);
        ND_UNROLL
        for (int i = 0; i < mr; i++) {
            const vf x = vf_set1(a[i / GEMM_GROUP * ag + i % GEMM_GROUP * ar]);
            ND_UNROLL
            for (int v = 0; v < nv; v++) acc[i][v] = vf_fma(x, bv[v], acc[i][v]);
        }
        a += ak;
        b += bk;
    }
    float *c = t->c;
    const int64_t c_ld = t->c_ld;
    ND_UNROLL
    for (int i = 0; i < mr; i++) {
        ND_UNROLL
        for (int v = 0; v < nv; v++) {
            if (part && v == nv - 1) vf_store_part(c + i * c_ld + v * ND_W, acc[i][v], last);
            else vf_store(c + i * c_ld + v * ND_W, acc[i][v]);
        }
    }
}

typedef void gemm_kernel(const gemm_tile *);

#define GEMM_DEFINE(mr, nv)                                                                \
    static void gemm_##mr##_##nv##_rows(const gemm_tile *t) { gemm_body(t, mr, nv, 0, 0); } \
    static void gemm_##mr##_##nv##_cols(const gemm_tile *t) { gemm_body(t, mr, nv, 1, 0); } \
    static void gemm_##mr##_##nv##_rows_part(const gemm_tile *t) { gemm_body(t, mr, nv, 0, 1); } \
    static void gemm_##mr##_##nv##_cols_part(const gemm_tile *t) { gemm_body(t, mr, nv, 1, 1); }
#define GEMM_ENTRY(mr, nv) \
    {{gemm_##mr##_##nv##_rows, gemm_##mr##_##nv##_rows_part}, {gemm_##mr##_##nv##_cols, gemm_##mr##_##nv##_cols_part}},

#define GEMM_ROWS_4(X, nv) X(1, nv) X(2, nv) X(3, nv) X(4, nv)
#define GEMM_ROWS_8(X, nv) GEMM_ROWS_4(X, nv) X(5, nv) X(6, nv) X(7, nv) X(8, nv)
#define GEMM_ROWS_12(X, nv) GEMM_ROWS_8(X, nv) X(9, nv) X(10, nv) X(11, nv) X(12, nv)
#if ND_W == 16
#define GEMM_ROWS_1 GEMM_ROWS_12
#define GEMM_ROWS GEMM_ROWS_12
#elif ND_W == 8
#define GEMM_ROWS_1 GEMM_ROWS_8
#define GEMM_ROWS GEMM_ROWS_4
#elif ND_W == 4
#define GEMM_ROWS_1 GEMM_ROWS_8
#define GEMM_ROWS GEMM_ROWS_8
#else
#define GEMM_ROWS_1 GEMM_ROWS_4
#define GEMM_ROWS GEMM_ROWS_4
#endif

GEMM_ROWS_1(GEMM_DEFINE, 1)
GEMM_ROWS(GEMM_DEFINE, 2)
#if ND_W == 8 || ND_W == 4
GEMM_ROWS(GEMM_DEFINE, 3)
#endif

/* [vectors - 1][rows - 1][unit_rows][part] */
static gemm_kernel *const gemm_kernels[GEMM_NV][GEMM_MR_1][2][2] = {
    {GEMM_ROWS_1(GEMM_ENTRY, 1)},
    {GEMM_ROWS(GEMM_ENTRY, 2)},
#if ND_W == 8 || ND_W == 4
    {GEMM_ROWS(GEMM_ENTRY, 3)},
#endif
};
