/* conv and conv_grad_input: register tiles of CONV_CHANNELS result channels by a few registers of neighbouring outputs.
 *
 * For gx with a stride above 1 the outputs fall into sets that are a stride apart; each set meets its own kernel places and
 * is a convolution with stride 1 of its own ("job"). Weights are packed for each job and block of channels: tap after tap,
 * the channels of the block side by side. Blocks have CONV_CHANNELS channels, then 2, then 1.
 */

#if ND_W == 8
enum { CONV_CHANNELS = 4 }; /* 4 x 3 sums, 3 loads and a weight: all 16 registers */
#else
enum { CONV_CHANNELS = 8 };
#endif
enum { CONV_NARROW = 6, CONV_SINGLE = 8, CONV_SLACK = 64, CONV_CACHE = 32768 /* floats of source at a time */ };

/* One tile: `taps` terms; registers v read from[v] + place and go to to[v], of which lanes[v] count. */
typedef struct {
    int64_t taps;
    const int64_t *place;
    const float *weight;
    const float *from[CONV_SINGLE];
    float *to[CONV_SINGLE];
    int lanes[CONV_SINGLE];
    int64_t channel, step; /* from one result channel, and from one output, to the next */
} conv_tile;

static inline void conv_put(float *to, vf v, int lanes, int64_t step) {
    if (step == 1) {
        if (lanes == ND_W) vf_store(to, v);
        else if (lanes > 0) vf_store_part(to, v, lanes);
        return;
    }
    float t[ND_W];
    vf_store(t, v);
    for (int l = 0; l < lanes; l++) to[l * step] = t[l];
}

#define CONV_TILE(channels, registers)                                                                                \
    static void conv_tile_##channels(const conv_tile *t) {                                                            \
        vf acc[channels][registers];                                                                                  \
        const float *w = t->weight, *from[registers];                                                                 \
        ND_UNROLL                                                                                                     \
        for (int v = 0; v < registers; v++) from[v] = t->from[v];                                                     \
        ND_UNROLL                                                                                                     \
        for (int o = 0; o < channels; o++) {                                                                          \
            ND_UNROLL                                                                                                 \
            for (int v = 0; v < registers; v++) acc[o][v] = vf_set1(0.0f);                                            \
        }                                                                                                             \
        for (int64_t j = 0; j < t->taps; j++, w += channels) {                                                        \
            const int64_t place = t->place[j];                                                                        \
            vf x[registers];                                                                                          \
            ND_UNROLL                                                                                                 \
            for (int v = 0; v < registers; v++) x[v] = vf_load(from[v] + place);                                      \
            ND_UNROLL                                                                                                 \
            for (int o = 0; o < channels; o++) {                                                                      \
                const vf weight = vf_set1(w[o]);                                                                      \
                ND_UNROLL                                                                                             \
                for (int v = 0; v < registers; v++) acc[o][v] = vf_fma(weight, x[v], acc[o][v]);                      \
            }                                                                                                         \
        }                                                                                                             \
        ND_UNROLL                                                                                                     \
        for (int o = 0; o < channels; o++) {                                                                          \
            ND_UNROLL                                                                                                 \
            for (int v = 0; v < registers; v++)                                                                       \
                conv_put(t->to[v] + o * t->channel, acc[o][v], t->lanes[v], t->step);                                 \
        }                                                                                                             \
    }
#if ND_W == 8
CONV_TILE(4, 3)
#define conv_tile_most conv_tile_4
#else
CONV_TILE(8, 3)
#define conv_tile_most conv_tile_8
#endif
CONV_TILE(2, 6)
CONV_TILE(1, 8)

/* Block q of a group's result channels: its first channel; *width channels. */
static inline int64_t conv_block(int64_t out, int64_t q, int *width) {
    const int64_t whole = out / CONV_CHANNELS, pairs = out % CONV_CHANNELS / 2;
    if (q < whole) {
        *width = CONV_CHANNELS;
        return q * CONV_CHANNELS;
    }
    *width = q < whole + pairs ? 2 : 1;
    return whole * CONV_CHANNELS + (q - whole) * 2;
}

static inline int64_t conv_blocks(int64_t out) {
    return out / CONV_CHANNELS + out % CONV_CHANNELS / 2 + out % CONV_CHANNELS % 2;
}

/* The sets of outputs: job (top, left) has rows x cols outputs. */
static inline int64_t conv_jobs(const conv_shape *s, int axis) {
    const conv_axis *a = &s->axis[axis];
    return s->kind == CONV ? 1 : a->stride < a->n ? a->stride : a->n;
}

static inline int64_t conv_job_size(const conv_shape *s, int axis, int64_t first) {
    const conv_axis *a = &s->axis[axis];
    return s->kind == CONV ? a->m : (a->n - 1 - first) / a->stride + 1;
}

static int32_t conv_direct_read(const nd_call *c, int kind, conv_shape *s) {
    const int32_t status = conv_read(c, kind, s);
    int64_t one, all, spread;
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(rows_mul(s->groups, s->in, &one) && rows_mul(one, s->image, &one) && rows_mul(one, 4, &spread), ND_ESIZE);
    const int64_t threads = c->threads > 1 ? c->threads : 1, share = (s->batch + 2 * threads - 1) / (2 * threads);
    s->some = one ? CONV_CACHE / one : s->batch;
    if (threads > 1 && s->some > share) s->some = share;
    if (s->some > s->batch) s->some = s->batch;
    if (s->some < 1) s->some = 1;
    ND_REQUIRE(rows_mul(one, s->some, &all) && rows_mul(all + CONV_SLACK, sizeof(float), &all), ND_ESIZE);
    s->bytes_worker = nd_align64(all);
    ND_REQUIRE(rows_mul(s->taps, sizeof(int64_t), &all), ND_ESIZE);
    s->bytes_taps = nd_align64(all);
    ND_REQUIRE(rows_mul(s->groups, s->out, &all) && rows_mul(all, s->taps, &all) && rows_mul(all, sizeof(float), &all), ND_ESIZE);
    s->bytes_weights = nd_align64(all);
    return ND_OK;
}

/* Packs the weights of all jobs, and leaves the taps' places in the source. */
static void conv_pack_weights(const conv_shape *s, const float *w, int64_t *taps, float *packed) {
    const int64_t *ws = s->w->strides, next = s->kind == CONV_INPUT ? ws[1] : ws[0];
    const int64_t group = s->kind == CONV_INPUT ? s->in * ws[0] : s->out * ws[0];
    int64_t at = 0;
    for (int64_t top = 0; top < conv_jobs(s, 0); top++)
        for (int64_t left = 0; left < conv_jobs(s, 1); left++) {
            const int64_t count = conv_taps(s, top, left, 0, taps + at);
            for (int64_t g = 0; g < s->groups; g++) {
                float *to = packed + g * s->out * s->taps + at * s->out;
                for (int64_t q = 0; q < conv_blocks(s->out); q++) {
                    int width;
                    const float *from = w + g * group + conv_block(s->out, q, &width) * next;
                    for (int64_t j = at; j < at + count; j++)
                        for (int o = 0; o < width; o++) *to++ = from[taps[j] + o * next];
                }
            }
            conv_taps(s, top, left, taps + at, 0);
            at += count;
        }
}

/* Taps and packed weights lie in scratch, or persist where the weights are constant; a source for each worker follows. */
static int32_t conv_direct_prepare(nd_call *c, int kind) {
    conv_shape s;
    int64_t workers;
    const int32_t status = conv_direct_read(c, kind, &s);
    ND_REQUIRE(status == ND_OK, status);
    const int64_t packed = s.bytes_taps + s.bytes_weights;
    ND_REQUIRE(rows_mul(s.bytes_worker, c->threads > 1 ? c->threads : 1, &workers), ND_ESIZE);
    ND_REQUIRE(packed < INT64_MAX / 64 && workers < INT64_MAX / 64, ND_ESIZE);
    c->persist = s.w->flags & ND_CONSTANT ? packed : 0;
    c->scratch = workers + packed - c->persist;
    return ND_OK;
}

static int32_t conv_direct_pack(const nd_call *c, int kind, void *const *data, void *persist) {
    conv_shape s;
    const int32_t status = conv_direct_read(c, kind, &s);
    ND_REQUIRE(status == ND_OK, status);
    conv_pack_weights(&s, data[1], persist, (float *)(void *)((char *)persist + s.bytes_taps));
    return ND_OK;
}

typedef struct {
    const conv_shape *shape;
    const int64_t *places;
    const float *weights;
    int64_t parts; /* into which the blocks of channels are split */
} conv_plan;

/* All outputs of a job for one block of channels, over `images` images whose source is at `source`. */
static void conv_run_block(const conv_shape *s, conv_tile *t, int width, const float *source, int64_t images, int64_t rows,
                           int64_t cols, int64_t row_step, float *out) {
    const int most = width == 1 ? CONV_SINGLE : width == 2 ? CONV_NARROW : 3;
    const int64_t pitch = s->axis[1].positions, channels = s->groups * s->in * s->image;
    const int64_t full = s->groups * s->out * t->channel;
    int v = 0;
    for (int64_t b = 0; b < images; b++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j += ND_W) {
                t->from[v] = source + b * channels + i * pitch + j;
                t->to[v] = out + b * full + i * row_step + j * t->step;
                t->lanes[v] = cols - j < ND_W ? (int)(cols - j) : ND_W;
                v++;
                const int last = b == images - 1 && i == rows - 1 && j + ND_W >= cols;
                if (v < most && !last) continue;
                for (; v < most; v++) { /* registers without outputs */
                    t->from[v] = t->from[0];
                    t->to[v] = t->to[0];
                    t->lanes[v] = 0;
                }
                if (width == CONV_CHANNELS) conv_tile_most(t);
                else if (width == 2) conv_tile_2(t);
                else conv_tile_1(t);
                v = 0;
            }
}

/* The blocks first .. end - 1 (over groups and blocks) of one chunk of images. */
static void conv_run_blocks(const conv_plan *p, const float *source, int64_t images, int64_t first, int64_t end, float *out) {
    const conv_shape *s = p->shape;
    const conv_axis *w = &s->axis[1];
    const int64_t blocks = conv_blocks(s->out), width_out = s->kind == CONV ? w->m : w->n;
    const int64_t height_out = s->kind == CONV ? s->axis[0].m : s->axis[0].n;
    const int64_t step_down = s->kind == CONV ? 1 : s->axis[0].stride, step = s->kind == CONV ? 1 : w->stride;
    conv_tile t = {0};
    t.channel = height_out * width_out;
    t.step = step;
    int64_t tap = 0;
    for (int64_t top = 0; top < conv_jobs(s, 0); top++)
        for (int64_t left = 0; left < conv_jobs(s, 1); left++) {
            t.place = p->places + tap;
            t.taps = conv_tap_count(s, top, left);
            for (int64_t q = first; q < end; q++) {
                int width;
                const int64_t g = q / blocks, channel = conv_block(s->out, q % blocks, &width);
                t.weight = p->weights + g * s->out * s->taps + tap * s->out + channel * t.taps;
                conv_run_block(s, &t, width, source + g * s->in * s->image, images, conv_job_size(s, 0, top),
                               conv_job_size(s, 1, left), step_down * width_out,
                               out + (g * s->out + channel) * t.channel + top * width_out + left);
            }
            tap += t.taps;
        }
}

static void conv_units(const rows_work *w, int64_t first, int64_t end, int worker) {
    const conv_plan *p = (const conv_plan *)(const void *)w->persist;
    const conv_shape *s = p->shape;
    const nd_view *from = s->kind == CONV ? s->x : s->y;
    const int64_t channels = s->groups * s->in, blocks = s->groups * conv_blocks(s->out);
    const int64_t size = nd_size(w->call->view[2]) / (s->batch ? s->batch : 1);
    float *source = (float *)(w->scratch + worker * s->bytes_worker);
    int64_t held = -1;
    for (int64_t u = first; u < end; u++) {
        const int64_t chunk = u / p->parts, part = u % p->parts, b0 = chunk * s->some;
        const int64_t images = s->batch - b0 < s->some ? s->batch - b0 : s->some;
        for (int64_t i = 0; chunk != held && i < images * channels; i++)
            conv_copy_image(s, from, (const float *)w->data[0] + (b0 + i / channels) * from->strides[0] +
                            i % channels * from->strides[1], source + i * s->image);
        if (chunk != held) memset(source + images * channels * s->image, 0, CONV_SLACK * sizeof *source);
        held = chunk;
        conv_run_blocks(p, source, images, blocks * part / p->parts, blocks * (part + 1) / p->parts,
                        (float *)w->data[2] + b0 * size);
    }
}

static int32_t conv_direct_run(const nd_call *c, int kind, void *const *data, void *scratch, const void *persist) {
    conv_shape s;
    conv_direct_read(c, kind, &s);
    const int64_t size = nd_size(c->view[2]), blocks = s.groups * conv_blocks(s.out);
    if (size == 0) return ND_OK;
    const char *held = persist;
    if (!(s.w->flags & ND_CONSTANT)) {
        held = scratch;
        conv_pack_weights(&s, data[1], scratch, (float *)(void *)((char *)scratch + s.bytes_taps));
        scratch = (char *)scratch + s.bytes_taps + s.bytes_weights;
    }
    conv_plan p = {&s, (const int64_t *)(const void *)held, (const float *)(const void *)(held + s.bytes_taps), 1};
    const int64_t chunks = (s.batch + s.some - 1) / s.some, wanted = 2 * (int64_t)c->threads;
    if (c->threads > 1 && chunks < wanted) p.parts = wanted / chunks < blocks ? wanted / chunks : blocks;
    rows_work w = ROWS_WORK(c, data, scratch, &p, chunks * p.parts, conv_units);
    rows_run(&w, (double)size * (double)s.taps);
    return ND_OK;
}

#define CONV_DIRECT(name, kind)                                                                                       \
    static int32_t op_##name##_prepare(nd_call *c) { return conv_direct_prepare(c, kind); }                           \
    static int32_t op_##name##_pack(const nd_call *c, void *const *data, void *persist) {                             \
        return conv_direct_pack(c, kind, data, persist);                                                              \
    }                                                                                                                 \
    static int32_t op_##name##_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {         \
        return conv_direct_run(c, kind, data, scratch, persist);                                                      \
    }
CONV_DIRECT(conv, CONV)
CONV_DIRECT(conv_grad_input, CONV_INPUT)
