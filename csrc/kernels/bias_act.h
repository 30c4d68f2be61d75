/* nd_bias_act_f32: out[r, c] = act(x[r, c] + bias[c]); pre[r, c] = x[r, c] + bias[c].
 *
 * bias may be NULL (no bias); pre may be NULL (not wanted). out may be x. ND_EVALUE for an unknown act.
 *
 * nd_bias_act_bwd_f32: gx = g * act'(z) and gbias[c] = the sum of gx[:, c], where `saved` is z = x + bias for silu,
 * softplus, gelu and gelu_tanh, the forward output for the others, and may be NULL for identity. gbias may be NULL.
 * gx may be g.
 * Each column sums its rows in order in blocks of 64, and the block sums in order.
 */

#define ND_ROW_BLOCK 64

#define ND_ACT_ROW(name)                                                                                          \
    static void act_row_##name(int64_t n, const float *x, const float *bias, float *out, float *pre) {            \
        int64_t i = 0;                                                                                            \
        for (; i + ND_W <= n; i += ND_W) {                                                                        \
            vf z = vf_load(x + i);                                                                                \
            if (bias) z = vf_add(z, vf_load(bias + i));                                                           \
            if (pre) vf_store(pre + i, z);                                                                        \
            vf_store(out + i, act_##name(z));                                                                     \
        }                                                                                                         \
        if (i < n) {                                                                                              \
            const int left = (int)(n - i);                                                                        \
            vf z = vf_load_part(x + i, left);                                                                     \
            if (bias) z = vf_add(z, vf_load_part(bias + i, left));                                                \
            if (pre) vf_store_part(pre + i, z, left);                                                             \
            vf_store_part(out + i, act_##name(z), left);                                                          \
        }                                                                                                         \
    }                                                                                                             \
    static void grad_row_##name(int64_t n, const float *g, const float *s, float *gx) {                           \
        int64_t i = 0;                                                                                            \
        for (; i + ND_W <= n; i += ND_W) vf_store(gx + i, grad_##name(vf_load(g + i), vf_load(s + i)));           \
        if (i < n) {                                                                                              \
            const int left = (int)(n - i);                                                                        \
            vf_store_part(gx + i, grad_##name(vf_load_part(g + i, left), vf_load_part(s + i, left)), left);       \
        }                                                                                                         \
    }
ND_ACTS(ND_ACT_ROW)
#define ND_ACT_ENTRY(name) act_row_##name,
#define ND_GRAD_ENTRY(name) grad_row_##name,

static int32_t k_nd_bias_act_f32(int64_t rows, int64_t cols, const float *x, const float *bias, int32_t act, float *out,
                                 float *pre) {
    static void (*const run[ND_ACT_COUNT])(int64_t, const float *, const float *, float *, float *) = {
        ND_ACTS(ND_ACT_ENTRY)};
    const int32_t status = check_extent(rows, cols);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(rows == 0 || cols == 0 || (x && out), ND_ENULL);
    ND_REQUIRE(act >= 0 && act < ND_ACT_COUNT, ND_EVALUE);
    if (!bias) {
        cols *= rows;
        rows = 1;
    }
    for (int64_t r = 0; r < rows; r++)
        run[act](cols, x + r * cols, bias, out + r * cols, pre ? pre + r * cols : 0);
    return ND_OK;
}

/* total[c] += the sum over `rows` rows of a[:, c], in order of rows. */
static void add_column_sums(int64_t rows, int64_t cols, const float *a, float *total) {
    for (int64_t c = 0; c < cols; c += ND_W) {
        const int left = cols - c < ND_W ? (int)(cols - c) : ND_W;
        vf sum = vf_set1(0.0f);
        for (int64_t r = 0; r < rows; r++) sum = vf_add(sum, load_left(a + r * cols + c, left));
        store_left(total + c, vf_add(load_left(total + c, left), sum), left);
    }
}

static int32_t k_nd_bias_act_bwd_f32(int64_t rows, int64_t cols, const float *g, const float *saved, int32_t act,
                                     float *gx, float *gbias) {
    static void (*const run[ND_ACT_COUNT])(int64_t, const float *, const float *, float *) = {ND_ACTS(ND_GRAD_ENTRY)};
    const int32_t status = check_extent(rows, cols);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(act >= 0 && act < ND_ACT_COUNT, ND_EVALUE);
    if (act == ND_ACT_IDENTITY) saved = g; /* read, not used */
    ND_REQUIRE(rows == 0 || cols == 0 || (g && saved && gx), ND_ENULL);
    if (gbias && cols) memset(gbias, 0, (size_t)cols * sizeof *gbias);
    for (int64_t r = 0; r < rows; r += ND_ROW_BLOCK) {
        const int64_t count = rows - r < ND_ROW_BLOCK ? rows - r : ND_ROW_BLOCK;
        run[act](count * cols, g + r * cols, saved + r * cols, gx + r * cols);
        if (gbias) add_column_sums(count, cols, gx + r * cols, gbias); /* while the block is in cache */
    }
    return ND_OK;
}
