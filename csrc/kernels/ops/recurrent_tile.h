/* The products of the recurrent layers: C = init + A B on tiles of a few rows and 1 .. 4 vectors of columns.
 *
 * Every element of C is one chain of fma over k in order, begun at its init, so how rows, columns and k are cut changes
 * no bit: k may be cut because the chain goes on from C. A has any two strides, B and C rows of whole vectors. */
#ifndef ND_REC_TILE_H
#define ND_REC_TILE_H

#if defined(_MSC_VER)
#define REC_INLINE static __forceinline
#else
#define REC_INLINE static inline __attribute__((always_inline))
#endif

/* The most rows of a tile with 1, 2, 3 and 4 vectors: as many accumulators as the registers hold. */
#if ND_W == 8
#define REC_TILE_ROWS {8, 6, 4, 3}
#else
#define REC_TILE_ROWS {8, 8, 8, 6}
#endif
enum { REC_DEPTH = 128 /* k of one pass: 4 vectors of B for it stay in the first cache over many tiles */ };

typedef struct {
    int64_t depth;          /* k */
    const float *a;         /* a[r row_step + k k_step] */
    int64_t row_step, k_step;
    const float *b;         /* b[k b_step + column] */
    int64_t b_step;
    const float *init;      /* init[r init_step + column]; may be c */
    int64_t init_step;
    float *c;               /* c[r c_step + column] */
    int64_t c_step;
} rec_product;

REC_INLINE void rec_tile(const rec_product *p, const int rows, const int vectors) {
    vf acc[8][4];
    ND_UNROLL
    for (int r = 0; r < rows; r++) {
        ND_UNROLL
        for (int v = 0; v < vectors; v++) acc[r][v] = vf_load(p->init + r * p->init_step + v * ND_W);
    }
    const float *a = p->a, *b = p->b;
    const int64_t row_step = p->row_step, k_step = p->k_step, b_step = p->b_step;
    for (int64_t k = p->depth; k > 0; k--) {
        if (vectors <= rows) { /* hold the fewer of the two in registers */
            vf column[4];
            ND_UNROLL
            for (int v = 0; v < vectors; v++) column[v] = vf_load(b + v * ND_W);
            ND_UNROLL
            for (int r = 0; r < rows; r++) {
                const vf x = vf_set1(a[r * row_step]);
                ND_UNROLL
                for (int v = 0; v < vectors; v++) acc[r][v] = vf_fma(x, column[v], acc[r][v]);
            }
        } else {
            vf row[8];
            ND_UNROLL
            for (int r = 0; r < rows; r++) row[r] = vf_set1(a[r * row_step]);
            ND_UNROLL
            for (int v = 0; v < vectors; v++) {
                const vf y = vf_load(b + v * ND_W);
                ND_UNROLL
                for (int r = 0; r < rows; r++) acc[r][v] = vf_fma(row[r], y, acc[r][v]);
            }
        }
        a += k_step;
        b += b_step;
    }
    ND_UNROLL
    for (int r = 0; r < rows; r++) {
        ND_UNROLL
        for (int v = 0; v < vectors; v++) vf_store(p->c + r * p->c_step + v * ND_W, acc[r][v]);
    }
}

#define REC_TILES(X) \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(2, 1) X(2, 2) X(2, 3) X(2, 4) X(3, 1) X(3, 2) X(3, 3) X(3, 4) \
    X(4, 1) X(4, 2) X(4, 3) X(4, 4) X(5, 1) X(5, 2) X(5, 3) X(5, 4) X(6, 1) X(6, 2) X(6, 3) X(6, 4) \
    X(7, 1) X(7, 2) X(7, 3) X(8, 1) X(8, 2) X(8, 3)

#define REC_DEFINE(rows, vectors) \
    static void rec_tile_##rows##_##vectors(const rec_product *p) { rec_tile(p, rows, vectors); }
REC_TILES(REC_DEFINE)
#undef REC_DEFINE

typedef void rec_tile_fn(const rec_product *);
#define REC_ENTRY(rows, vectors) [rows - 1][vectors - 1] = rec_tile_##rows##_##vectors,
static rec_tile_fn *const rec_tiles[8][4] = {REC_TILES(REC_ENTRY)};
#undef REC_ENTRY

/* Any number of rows, cut into tiles of nearly the same height; 1 .. 4 vectors; depth in passes of REC_DEPTH. */
static void rec_panel(const rec_product *whole, int64_t rows, int vectors) {
    static const int most[4] = REC_TILE_ROWS;
    const int64_t tiles = (rows + most[vectors - 1] - 1) / most[vectors - 1];
    rec_product p = *whole;
    int64_t k = 0;
    do { /* at least once: with no k at all, C = init */
        p.depth = whole->depth - k < REC_DEPTH || tiles == 1 ? whole->depth - k : REC_DEPTH;
        p.b = whole->b + k * p.b_step;
        for (int64_t t = 0, row = 0; t < tiles; t++) {
            const int64_t height = (rows - row) / (tiles - t);
            p.a = whole->a + row * p.row_step + k * p.k_step;
            p.init = k ? whole->c + row * p.c_step : whole->init + row * p.init_step;
            p.c = whole->c + row * p.c_step;
            rec_tile_fn *const fn = rec_tiles[height - 1][vectors - 1];
            if (k) p.init_step = p.c_step;
            fn(&p);
            row += height;
        }
        k += p.depth;
    } while (k < whole->depth);
}

#endif
