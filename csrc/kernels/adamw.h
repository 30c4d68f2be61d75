/* nd_adamw_f32: one AdamW step on n parameters, in place on p, m and v, in PyTorch's order of operations.
 *
 *     g' = grad_scale g
 *     p  = p - (lr weight_decay) p
 *     m  = beta1 m + (1 - beta1) g'
 *     v  = beta2 v + (1 - beta2) g'^2
 *     p  = p - (lr / bias_correction1) m / (sqrt(v) / sqrt(bias_correction2) + eps)
 *
 * The coefficients lr weight_decay, 1 - beta1, 1 - beta2, lr / bias_correction1 and 1 / sqrt(bias_correction2) are
 * formed in double and rounded to float once; each line is then at most one product and one fused multiply-add. The
 * decay is subtracted, not multiplied as p (1 - lr weight_decay): that factor is so near 1 that its rounding is a bias.
 * ND_EVALUE when a hyperparameter is NaN or a bias correction is not positive. p, g, m, v must not overlap.
 */

typedef struct {
    vf decay, beta1, one_minus_beta1, beta2, one_minus_beta2, step, inv_sqrt_bc2, eps, scale;
} adamw_coef;

/* The new p; m and v are updated in place. */
static inline vf adamw_step(const adamw_coef *c, vf p, vf g, vf *m, vf *v) {
    g = vf_mul(g, c->scale);
    p = vf_fnma(c->decay, p, p);
    *m = vf_fma(c->one_minus_beta1, g, vf_mul(c->beta1, *m));
    *v = vf_fma(c->one_minus_beta2, vf_mul(g, g), vf_mul(c->beta2, *v));
    return vf_fnma(c->step, vf_div(*m, vf_fma(vf_sqrt(*v), c->inv_sqrt_bc2, c->eps)), p);
}

static int32_t k_nd_adamw_f32(int64_t n, float *p, const float *g, float *m, float *v, double lr, double beta1,
                              double beta2, double eps, double weight_decay, double bias_correction1,
                              double bias_correction2, double grad_scale) {
    ND_REQUIRE(n >= 0, ND_ESIZE);
    ND_REQUIRE(n == 0 || (p && g && m && v), ND_ENULL);
    ND_REQUIRE(lr == lr && beta1 == beta1 && beta2 == beta2 && eps == eps && weight_decay == weight_decay, ND_EVALUE);
    ND_REQUIRE(bias_correction1 > 0.0 && bias_correction2 > 0.0 && grad_scale == grad_scale, ND_EVALUE);
    const adamw_coef c = {
        vf_set1((float)(lr * weight_decay)), vf_set1((float)beta1), vf_set1((float)(1.0 - beta1)),
        vf_set1((float)beta2), vf_set1((float)(1.0 - beta2)), vf_set1((float)(lr / bias_correction1)),
        vf_set1((float)(1.0 / sqrt(bias_correction2))), vf_set1((float)eps), vf_set1((float)grad_scale),
    };
    int64_t i = 0;
    for (; i + ND_W <= n; i += ND_W) {
        vf mi = vf_load(m + i), vi_ = vf_load(v + i);
        const vf pi = adamw_step(&c, vf_load(p + i), vf_load(g + i), &mi, &vi_);
        vf_store(p + i, pi);
        vf_store(m + i, mi);
        vf_store(v + i, vi_);
    }
    if (i < n) {
        const int left = (int)(n - i);
        vf mi = vf_load_part(m + i, left), vi_ = vf_load_part(v + i, left);
        const vf pi = adamw_step(&c, vf_load_part(p + i, left), vf_load_part(g + i, left), &mi, &vi_);
        vf_store_part(p + i, pi, left);
        vf_store_part(m + i, mi, left);
        vf_store_part(v + i, vi_, left);
    }
    return ND_OK;
}
