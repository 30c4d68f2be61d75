/* One optimizer step on one parameter, with all numbers read at run time. Arrays are dense float32 of the parameter's
 * size; hyper is float64; control is float64 [2] = (norm, scale) as sumsq_scale gives it, or absent (scale 1). A scale that
 * is NaN leaves everything as it is. sign (1, or -1 to climb) times scale multiplies the gradient: "scale" below. Outputs
 * are the new values, in any of the inputs' memory or elsewhere.
 *
 * adamw(p, g, m, v, hyper, control; l2) -> p, m, v
 *      hyper = (lr, beta1, beta2, eps, weight_decay, bias_correction1, bias_correction2, sign). nd_adamw_f32's bits, with
 *      l2 those of nd_adamw_f32 without decay on the gradient scale g + weight_decay p.
 * adamw_amsgrad(p, g, m, v, vmax, hyper, control; l2) -> p, m, v, vmax
 *      The same with max(vmax, v), NaN if one is, in the place of v under the root.
 * sgd(p, g, b, hyper, control; nesterov) -> p, b
 *      hyper = (lr, momentum, dampening, weight_decay, first, sign). g' = scale g + weight_decay p; b = g' where first is
 *      not 0, else momentum b + (1 - dampening) g'; p - lr b, or p - lr (g' + momentum b) with nesterov. Without b (absent
 *      on both sides), or where momentum is 0, p - lr g' and b as it was.
 * rmsprop(p, g, v, mean, b, hyper, control; centered) -> p, v, mean, b
 *      hyper = (lr, alpha, eps, weight_decay, momentum, sign). g' as above; v = alpha v + (1 - alpha) g'^2; with centered,
 *      mean = alpha mean + (1 - alpha) g' and max(v - mean^2, 0) in the place of v; d = g' / (sqrt(v) + eps); p - lr d, or
 *      with b (absent otherwise) and momentum not 0: b = momentum b + d, p - lr b. mean is absent when not centered.
 *
 * All but adamw round after every operation, in the order of ndiv/optim: the bits of NumPy's float32. Coefficients are
 * formed in double and rounded once. ND_EVALUE when run for numbers that are NaN or a bias correction that is not positive.
 */
#ifndef ND_OPS_OPTIM_H
#define ND_OPS_OPTIM_H

enum { OPTIM_ARRAYS = 5 };

typedef struct {
    int64_t n, tasks;
    const float *in[OPTIM_ARRAYS]; /* p, g, state ... (NULL: absent) */
    float *out[OPTIM_ARRAYS];      /* p, unused, state ... */
    int flag, skip;                /* the attribute; 1: nothing changes */
    int decays, scales, first, moves; /* whether weight_decay, scale and momentum are in force; sgd's first step */
    float adam[ADAMW_NUMBERS];
    float lr, decay, scale, one, two, three, four; /* of sgd and rmsprop; decay and scale also for l2 */
} optim_step;

/* The same numbers as vectors. */
typedef struct {
    adamw_coef adam;
    vf lr, decay, scale, one, two, three, four;
    int flag, decays, scales, first, moves;
} optim_vectors;

static inline optim_vectors optim_spread(const optim_step *s) {
    const optim_vectors v = {adamw_spread(s->adam), vf_set1(s->lr), vf_set1(s->decay), vf_set1(s->scale), vf_set1(s->one),
                             vf_set1(s->two), vf_set1(s->three), vf_set1(s->four), s->flag, s->decays, s->scales, s->first,
                             s->moves};
    return v;
}

/* --- one vector of each ----------------------------------------------------------------------------------------- */

static inline vf optim_max(vf a, vf b) { /* NaN where either is */
    return vf_blend(vf_eq(a, a), vf_max(a, b), a);
}

/* x = (p, g, state ...), replaced by the new values. */
static inline void optim_adamw(const optim_vectors *s, vf *x) {
    const vf g = s->decays ? vf_add(vf_mul(x[1], s->scale), vf_mul(x[0], s->decay)) : x[1];
    x[0] = adamw_step(&s->adam, x[0], g, &x[2], &x[3]);
}

static inline void optim_amsgrad(const optim_vectors *s, vf *x) {
    const adamw_coef *c = &s->adam;
    vf g = s->decays ? vf_add(vf_mul(x[1], s->scale), vf_mul(x[0], s->decay)) : x[1];
    g = vf_mul(g, c->scale);
    const vf p = vf_sub(x[0], vf_mul(c->decay, x[0]));
    x[2] = vf_add(vf_mul(x[2], c->beta1), vf_mul(c->one_minus_beta1, g));
    x[3] = vf_add(vf_mul(x[3], c->beta2), vf_mul(c->one_minus_beta2, vf_mul(g, g)));
    x[4] = optim_max(x[4], x[3]);
    const vf root = vf_add(vf_mul(vf_sqrt(x[4]), c->inv_sqrt_bc2), c->eps);
    x[0] = vf_sub(p, vf_mul(c->step, vf_div(x[2], root)));
}

/* The gradient that sgd and rmsprop go by. */
static inline vf optim_gradient(const optim_vectors *s, const vf *x) {
    const vf g = s->scales ? vf_mul(x[1], s->scale) : x[1];
    return s->decays ? vf_add(g, vf_mul(s->decay, x[0])) : g;
}

/* one: momentum, two: 1 - dampening */
static inline void optim_sgd(const optim_vectors *s, vf *x) {
    vf g = optim_gradient(s, x);
    if (s->moves) {
        x[2] = s->first ? g : vf_add(vf_mul(x[2], s->one), vf_mul(s->two, g));
        g = s->flag ? vf_add(g, vf_mul(s->one, x[2])) : x[2];
    }
    x[0] = vf_sub(x[0], vf_mul(s->lr, g));
}

/* one: alpha, two: 1 - alpha, three: eps, four: momentum */
static inline void optim_rmsprop(const optim_vectors *s, vf *x) {
    const vf g = optim_gradient(s, x);
    vf spread = x[2] = vf_add(vf_mul(x[2], s->one), vf_mul(s->two, vf_mul(g, g)));
    if (s->flag) {
        x[3] = vf_add(vf_mul(x[3], s->one), vf_mul(s->two, g));
        spread = vf_max(vf_set1(0.0f), vf_sub(spread, vf_mul(x[3], x[3])));
    }
    vf step = vf_div(g, vf_add(vf_sqrt(spread), s->three));
    if (s->moves) step = x[4] = vf_add(vf_mul(x[4], s->four), step);
    x[0] = vf_sub(x[0], vf_mul(s->lr, step));
}

/* --- the loop --------------------------------------------------------------------------------------------------- */

/* In vectors; everything is read before anything is written, as memory may be exchanged. */
#define OPTIM_LOOP(name, arrays)                                                                              \
    static void optim_##name##_task(void *context, int64_t t, int worker) {                                   \
        const optim_step *s = context;                                                                        \
        const optim_vectors v = optim_spread(s);                                                              \
        const int64_t units = (s->n + 1023) / 1024, first = 1024 * data_share(units, s->tasks, t);            \
        const int64_t end = 1024 * data_share(units, s->tasks, t + 1), last = end < s->n ? end : s->n;        \
        const float *in[arrays];                                                                              \
        float *out[arrays];                                                                                   \
        const int skip = s->skip;                                                                             \
        (void)worker;                                                                                         \
        ND_UNROLL                                                                                             \
        for (int k = 0; k < (arrays); k++) in[k] = s->in[k], out[k] = s->out[k];                              \
        for (int64_t i = first; i < last; i += ND_W) {                                                        \
            const int left = last - i < ND_W ? (int)(last - i) : ND_W;                                        \
            vf x[OPTIM_ARRAYS];                                                                               \
            ND_UNROLL                                                                                         \
            for (int k = 0; k < (arrays); k++) x[k] = in[k] ? load_left(in[k] + i, left) : vf_set1(0.0f);     \
            if (!skip) optim_##name(&v, x);                                                                   \
            ND_UNROLL                                                                                         \
            for (int k = 0; k < (arrays); k++)                                                                \
                if (out[k]) store_left(out[k] + i, x[k], left);                                               \
        }                                                                                                     \
    }
OPTIM_LOOP(adamw, 4)
OPTIM_LOOP(amsgrad, 5)
OPTIM_LOOP(sgd, 3)
OPTIM_LOOP(rmsprop, 5)

/* p, g, state: inputs 0 .. arrays - 1; then hyper of `numbers` doubles and control; outputs p and the state. Those that
   `optional` names (bit k: array k) may be absent, on both sides. */
static int32_t optim_check(nd_call *c, int arrays, int numbers, uint32_t optional) {
    ND_REQUIRE(c->n_in == arrays + 2 && c->n_out == arrays - 1 && c->n_attr == 1, ND_EVALUE);
    ND_REQUIRE(c->attr[0] == 0 || c->attr[0] == 1, ND_EVALUE);
    ND_REQUIRE(c->view[0], ND_ENULL);
    const int64_t n = data_count(c->view[0]);
    for (int k = 0; k < arrays; k++) {
        const nd_view *x = c->view[k], *out = k == 1 ? 0 : c->view[c->n_in + (k ? k - 1 : 0)];
        if (!x && !out && optional >> k & 1) continue;
        ND_REQUIRE(x && (out || k == 1), ND_ENULL);
        ND_REQUIRE(data_dense(x, ND_F32, n) && (k == 1 || data_dense(out, ND_F32, n)), ND_ESIZE);
    }
    ND_REQUIRE(c->view[arrays], ND_ENULL);
    ND_REQUIRE(data_dense(c->view[arrays], ND_F64, numbers), ND_ESIZE);
    ND_REQUIRE(!c->view[arrays + 1] || data_dense(c->view[arrays + 1], ND_F64, 2), ND_ESIZE);
    c->k[0] = n;
    return ND_OK;
}

/* Addresses, and the scale of the gradient: NaN when nothing shall change. */
static double optim_begin(const nd_call *c, void *const *data, int arrays, double sign, optim_step *s) {
    memset(s, 0, sizeof *s);
    s->n = c->k[0];
    s->flag = (int)c->attr[0];
    for (int k = 0; k < arrays; k++) {
        s->in[k] = c->view[k] ? data[k] : 0;
        if (k != 1) s->out[k] = s->in[k] ? data[c->n_in + (k ? k - 1 : 0)] : 0;
    }
    const double scale = c->view[arrays + 1] ? ((const double *)data[arrays + 1])[1] : 1.0;
    s->skip = scale != scale;
    return sign * scale;
}

static int32_t optim_go(const nd_call *c, optim_step *s, void (*task)(void *, int64_t, int)) {
    s->tasks = data_tasks(c, s->n, (s->n + 1023) / 1024);
    if (s->n == 0) return ND_OK;
    if (s->tasks > 1) nd_parallel(s->tasks, task, s);
    else task(s, 0, 0);
    return ND_OK;
}

/* The numbers of adamw and adamw_amsgrad; with l2, scale and decay act on the gradient first. */
static int32_t optim_adam_numbers(const double *h, double scale, optim_step *s) {
    if (s->skip) return ND_OK;
    s->scale = (float)scale;
    s->decay = (float)h[4];
    s->decays = s->flag && h[4] != 0.0;
    ND_REQUIRE(scale == scale && h[4] == h[4], ND_EVALUE);
    return adamw_numbers(h[0], h[1], h[2], h[3], s->flag ? 0.0 : h[4], h[5], h[6], s->decays ? 1.0 : scale, s->adam)
               ? ND_OK : ND_EVALUE;
}

static int32_t op_adamw_prepare(nd_call *c) { return optim_check(c, 4, 8, 0); }

static int32_t op_adamw_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const double *h = data[4];
    optim_step s;
    (void)scratch;
    (void)persist;
    const double scale = optim_begin(c, data, 4, h[7], &s);
    const int32_t status = optim_adam_numbers(h, scale, &s);
    return status == ND_OK ? optim_go(c, &s, optim_adamw_task) : status;
}

static int32_t op_adamw_amsgrad_prepare(nd_call *c) { return optim_check(c, 5, 8, 0); }

static int32_t op_adamw_amsgrad_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const double *h = data[5];
    optim_step s;
    (void)scratch;
    (void)persist;
    const double scale = optim_begin(c, data, 5, h[7], &s);
    const int32_t status = optim_adam_numbers(h, scale, &s);
    return status == ND_OK ? optim_go(c, &s, optim_amsgrad_task) : status;
}

static int32_t op_sgd_prepare(nd_call *c) { return optim_check(c, 3, 6, 1u << 2); }

static int32_t op_sgd_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const double *h = data[3];
    optim_step s;
    (void)scratch;
    (void)persist;
    const double scale = optim_begin(c, data, 3, h[5], &s);
    for (int i = 0; i < 5; i++) ND_REQUIRE(h[i] == h[i] || s.skip, ND_EVALUE);
    ND_REQUIRE(scale == scale || s.skip, ND_EVALUE);
    s.lr = (float)h[0];
    s.one = (float)h[1];
    s.two = (float)(1.0 - h[2]);
    s.decay = (float)h[3];
    s.scale = (float)scale;
    s.decays = h[3] != 0.0;
    s.scales = scale != 1.0;
    s.first = h[4] != 0.0;
    s.moves = h[1] != 0.0 && s.in[2];
    return optim_go(c, &s, optim_sgd_task);
}

static int32_t op_rmsprop_prepare(nd_call *c) {
    const int32_t status = optim_check(c, 5, 6, 1u << 3 | 1u << 4);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE((c->attr[0] != 0) == (c->view[3] != 0), ND_ENULL);
    return ND_OK;
}

static int32_t op_rmsprop_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const double *h = data[5];
    optim_step s;
    (void)scratch;
    (void)persist;
    const double scale = optim_begin(c, data, 5, h[5], &s);
    for (int i = 0; i < 5; i++) ND_REQUIRE(h[i] == h[i] || s.skip, ND_EVALUE);
    ND_REQUIRE(scale == scale || s.skip, ND_EVALUE);
    s.lr = (float)h[0];
    s.one = (float)h[1];
    s.two = (float)(1.0 - h[1]);
    s.three = (float)h[2];
    s.decay = (float)h[3];
    s.four = (float)h[4];
    s.scale = (float)scale;
    s.decays = h[3] != 0.0;
    s.scales = scale != 1.0;
    s.moves = h[4] != 0.0 && s.in[4];
    return optim_go(c, &s, optim_rmsprop_task);
}

/* Inputs whose memory an output may take: everything but the gradient and the numbers. */
#define ND_OPS_OPTIM(X) \
    X(adamw, 0xd, 0) \
    X(adamw_amsgrad, 0x1d, 0) \
    X(sgd, 0x5, 0) \
    X(rmsprop, 0x1d, 0)
#endif
