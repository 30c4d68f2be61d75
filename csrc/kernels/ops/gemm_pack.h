/* Rearranging the operands of gemm so that a micro-kernel reads each from front to back.
 *
 * Packed B: panels of GEMM_NR columns, each k rows of GEMM_NR floats; the last panel is filled up with zeros.
 * Packed A: groups of 4 rows, each k times 4 floats and a gap; the last group is filled up with zeros. */

enum { PACK_AHEAD = 8 /* k that are asked for ahead, where the lines of each lie apart and often come from memory */ };

/* From one group to the next; the gap keeps the groups of a tile in different sets of the cache. */
static int64_t gemm_group(int64_t k) { return GEMM_GROUP * k + 16; }

static void pack_panel_rows(int64_t k, int cols, const float *b, int64_t bk, float *to) {
    for (int64_t r = 0; r < k; r++) {
        ND_UNROLL
        for (int v = 0; v < GEMM_NV; v++) {
            const int left = cols - v * ND_W;
            const vf x = left >= ND_W ? vf_load(b + r * bk + v * ND_W)
                                      : left > 0 ? vf_load_part(b + r * bk + v * ND_W, left) : vf_set1(0.0f);
            vf_store(to + r * GEMM_NR + v * ND_W, x);
        }
    }
}

/* One vector of columns, each of which is contiguous along k: blocks of ND_W x ND_W, transposed in registers. */
static void pack_vector_cols(int64_t k, int cols, const float *b, int64_t bn, float *to) {
    for (int64_t r = 0; r < k; r += ND_W) {
        const int rows = k - r < ND_W ? (int)(k - r) : ND_W;
        vf x[ND_W], y[ND_W];
        if (rows == ND_W && cols >= ND_W) {
            ND_UNROLL
            for (int j = 0; j < ND_W; j++) x[j] = vf_load(b + j * bn + r);
            vf_transpose(x, y);
            ND_UNROLL
            for (int i = 0; i < ND_W; i++) vf_store(to + (r + i) * GEMM_NR, y[i]);
            continue;
        }
        for (int j = 0; j < ND_W; j++) x[j] = j < cols ? load_left(b + j * bn + r, rows) : vf_set1(0.0f);
        vf_transpose(x, y);
        for (int i = 0; i < rows; i++) vf_store(to + (r + i) * GEMM_NR, y[i]);
    }
}

static void pack_panel_any(int64_t k, int cols, const float *b, int64_t bk, int64_t bn, float *to) {
    for (int64_t r = 0; r < k; r++)
        for (int j = 0; j < GEMM_NR; j++) to[r * GEMM_NR + j] = j < cols ? b[r * bk + j * bn] : 0.0f;
}

/* k rows and n columns of B into panels; `to` has room for k times n rounded up to GEMM_NR. */
static void gemm_pack_b(int64_t k, int64_t n, const float *b, int64_t bk, int64_t bn, float *to) {
    for (int64_t j = 0; j < n; j += GEMM_NR, to += k * GEMM_NR, b += GEMM_NR * bn) {
        const int cols = n - j < GEMM_NR ? (int)(n - j) : GEMM_NR;
        if (bn == 1) pack_panel_rows(k, cols, b, bk, to);
        else if (bk == 1)
            for (int v = 0; v < GEMM_NV; v++) {
                const int left = cols - v * ND_W;
                pack_vector_cols(k, left > 0 ? left : 0, left > 0 ? b + v * ND_W * bn : b, bn, to + v * ND_W);
            }
        else pack_panel_any(k, cols, b, bk, bn, to);
    }
}

/* Four rows that are contiguous along k. */
static void pack_group_rows(int64_t k, const float *a, int64_t am, float *to) {
    int64_t r = 0;
    for (; r + ND_W <= k; r += ND_W) {
        vi out[4];
        vi_interleave4(vf_bits(vf_load(a + r)), vf_bits(vf_load(a + am + r)), vf_bits(vf_load(a + 2 * am + r)),
                       vf_bits(vf_load(a + 3 * am + r)), out);
        ND_UNROLL
        for (int q = 0; q < 4; q++) vf_store(to + r * 4 + q * ND_W, vi_as_float(out[q]));
    }
    for (; r < k; r++)
        for (int i = 0; i < 4; i++) to[r * 4 + i] = a[i * am + r];
}

/* Groups of rows that are adjacent: the lines of A are read in order. */
static void pack_groups_cols(int64_t k, int64_t groups, const float *a, int64_t ak, float *to) {
    for (int64_t r = 0; r < k; r++)
        for (int64_t g = 0; g < groups; g++) {
            if (g % 4 == 0) ND_PREFETCH(a + (r + PACK_AHEAD) * ak + g * GEMM_GROUP);
            memcpy(to + g * gemm_group(k) + r * GEMM_GROUP, a + r * ak + g * GEMM_GROUP, GEMM_GROUP * sizeof *to);
        }
}

/* m rows and k columns of A into groups; `to` has room for gemm_group(k) for each group. */
static void gemm_pack_a(int64_t m, int64_t k, const float *a, int64_t am, int64_t ak, float *to) {
    const int64_t whole = am == 1 ? m / GEMM_GROUP : 0;
    int64_t i = whole * GEMM_GROUP;
    pack_groups_cols(k, whole, a, ak, to);
    a += i * am;
    to += whole * gemm_group(k);
    for (; i < m; i += GEMM_GROUP, to += gemm_group(k), a += GEMM_GROUP * am) {
        const int rows = m - i < GEMM_GROUP ? (int)(m - i) : GEMM_GROUP;
        if (rows == GEMM_GROUP && ak == 1) pack_group_rows(k, a, am, to);
        else if (rows == GEMM_GROUP)
            for (int64_t r = 0; r < k; r++)
                for (int q = 0; q < GEMM_GROUP; q++) to[r * GEMM_GROUP + q] = a[q * am + r * ak];
        else
            for (int64_t r = 0; r < k; r++)
                for (int q = 0; q < GEMM_GROUP; q++) to[r * GEMM_GROUP + q] = q < rows ? a[q * am + r * ak] : 0.0f;
    }
}
