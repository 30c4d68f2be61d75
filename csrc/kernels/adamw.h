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

enum { ADAMW_NUMBERS = 9 };

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

/* The coefficients of a step in the order of adamw_coef; 0 when a number is out of range. */
static int adamw_numbers(double lr, double beta1, double beta2, double eps, double weight_decay, double bias_correction1,
                         double bias_correction2, double grad_scale, float c[ADAMW_NUMBERS]) {
    if (!(lr == lr && beta1 == beta1 && beta2 == beta2 && eps == eps && weight_decay == weight_decay)) return 0;
    if (!(bias_correction1 > 0.0 && bias_correction2 > 0.0 && grad_scale == grad_scale)) return 0;
    c[0] = (float)(lr * weight_decay);
    c[1] = (float)beta1;
    c[2] = (float)(1.0 - beta1);
    c[3] = (float)beta2;
    c[4] = (float)(1.0 - beta2);
    c[5] = (float)(lr / bias_correction1);
    c[6] = (float)(1.0 / sqrt(bias_correction2));
    c[7] = (float)eps;
    c[8] = (float)grad_scale;
    return 1;
}

static inline adamw_coef adamw_spread(const float c[ADAMW_NUMBERS]) {
    const adamw_coef coef = {vf_set1(c[0]), vf_set1(c[1]), vf_set1(c[2]), vf_set1(c[3]), vf_set1(c[4]),
                             vf_set1(c[5]), vf_set1(c[6]), vf_set1(c[7]), vf_set1(c[8])};
    return coef;
}

static int32_t k_nd_adamw_f32(int64_t n, float *p, const float *g, float *m, float *v, double lr, double beta1,
                              double beta2, double eps, double weight_decay, double bias_correction1,
                              double bias_correction2, double grad_scale) {
    float numbers[ADAMW_NUMBERS];
    ND_REQUIRE(n >= 0, ND_ESIZE);
    ND_REQUIRE(n == 0 || (p && g && m && v), ND_ENULL);
    ND_REQUIRE(adamw_numbers(lr, beta1, beta2, eps, weight_decay, bias_correction1, bias_correction2, grad_scale, numbers),
               ND_EVALUE);
    const adamw_coef c = adamw_spread(numbers);
    for (int64_t i = 0; i < n; i += ND_W) {
        const int left = n - i < ND_W ? (int)(n - i) : ND_W;
        vf mi = load_left(m + i, left), vi_ = load_left(v + i, left);
        const vf pi = adamw_step(&c, load_left(p + i, left), load_left(g + i, left), &mi, &vi_);
        store_left(p + i, pi, left);
        store_left(m + i, mi, left);
        store_left(v + i, vi_, left);
    }
    return ND_OK;
}
