/* nd_layer_norm_f32, for each row r: mean[r] and the variance in two passes, rstd[r] = 1 / sqrt(variance + eps), then
 * out[r, c] = (x[r, c] - mean[r]) rstd[r] gamma[c] + beta[c]. gamma and beta may each be NULL (1 and 0). out may be x.
 *
 * nd_layer_norm_bwd_f32: with n[r, c] = (x - mean) rstd and h = g gamma,
 *     gx = rstd (h - average over c of h - n * average over c of h n),  ggamma[c] = sum of g n,  gbeta[c] = sum of g.
 * gamma, ggamma and gbeta may each be NULL. gx may be g only when ggamma and gbeta are NULL.
 *
 * Sums over a row use 16 lanes and the fixed tree, sums over rows blocks of 64 rows in order. cols must be at least 1.
 */

static float row_sum(int64_t n, const float *x) {
    lanes16 acc = lanes_zero();
    int64_t i = 0;
    for (; i + ND_LANES <= n; i += ND_LANES) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) acc.r[k] = vf_add(acc.r[k], vf_load(x + i + k * ND_W));
    }
    if (i < n) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++)
            acc.r[k] = vf_add(acc.r[k], load_tail(x + i, (int)(n - i), k, vf_set1(0.0f)));
    }
    return lanes_sum(acc);
}

static inline void add_deviation(vf *acc, vf x, vf mean) {
    const vf d = vf_sub(x, mean);
    *acc = vf_fma(d, d, *acc);
}

static float row_deviation(int64_t n, const float *x, float mean) {
    const vf m = vf_set1(mean);
    lanes16 acc = lanes_zero();
    int64_t i = 0;
    for (; i + ND_LANES <= n; i += ND_LANES) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) add_deviation(&acc.r[k], vf_load(x + i + k * ND_W), m);
    }
    if (i < n) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) /* absent elements have deviation 0 */
            add_deviation(&acc.r[k], load_tail(x + i, (int)(n - i), k, m), m);
    }
    return lanes_sum(acc);
}

static inline vf normalised(vf x, vf mean, vf rstd) { return vf_mul(vf_sub(x, mean), rstd); }

static void norm_row(int64_t n, const float *x, const float *gamma, const float *beta, float mean, float rstd,
                     float *out) {
    const vf m = vf_set1(mean), s = vf_set1(rstd);
    for (int64_t i = 0; i < n; i += ND_W) {
        const int left = n - i < ND_W ? (int)(n - i) : ND_W;
        vf y = normalised(load_left(x + i, left), m, s);
        if (gamma && beta) y = vf_fma(y, load_left(gamma + i, left), load_left(beta + i, left));
        else if (gamma) y = vf_mul(y, load_left(gamma + i, left));
        else if (beta) y = vf_add(y, load_left(beta + i, left));
        store_left(out + i, y, left);
    }
}

static int32_t k_nd_layer_norm_f32(int64_t rows, int64_t cols, const float *x, const float *gamma, const float *beta,
                                   double eps, float *out, float *mean, float *rstd) {
    const int32_t status = check_extent(rows, cols);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(cols >= 1, ND_ESIZE);
    ND_REQUIRE(rows == 0 || (x && out && mean && rstd), ND_ENULL);
    ND_REQUIRE(eps >= 0.0, ND_EVALUE);
    const float count = (float)cols;
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * cols;
        const float average = row_sum(cols, row) / count;
        const float scale = 1.0f / sqrtf(row_deviation(cols, row, average) / count + (float)eps);
        norm_row(cols, row, gamma, beta, average, scale, out + r * cols);
        mean[r] = average;
        rstd[r] = scale;
    }
    return ND_OK;
}

/* Adds h = g gamma to `sum` and h n to `dot`. */
static inline void add_projection(vf *sum, vf *dot, vf h, vf n) {
    *sum = vf_add(*sum, h);
    *dot = vf_fma(h, n, *dot);
}

static void norm_bwd_row(int64_t n, const float *g, const float *x, const float *gamma, float mean, float rstd,
                         float *gx) {
    const vf m = vf_set1(mean), s = vf_set1(rstd);
    lanes16 sum = lanes_zero(), dot = lanes_zero();
    int64_t i = 0;
    for (; i + ND_LANES <= n; i += ND_LANES) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) {
            const int64_t at = i + k * ND_W;
            vf h = vf_load(g + at);
            if (gamma) h = vf_mul(h, vf_load(gamma + at));
            add_projection(&sum.r[k], &dot.r[k], h, normalised(vf_load(x + at), m, s));
        }
    }
    if (i < n) {
        const int left = (int)(n - i);
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) { /* absent elements have h = 0 and n = 0 */
            vf h = load_tail(g + i, left, k, vf_set1(0.0f));
            if (gamma) h = vf_mul(h, load_tail(gamma + i, left, k, vf_set1(0.0f)));
            add_projection(&sum.r[k], &dot.r[k], h, normalised(load_tail(x + i, left, k, m), m, s));
        }
    }
    const vf a = vf_set1(lanes_sum(sum) / (float)n), b = vf_set1(lanes_sum(dot) / (float)n);
    for (i = 0; i < n; i += ND_W) {
        const int left = n - i < ND_W ? (int)(n - i) : ND_W;
        vf h = load_left(g + i, left);
        if (gamma) h = vf_mul(h, load_left(gamma + i, left));
        const vf y = normalised(load_left(x + i, left), m, s);
        store_left(gx + i, vf_mul(s, vf_fnma(y, b, vf_sub(h, a))), left);
    }
}

/* total[c] += the sum over `rows` rows of g n, in order of rows. */
static void add_gamma_sums(int64_t rows, int64_t cols, const float *g, const float *x, const float *mean,
                           const float *rstd, float *total) {
    for (int64_t c = 0; c < cols; c += ND_W) {
        const int left = cols - c < ND_W ? (int)(cols - c) : ND_W;
        vf sum = vf_set1(0.0f);
        for (int64_t r = 0; r < rows; r++) {
            const vf y = normalised(load_left(x + r * cols + c, left), vf_set1(mean[r]), vf_set1(rstd[r]));
            sum = vf_fma(load_left(g + r * cols + c, left), y, sum);
        }
        store_left(total + c, vf_add(load_left(total + c, left), sum), left);
    }
}

static int32_t k_nd_layer_norm_bwd_f32(int64_t rows, int64_t cols, const float *g, const float *x, const float *gamma,
                                       const float *mean, const float *rstd, float *gx, float *ggamma, float *gbeta) {
    const int32_t status = check_extent(rows, cols);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(cols >= 1, ND_ESIZE);
    ND_REQUIRE(rows == 0 || (g && x && mean && rstd && gx), ND_ENULL);
    if (ggamma) memset(ggamma, 0, (size_t)cols * sizeof *ggamma);
    if (gbeta) memset(gbeta, 0, (size_t)cols * sizeof *gbeta);
    for (int64_t first = 0; first < rows; first += ND_ROW_BLOCK) {
        const int64_t count = rows - first < ND_ROW_BLOCK ? rows - first : ND_ROW_BLOCK, at = first * cols;
        for (int64_t r = 0; r < count; r++)
            norm_bwd_row(cols, g + at + r * cols, x + at + r * cols, gamma, mean[first + r], rstd[first + r],
                         gx + at + r * cols);
        if (ggamma) add_gamma_sums(count, cols, g + at, x + at, mean + first, rstd + first, ggamma);
        if (gbeta) add_column_sums(count, cols, g + at, gbeta);
    }
    return ND_OK;
}
