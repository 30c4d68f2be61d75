/* nd_sumsq_f32: *out = sum of x[i]^2, accumulated in double on 16 lanes and the fixed tree.
 *
 * Squares of floats are exact in double, so the only rounding is that of the additions: relative error below
 * (n / 16 + 4) 2^-53, and no overflow for finite x. out is never NULL; n = 0 gives 0.
 */

static int32_t k_nd_sumsq_f32(int64_t n, const float *x, double *out) {
    ND_REQUIRE(n >= 0, ND_ESIZE);
    ND_REQUIRE(out && (n == 0 || x), ND_ENULL);
    vd acc[ND_REGS];
    double t[ND_LANES];
    int64_t i = 0;
    ND_UNROLL
    for (int k = 0; k < ND_REGS; k++) acc[k] = vd_zero();
    for (; i + ND_LANES <= n; i += ND_LANES) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) acc[k] = vd_add_squares(acc[k], vf_load(x + i + k * ND_W));
    }
    if (i < n) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++)
            acc[k] = vd_add_squares(acc[k], load_tail(x + i, (int)(n - i), k, vf_set1(0.0f)));
    }
    ND_UNROLL
    for (int k = 0; k < ND_REGS; k++) vd_store(t + k * ND_W, acc[k]);
    for (int h = ND_LANES / 2; h > 0; h /= 2)
        for (int l = 0; l < h; l++) t[l] += t[l + h];
    *out = t[0];
    return ND_OK;
}
