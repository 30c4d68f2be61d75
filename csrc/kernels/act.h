/* Activations and their derivatives: act_NAME(z) is the function of z = x + bias; grad_NAME(g, s) is the gradient for z
   from the gradient g of the output and the one array s that was saved: the output where the derivative is a short
   expression of it, z for silu, softplus, gelu and gelu_tanh.
   At a kink (relu, leaky_relu, elu, selu at 0) the derivative is the one from the left. */
#ifndef ND_ACT_H
#define ND_ACT_H

#define ND_LEAKY_SLOPE 0.01f

static inline vf act_identity(vf z) { return z; }
static inline vf grad_identity(vf g, vf s) { (void)s; return g; }

static inline vf act_relu(vf z) { return vf_max(vf_set1(0.0f), z); }
static inline vf grad_relu(vf g, vf s) { return vf_blend(vf_gt(s, vf_set1(0.0f)), g, vf_set1(0.0f)); }

static inline vf act_leaky_relu(vf z) {
    return vf_blend(vf_gt(z, vf_set1(0.0f)), z, vf_mul(z, vf_set1(ND_LEAKY_SLOPE)));
}
static inline vf grad_leaky_relu(vf g, vf s) {
    return vf_blend(vf_gt(s, vf_set1(0.0f)), g, vf_mul(g, vf_set1(ND_LEAKY_SLOPE)));
}

static inline vf act_elu(vf z) { return vf_blend(vf_gt(z, vf_set1(0.0f)), z, v_expm1(z)); }
static inline vf grad_elu(vf g, vf s) {
    return vf_blend(vf_gt(s, vf_set1(0.0f)), g, vf_mul(g, vf_add(s, vf_set1(1.0f))));
}

static inline vf act_tanh(vf z) { return v_tanh(z); }
static inline vf grad_tanh(vf g, vf s) { return vf_mul(g, vf_fnma(s, s, vf_set1(1.0f))); }

static inline vf act_sigmoid(vf z) { return v_sigmoid(z); }
static inline vf grad_sigmoid(vf g, vf s) { return vf_mul(g, vf_mul(s, vf_sub(vf_set1(1.0f), s))); }

/* The factor z of a derivative whose other factor vanishes for large |z|; the product is 0, not NaN, at infinities. */
static inline vf bounded(vf z) { return at_most(at_least(z, -1000.0f), 1000.0f); }

static inline vf act_silu(vf z) { return v_silu(z); }
static inline vf grad_silu(vf g, vf s) { /* S + z S (1 - S) */
    vf complement;
    const vf w = sigmoid_pair(s, &complement);
    return vf_mul(g, vf_fma(vf_mul(bounded(s), w), complement, w));
}

static inline vf act_softplus(vf z) { return v_softplus(z); }
static inline vf grad_softplus(vf g, vf s) { return vf_mul(g, v_sigmoid(s)); }

static inline vf act_gelu(vf z) { return v_gelu(z); }
static inline vf grad_gelu(vf g, vf s) { /* Phi(z) + z phi(z) */
    vf bell;
    const vf cdf = normal_cdf(s, &bell);
    return vf_mul(g, vf_fma(vf_mul(bounded(s), bell), vf_set1(nd_inv_sqrt_2pi), cdf));
}

/* The 2 u of v_gelu_tanh. */
static inline vf gelu_tanh_2u(vf z) { return vf_mul(z, vf_fma(vf_mul(z, z), vf_set1(nd_gelu_b), vf_set1(nd_gelu_a))); }
static inline vf act_gelu_tanh(vf z) { return v_gelu_tanh(z); }
static inline vf grad_gelu_tanh(vf g, vf s) { /* S + z S (1 - S) (A + 3 B z^2) */
    const vf z = bounded(s);
    vf complement;
    const vf w = sigmoid_pair(gelu_tanh_2u(z), &complement);
    const vf slope = vf_fma(vf_mul(z, z), vf_set1(nd_gelu_3b), vf_set1(nd_gelu_a));
    return vf_mul(g, vf_fma(vf_mul(vf_mul(z, w), complement), slope, w));
}

static inline vf act_selu(vf z) {
    return vf_blend(vf_gt(z, vf_set1(0.0f)), vf_mul(z, vf_set1(nd_selu_lambda)),
                    vf_mul(v_expm1(z), vf_set1(nd_selu_lambda_alpha)));
}
static inline vf grad_selu(vf g, vf s) {
    return vf_blend(vf_gt(s, vf_set1(0.0f)), vf_mul(g, vf_set1(nd_selu_lambda)),
                    vf_mul(g, vf_add(s, vf_set1(nd_selu_lambda_alpha))));
}

/* In the order of the ND_ACT_* codes. */
#define ND_ACTS(X) \
    X(identity) X(relu) X(leaky_relu) X(elu) X(tanh) X(sigmoid) X(silu) X(softplus) X(gelu) X(gelu_tanh) X(selu)

#endif
