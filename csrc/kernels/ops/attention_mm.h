/* The matrix products of attention, on tiles that stay in the cache.
 *
 * att_mm: c[m, n] = after[m] (before[m] c[m, n] + sum over k of a[m, k] b[k, n]); without `before` c is not read,
 * without `after` nothing is multiplied. a has any strides and is broadcast, one element at a time; b and c have unit
 * stride along n, and n is a multiple of 16 up to ND_ATT_PANEL. Each sum is one chain of vf_fma over k from 0, what
 * was there is added by one more, so that neither the shape of the tiles nor the instruction set shows in the bits.
 * Long sums are cut into steps by the callers: the error grows with the length of the longest chain.
 */

#if defined(_MSC_VER) && !defined(__clang__)
#define ND_ATT_INLINE static __forceinline
#else
#define ND_ATT_INLINE static inline __attribute__((always_inline))
#endif

enum { ND_ATT_PANEL = 64 }; /* columns of a packed panel */

typedef void att_mm_fn(int64_t depth, const float *a, int64_t am, int64_t ak, const float *b, int64_t bs, float *c,
                       int64_t cs, const float *before, const float *after);

/* M rows by NV vectors, both constants: all of c in registers. */
ND_ATT_INLINE void att_mm_tile(const int M, const int NV, int64_t depth, const float *a, int64_t am, int64_t ak,
                               const float *b, int64_t bs, float *c, int64_t cs, const float *before,
                               const float *after) {
    vf acc[12][4];
    ND_UNROLL
    for (int m = 0; m < M; m++) {
        ND_UNROLL
        for (int v = 0; v < NV; v++) acc[m][v] = vf_set1(0.0f);
    }
    for (int64_t k = 0; k < depth; k++, a += ak, b += bs) {
        vf x[4];
        ND_UNROLL
        for (int v = 0; v < NV; v++) x[v] = vf_load(b + v * ND_W);
        ND_UNROLL
        for (int m = 0; m < M; m++) {
            const vf y = vf_set1(a[m * am]);
            ND_UNROLL
            for (int v = 0; v < NV; v++) acc[m][v] = vf_fma(y, x[v], acc[m][v]);
        }
    }
    ND_UNROLL
    for (int m = 0; m < M; m++) {
        ND_UNROLL
        for (int v = 0; v < NV; v++) {
            float *to = c + m * cs + v * ND_W;
            if (before) acc[m][v] = vf_fma(vf_load(to), vf_set1(before[m]), acc[m][v]);
            vf_store(to, after ? vf_mul(acc[m][v], vf_set1(after[m])) : acc[m][v]);
        }
    }
}

#define ND_ATT_TILE(M, NV) \
    static void att_mm_##M##_##NV(int64_t depth, const float *a, int64_t am, int64_t ak, const float *b, int64_t bs, \
                                  float *c, int64_t cs, const float *before, const float *after) { \
        att_mm_tile(M, NV, depth, a, am, ak, b, bs, c, cs, before, after); \
    }
#define ND_ATT_NAME(M, NV) att_mm_##M##_##NV,
#define ND_ATT_SIX(X, NV) X(1, NV) X(2, NV) X(3, NV) X(4, NV) X(5, NV) X(6, NV)
#define ND_ATT_TWELVE(X, NV) ND_ATT_SIX(X, NV) X(7, NV) X(8, NV) X(9, NV) X(10, NV) X(11, NV) X(12, NV)
#define ND_ATT_EIGHT(X, NV) ND_ATT_SIX(X, NV) X(7, NV) X(8, NV)

/* The shapes of tiles: as many sums as the registers hold, at least eight where there are rows enough. */
#if ND_W == 16
enum { ND_ATT_NV = 4 };
ND_ATT_TWELVE(ND_ATT_TILE, 1)
ND_ATT_TWELVE(ND_ATT_TILE, 2)
ND_ATT_EIGHT(ND_ATT_TILE, 3)
ND_ATT_SIX(ND_ATT_TILE, 4)
static const int att_mm_rows[5] = {0, 12, 12, 8, 6};
static att_mm_fn *const att_mm_tiles[5][12] = {{0}, {ND_ATT_TWELVE(ND_ATT_NAME, 1)}, {ND_ATT_TWELVE(ND_ATT_NAME, 2)},
                                               {ND_ATT_EIGHT(ND_ATT_NAME, 3)}, {ND_ATT_SIX(ND_ATT_NAME, 4)}};
#elif ND_W == 8
enum { ND_ATT_NV = 2 };
ND_ATT_SIX(ND_ATT_TILE, 2)
static const int att_mm_rows[3] = {0, 0, 6};
static att_mm_fn *const att_mm_tiles[3][12] = {{0}, {0}, {ND_ATT_SIX(ND_ATT_NAME, 2)}};
#else
enum { ND_ATT_NV = 4 };
ND_ATT_SIX(ND_ATT_TILE, 4)
static const int att_mm_rows[5] = {0, 0, 0, 0, 6};
static att_mm_fn *const att_mm_tiles[5][12] = {{0}, {0}, {0}, {0}, {ND_ATT_SIX(ND_ATT_NAME, 4)}};
#endif

static void att_mm(int64_t rows, int64_t cols, int64_t depth, const float *a, int64_t am, int64_t ak, const float *b,
                   int64_t bs, float *c, int64_t cs, const float *before, const float *after) {
    for (int64_t n = 0; n < cols; n += ND_ATT_NV * ND_W) {
        const int nv = cols - n < ND_ATT_NV * ND_W ? (int)(cols - n) / ND_W : ND_ATT_NV;
        const int64_t most = att_mm_rows[nv];
        int64_t m = 0;
        while (m < rows) {
            const int64_t tiles = (rows - m + most - 1) / most, take = (rows - m + tiles - 1) / tiles; /* even parts */
            att_mm_tiles[nv][take - 1](depth, a + m * am, am, ak, b + n, bs, c + m * cs + n, cs,
                                       before ? before + m : 0, after ? after + m : 0);
            m += take;
        }
    }
}

static inline int64_t att_round16(int64_t n) { return (n + 15) & ~(int64_t)15; }

/* One block of up to ND_W rows and ND_W columns of x, transposed and scaled: to[j, i] = factor x[i, j], for all i <
   ND_W (0 past the rows) and j < cols. */
static inline void att_transpose_block(const float *x, int64_t rs, int rows, int cols, vf factor, float *to,
                                       int64_t ld) {
    vf in[ND_W], out[ND_W];
    if (rows == ND_W && cols == ND_W) {
        ND_UNROLL
        for (int i = 0; i < ND_W; i++) in[i] = vf_load(x + i * rs);
        vf_transpose(in, out);
        ND_UNROLL
        for (int j = 0; j < ND_W; j++) vf_store(to + j * ld, vf_mul(out[j], factor));
        return;
    }
    ND_UNROLL
    for (int i = 0; i < ND_W; i++) in[i] = i < rows ? load_left(x + i * rs, cols) : vf_set1(0.0f);
    vf_transpose(in, out);
    ND_UNROLL
    for (int j = 0; j < ND_W; j++)
        if (j < cols) vf_store(to + j * ld, vf_mul(out[j], factor));
}

/* x [n, d] with strides rs and cs -> panels of 64 columns, each [d, width] with width 64 or, for the last, what is
   left rounded up to 16; transposed, scaled, padded with zeros. Panel p starts at to + p * 64 * d. */
static void att_pack_transposed(int64_t n, int64_t d, const float *x, int64_t rs, int64_t cs, float factor, float *to) {
    const vf f = vf_set1(factor);
    for (int64_t first = 0; first < n; first += ND_ATT_PANEL, to += ND_ATT_PANEL * d) {
        const int64_t count = n - first < ND_ATT_PANEL ? n - first : ND_ATT_PANEL, ld = att_round16(count);
        const float *from = x + first * rs;
        for (int64_t i = 0; i < ld; i += ND_W) {
            const int rows = i >= count ? 0 : count - i < ND_W ? (int)(count - i) : ND_W;
            for (int64_t j = 0; cs == 1 && j < d; j += ND_W)
                att_transpose_block(from + i * rs + j, rs, rows, d - j < ND_W ? (int)(d - j) : ND_W, f, to + j * ld + i,
                                    ld);
            if (cs == 1) continue;
            for (int64_t j = 0; j < d; j++) {
                float line[ND_W] = {0};
                for (int r = 0; r < rows; r++) line[r] = from[(i + r) * rs + j * cs];
                vf_store(to + j * ld + i, vf_mul(vf_load(line), f));
            }
        }
    }
}

/* c = a [rows, depth] times what att_pack_transposed made of `count` rows; of its columns the first `cols`, a multiple
   of 16. */
static void att_times_packed(int64_t rows, int64_t cols, int64_t depth, const float *a, int64_t am, int64_t ak,
                             const float *packed, int64_t count, float *c, int64_t cs) {
    for (int64_t n = 0; n < cols; n += ND_ATT_PANEL, packed += ND_ATT_PANEL * depth) {
        const int64_t width = cols - n < ND_ATT_PANEL ? cols - n : ND_ATT_PANEL, left = count - n;
        const int64_t ld = left < ND_ATT_PANEL ? att_round16(left) : ND_ATT_PANEL;
        att_mm(rows, width, depth, a, am, ak, packed, ld, c + n, cs, 0, 0);
    }
}

/* A matrix whose rows have unit stride and a multiple of 16 columns that may be read. */
typedef struct {
    const float *p;
    int64_t rs;
} att_rows;

/* Whether x [*, d] can be read in place as such. */
static inline int att_in_place(int64_t d, int64_t cs) { return cs == 1 && d % 16 == 0; }

/* x [n, d] as att_rows: itself, or a copy in `to` padded with zeros. */
static att_rows att_padded(int64_t n, int64_t d, const float *x, int64_t rs, int64_t cs, float *to) {
    if (att_in_place(d, cs)) return (att_rows){x, rs};
    const int64_t ld = att_round16(d);
    for (int64_t i = 0; i < n; i++) {
        float *row = to + i * ld;
        for (int64_t j = 0; j < d; j++) row[j] = x[i * rs + j * cs];
        for (int64_t j = d; j < ld; j++) row[j] = 0.0f;
    }
    return (att_rows){to, ld};
}

static void att_copy_rows(int64_t n, int64_t d, const float *x, int64_t xs, float *to, int64_t ts) {
    for (int64_t i = 0; i < n; i++) memcpy(to + i * ts, x + i * xs, (size_t)d * sizeof *to);
}

/* The product of `rows` rows of a with all of b [depth, cols] in panels of 64 columns and steps of `step` rows of b,
   which stay in the cache meanwhile; `before` and `after` as att_mm knows them, `ones` holds a one for each row. */
static void att_product(int64_t rows, int64_t cols, int64_t depth, int64_t step, const float *a, int64_t am, int64_t ak,
                        att_rows b, float *c, int64_t cs, const float *before, const float *after, const float *ones) {
    for (int64_t n = 0; n < cols; n += ND_ATT_PANEL) {
        const int64_t width = cols - n < ND_ATT_PANEL ? cols - n : ND_ATT_PANEL;
        for (int64_t k = 0; k < depth; k += step) {
            const int64_t count = depth - k < step ? depth - k : step;
            att_mm(rows, width, count, a + k * ak, am, ak, b.p + k * b.rs + n, b.rs, c + n, cs, k ? ones : before,
                   k + step >= depth ? after : 0);
        }
    }
}

/* 2^x for x <= 0 (and a NaN for a NaN): 0 below -126.5, exactly 1 at 0. The sum with 3 * 2^22 + 127 leaves the rounded
   x, plus the bias of an exponent, in the last bits. Largest error 0.6 ULP. */
static inline vf att_exp2(vf x) {
    const vf shift = vf_set1(12583039.0f);
    const vf at = at_least(x, -127.0f);
    const vf t = vf_add(at, shift);
    const vf r = vf_sub(at, vf_sub(t, shift));
    const vf y = vf_fma(r, ND_POLY(r, nd_exp2_q), vf_set1(1.0f));
    return vf_mul(y, vi_as_float(vi_shl23(vf_bits(t))));
}

static inline float att_exp2_one(float x) {
    float lane[ND_W];
    vf_store(lane, att_exp2(vf_set1(x)));
    return lane[0];
}
