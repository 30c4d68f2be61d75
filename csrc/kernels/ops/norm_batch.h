/* batch_norm(x [B, C, *S], weight [C], bias [C]; eps) -> out, mean [C], var [C]: for each channel the mean over all
 *     other axes, then the variance about it (divided by the count), out = (x - mean) (weight / sqrt(var + eps)) +
 *     bias. out may be x.
 * batch_norm_bwd(g, x, weight, mean, var; eps) -> gx, gweight [C], gbias [C]: with d = x - mean, r = 1 / sqrt(var +
 *     eps) and n values a channel, gbias = sum of g, gweight = r (sum of g d),
 *     gx = r weight (g - gbias / n - d gweight r / n). gx may be g or x.
 *
 * Order of a channel's sum: blocks of 64 images in order; in a block 16 lanes, lane l taking the places l, l + 16, ...
 * of S of one image after the other, and the fixed tree. Without S (x [B, C]) that is one image after the other, and
 * the lanes of a register are channels. Channels run in parallel.
 */

/* k: [0] images, [1] channels, [2] places of S, [3] = 1 for x [B, C]. The first `full` inputs and the first output are
   like x, the other operands vectors. */
static int32_t batch_norm_operands(nd_call *c, int full) {
    const nd_view *x = c->view[0];
    ND_REQUIRE(x->rank >= 2, ND_ESIZE);
    for (int i = 0; i < c->n_in + c->n_out; i++) {
        const nd_view *v = c->view[i];
        ND_REQUIRE(nd_dense(v), ND_ESIZE);
        if (i < full || i == c->n_in) ND_REQUIRE(nd_same_dims(v, x), ND_ESIZE);
        else ND_REQUIRE(v->rank == 1 && v->dims[0] == x->dims[1], ND_ESIZE);
    }
    c->k[0] = x->dims[0];
    c->k[1] = x->dims[1];
    ND_REQUIRE(rows_product(x, 2, x->rank, &c->k[2]), ND_ESIZE);
    ND_REQUIRE(c->n_attr == 1 && nd_attr_f64(c, 0) >= 0.0, ND_EVALUE);
    if (c->k[2] == 0) c->k[0] = 0; /* nothing to walk over */
    c->k[3] = c->k[2] == 1;
    return ND_OK;
}

static int32_t op_batch_norm_prepare(nd_call *c) {
    const int32_t status = rows_check(c, 3, 3, 1, 0);
    ND_REQUIRE(status == ND_OK, status);
    return batch_norm_operands(c, 1);
}

static int32_t op_batch_norm_bwd_prepare(nd_call *c) {
    const int32_t status = rows_check(c, 5, 3, 1, 0);
    ND_REQUIRE(status == ND_OK, status);
    return batch_norm_operands(c, 2);
}

/* What is summed over a channel: x, or the square of x - mean. */
enum { BN_SUM = 0, BN_SQUARES = 1 };

static inline vf bn_term(int kind, vf acc, vf x, vf mean) {
    if (kind == BN_SUM) return vf_add(acc, x);
    const vf d = vf_sub(x, mean);
    return vf_fma(d, d, acc);
}

/* One image's part of a lanes16 sum; absent elements read as the mean (of a sum: 0). */
static inline void bn_add(int kind, lanes16 *acc, int64_t n, const float *x, vf mean) {
    int64_t i = 0;
    for (; i + ND_LANES <= n; i += ND_LANES) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++) acc->r[k] = bn_term(kind, acc->r[k], vf_load(x + i + k * ND_W), mean);
    }
    if (i < n) {
        const vf fill = kind == BN_SUM ? vf_set1(0.0f) : mean;
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++)
            acc->r[k] = bn_term(kind, acc->r[k], load_tail(x + i, (int)(n - i), k, fill), mean);
    }
}

/* A channel of [images, C, places]; x is its first element, `step` the distance of images. */
static inline float bn_channel(int kind, int64_t images, int64_t places, int64_t step, const float *x, float mean) {
    float total = 0.0f;
    for (int64_t b = 0; b < images; b += ND_ROW_BLOCK) {
        const int64_t end = images - b < ND_ROW_BLOCK ? images : b + ND_ROW_BLOCK;
        lanes16 acc = lanes_zero();
        for (int64_t j = b; j < end; j++) bn_add(kind, &acc, places, x + j * step, vf_set1(mean));
        total += lanes_sum(acc);
    }
    return total;
}

/* The same for `left` neighbouring channels of [images, C]. */
static inline vf bn_columns(int kind, int64_t images, int64_t step, const float *x, vf mean, int left) {
    vf total = vf_set1(0.0f);
    for (int64_t b = 0; b < images; b += ND_ROW_BLOCK) {
        const int64_t end = images - b < ND_ROW_BLOCK ? images : b + ND_ROW_BLOCK;
        vf acc = vf_set1(0.0f);
        for (int64_t j = b; j < end; j++) acc = bn_term(kind, acc, load_left(x + j * step, left), mean);
        total = vf_add(total, acc);
    }
    return total;
}

static inline vf bn_scale(vf weight, vf var, vf eps) {
    return vf_mul(vf_div(vf_set1(1.0f), vf_sqrt(vf_add(var, eps))), weight);
}

static void batch_norm_columns(const rows_work *w, int64_t first, int64_t end, int worker) {
    const int64_t images = w->call->k[0], channels = w->call->k[1];
    const float *x = w->data[0], *weight = w->data[1], *bias = w->data[2];
    float *out = w->data[3], *mean = w->data[4], *var = w->data[5];
    const vf eps = vf_set1((float)nd_attr_f64(w->call, 0)), count = vf_set1((float)images);
    (void)worker;
    for (int64_t c = first * ND_LANES; c < end * ND_LANES && c < channels; c += ND_W) {
        const int left = channels - c < ND_W ? (int)(channels - c) : ND_W;
        const vf m = vf_div(bn_columns(BN_SUM, images, channels, x + c, vf_set1(0.0f), left), count);
        const vf v = vf_div(bn_columns(BN_SQUARES, images, channels, x + c, m, left), count);
        const vf scale = bn_scale(load_left(weight + c, left), v, eps), shift = load_left(bias + c, left);
        for (int64_t at = c; at < images * channels; at += channels)
            store_left(out + at, vf_fma(vf_sub(load_left(x + at, left), m), scale, shift), left);
        store_left(mean + c, m, left);
        store_left(var + c, v, left);
    }
}

static void batch_norm_channels(const rows_work *w, int64_t first, int64_t end, int worker) {
    const int64_t images = w->call->k[0], places = w->call->k[2], step = w->call->k[1] * places;
    const float *x = w->data[0], *weight = w->data[1], *bias = w->data[2];
    float *out = w->data[3], *mean = w->data[4], *var = w->data[5];
    const vf eps = vf_set1((float)nd_attr_f64(w->call, 0));
    const float count = (float)(images * places);
    (void)worker;
    for (int64_t c = first; c < end; c++) {
        const float m = bn_channel(BN_SUM, images, places, step, x + c * places, 0.0f) / count;
        const float v = bn_channel(BN_SQUARES, images, places, step, x + c * places, m) / count;
        const vf mu = vf_set1(m), scale = bn_scale(vf_set1(weight[c]), vf_set1(v), eps), shift = vf_set1(bias[c]);
        for (int64_t b = 0; b < images; b++) {
            const float *from = x + b * step + c * places;
            float *to = out + b * step + c * places;
            for (int64_t i = 0; i < places; i += ND_W) {
                const int left = places - i < ND_W ? (int)(places - i) : ND_W;
                store_left(to + i, vf_fma(vf_sub(load_left(from + i, left), mu), scale, shift), left);
            }
        }
        mean[c] = m;
        var[c] = v;
    }
}

static int64_t bn_units(const nd_call *c) { return c->k[3] ? (c->k[1] + ND_LANES - 1) / ND_LANES : c->k[1]; }

static int32_t op_batch_norm_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    rows_work w = ROWS_WORK(c, data, scratch, persist, bn_units(c), c->k[3] ? batch_norm_columns : batch_norm_channels);
    rows_run(&w, 1.0 * (double)c->k[0] * (double)c->k[1] * (double)c->k[2]);
    return ND_OK;
}

/* Adds g to `sum` and g d to `dot` for one image of a channel. */
static inline void bn_bwd_add(lanes16 *sum, lanes16 *dot, int64_t n, const float *g, const float *x, vf mean) {
    const vf zero = vf_set1(0.0f);
    int64_t i = 0;
    for (; i + ND_LANES <= n; i += ND_LANES) {
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++)
            add_projection(&sum->r[k], &dot->r[k], vf_load(g + i + k * ND_W),
                           vf_sub(vf_load(x + i + k * ND_W), mean));
    }
    if (i < n) {
        const int left = (int)(n - i);
        ND_UNROLL
        for (int k = 0; k < ND_REGS; k++)
            add_projection(&sum->r[k], &dot->r[k], load_tail(g + i, left, k, zero),
                           vf_sub(load_tail(x + i, left, k, mean), mean));
    }
}

/* gx = scale (g - shift - d slope) */
static inline vf bn_bwd_term(vf g, vf d, vf scale, vf shift, vf slope) {
    return vf_mul(scale, vf_fnma(d, slope, vf_sub(g, shift)));
}

static void batch_norm_bwd_columns(const rows_work *w, int64_t first, int64_t end, int worker) {
    const int64_t images = w->call->k[0], channels = w->call->k[1];
    const float *g = w->data[0], *x = w->data[1], *weight = w->data[2], *mean = w->data[3], *var = w->data[4];
    float *gx = w->data[5], *gweight = w->data[6], *gbias = w->data[7];
    const vf eps = vf_set1((float)nd_attr_f64(w->call, 0)), zero = vf_set1(0.0f);
    const vf share = vf_set1(1.0f / (float)(images ? images : 1));
    (void)worker;
    for (int64_t c = first * ND_LANES; c < end * ND_LANES && c < channels; c += ND_W) {
        const int left = channels - c < ND_W ? (int)(channels - c) : ND_W;
        const vf m = load_left(mean + c, left), r = bn_scale(vf_set1(1.0f), load_left(var + c, left), eps);
        vf sum = zero, dot = zero;
        for (int64_t b = 0; b < images; b += ND_ROW_BLOCK) {
            const int64_t stop = (images - b < ND_ROW_BLOCK ? images : b + ND_ROW_BLOCK) * channels;
            vf s = zero, d = zero;
            for (int64_t at = b * channels + c; at < stop; at += channels)
                add_projection(&s, &d, load_left(g + at, left), vf_sub(load_left(x + at, left), m));
            sum = vf_add(sum, s);
            dot = vf_add(dot, d);
        }
        const vf gw = vf_mul(dot, r), scale = vf_mul(r, load_left(weight + c, left));
        const vf shift = vf_mul(sum, share), slope = vf_mul(vf_mul(gw, r), share);
        for (int64_t at = c; at < images * channels; at += channels) {
            const vf d = vf_sub(load_left(x + at, left), m);
            store_left(gx + at, bn_bwd_term(load_left(g + at, left), d, scale, shift, slope), left);
        }
        store_left(gweight + c, gw, left);
        store_left(gbias + c, sum, left);
    }
}

static void batch_norm_bwd_channels(const rows_work *w, int64_t first, int64_t end, int worker) {
    const int64_t images = w->call->k[0], places = w->call->k[2], step = w->call->k[1] * places;
    const float *g = w->data[0], *x = w->data[1], *weight = w->data[2], *mean = w->data[3], *var = w->data[4];
    float *gx = w->data[5], *gweight = w->data[6], *gbias = w->data[7];
    const float eps = (float)nd_attr_f64(w->call, 0), share = 1.0f / (float)(images * places > 0 ? images * places : 1);
    (void)worker;
    for (int64_t c = first; c < end; c++) {
        const vf m = vf_set1(mean[c]);
        const float r = 1.0f / sqrtf(var[c] + eps);
        float sum = 0.0f, dot = 0.0f;
        for (int64_t b = 0; b < images; b += ND_ROW_BLOCK) {
            const int64_t stop = images - b < ND_ROW_BLOCK ? images : b + ND_ROW_BLOCK;
            lanes16 s = lanes_zero(), d = lanes_zero();
            for (int64_t j = b; j < stop; j++)
                bn_bwd_add(&s, &d, places, g + j * step + c * places, x + j * step + c * places, m);
            sum += lanes_sum(s);
            dot += lanes_sum(d);
        }
        const float gw = dot * r;
        const vf scale = vf_set1(r * weight[c]), shift = vf_set1(sum * share), slope = vf_set1(gw * r * share);
        for (int64_t b = 0; b < images; b++) {
            const int64_t at = b * step + c * places;
            for (int64_t i = 0; i < places; i += ND_W) {
                const int left = places - i < ND_W ? (int)(places - i) : ND_W;
                const vf d = vf_sub(load_left(x + at + i, left), m);
                store_left(gx + at + i, bn_bwd_term(load_left(g + at + i, left), d, scale, shift, slope), left);
            }
        }
        gweight[c] = gw;
        gbias[c] = sum;
    }
}

static int32_t op_batch_norm_bwd_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    rows_work w = ROWS_WORK(c, data, scratch, persist, bn_units(c),
                            c->k[3] ? batch_norm_bwd_columns : batch_norm_bwd_channels);
    rows_run(&w, 1.5 * (double)c->k[0] * (double)c->k[1] * (double)c->k[2]);
    return ND_OK;
}
