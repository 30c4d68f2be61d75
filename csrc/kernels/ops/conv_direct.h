/* conv and conv_grad_input: register tiles of CONV_CHANNELS result channels by a few registers of neighbouring outputs.
 *
 * For gx with a stride above 1 the outputs fall into sets that are a stride apart; each set meets its own kernel places
 * and is a convolution with stride 1 of its own ("job"). Weights are packed for each job and block of channels: tap
 * after tap, the channels of the block side by side. Blocks have CONV_CHANNELS channels, then 2, then 1.
 *
 * The images of a unit of work lie side by side in each row of the source. Where rows of outputs fill registers badly
 * and kernels are narrow, each kernel column has a copy of its own ("apart"); a row of outputs of all images is
 * contiguous then, and only its end leaves lanes unused.
 */

#if ND_W == 8
enum { CONV_CHANNELS = 4 }; /* 4 x 3 sums, 3 loads and a weight: all 16 registers */
#else
enum { CONV_CHANNELS = 8 };
#endif
enum { CONV_WIDE = 3, CONV_PAIR = 6, CONV_SINGLE = 8 }; /* registers of outputs beside so many, two, one channels */
enum { CONV_SLACK = 64, CONV_CACHE = 32768 /* floats of source at a time */ };

typedef struct {
    conv_shape s;
    int64_t bytes_taps, bytes_weights, bytes_worker;
} conv_job;

/* One tile: `taps` terms; register v reads from[v] + place, and goes to to[v], of which lanes[v] count. room[v] of them
   belong to the row of one image; rows of `cols` in images `next` apart follow. */
typedef struct {
    int64_t taps;
    const int64_t *place;
    const float *weight;
    const float *from[CONV_SINGLE];
    float *to[CONV_SINGLE];
    int lanes[CONV_SINGLE];
    int64_t room[CONV_SINGLE];
    int channels; /* of the block that count */
    int plain;    /* all lanes of all registers count, side by side */
    int64_t channel, step, cols, next; /* channel, step: from one result channel, and one output, to the next */
} conv_tile;

static void conv_scatter(const conv_tile *t, const float *held, float *to, int lanes, int64_t room) {
    for (int l = 0; l < lanes;) {
        const int end = lanes - l > room ? l + (int)room : lanes;
        for (int64_t at = 0; l < end; l++, at += t->step) to[at] = held[l];
        to += t->next - (t->cols - room) * t->step; /* the same row of the next image */
        room = t->cols;
    }
}

/* The sums of a tile, channel by channel, to where they belong. */
static void conv_place(const conv_tile *t, const float *held, int registers) {
    for (int o = 0; o < t->channels; o++)
        for (int v = 0; v < registers; v++, held += ND_W) {
            float *to = t->to[v] + o * t->channel;
            if (t->step == 1 && t->lanes[v] <= t->room[v]) {
                if (t->lanes[v]) store_left(to, vf_load(held), t->lanes[v]);
            } else {
                conv_scatter(t, held, to, t->lanes[v], t->room[v]);
            }
        }
}

#define CONV_TILE(width, registers)                                                                                   \
    static void conv_tile_##width##_##registers(const conv_tile *t) {                                                 \
        vf acc[width][registers];                                                                                     \
        const float *w = t->weight, *from[registers];                                                                 \
        ND_UNROLL                                                                                                     \
        for (int v = 0; v < registers; v++) from[v] = t->from[v];                                                     \
        ND_UNROLL                                                                                                     \
        for (int o = 0; o < width; o++) {                                                                             \
            ND_UNROLL                                                                                                 \
            for (int v = 0; v < registers; v++) acc[o][v] = vf_set1(0.0f);                                            \
        }                                                                                                             \
        for (int64_t j = 0; j < t->taps; j++, w += width) {                                                           \
            const int64_t place = t->place[j];                                                                        \
            vf x[registers];                                                                                          \
            ND_UNROLL                                                                                                 \
            for (int v = 0; v < registers; v++) x[v] = vf_load(from[v] + place);                                      \
            ND_UNROLL                                                                                                 \
            for (int o = 0; o < width; o++) {                                                                         \
                const vf weight = vf_set1(w[o]);                                                                      \
                ND_UNROLL                                                                                             \
                for (int v = 0; v < registers; v++) acc[o][v] = vf_fma(weight, x[v], acc[o][v]);                      \
            }                                                                                                         \
        }                                                                                                             \
        if (t->plain) {                                                                                               \
            ND_UNROLL                                                                                                 \
            for (int o = 0; o < width; o++) {                                                                         \
                ND_UNROLL                                                                                             \
                for (int v = 0; v < registers; v++) vf_store(t->to[v] + o * t->channel, acc[o][v]);                   \
            }                                                                                                         \
            return;                                                                                                   \
        }                                                                                                             \
        float held[width * registers * ND_W];                                                                         \
        ND_UNROLL                                                                                                     \
        for (int o = 0; o < width; o++) {                                                                             \
            ND_UNROLL                                                                                                 \
            for (int v = 0; v < registers; v++) vf_store(held + (o * registers + v) * ND_W, acc[o][v]);               \
        }                                                                                                             \
        conv_place(t, held, registers);                                                                               \
    }
#if ND_W == 8
CONV_TILE(4, 1)
CONV_TILE(4, 2)
CONV_TILE(4, 3)
static void (*const conv_tiles_wide[])(const conv_tile *) = {conv_tile_4_1, conv_tile_4_2, conv_tile_4_3};
#else
CONV_TILE(8, 1)
CONV_TILE(8, 2)
CONV_TILE(8, 3)
static void (*const conv_tiles_wide[])(const conv_tile *) = {conv_tile_8_1, conv_tile_8_2, conv_tile_8_3};
#endif
CONV_TILE(2, 6)
CONV_TILE(1, 8)

/* Runs a tile of `width` channels of which `v` registers are filled. */
static void conv_run_tile(conv_tile *t, int width, int v) {
    t->plain = t->channels == width && t->step == 1;
    for (int i = 0; i < v; i++) t->plain &= t->lanes[i] == ND_W && t->room[i] >= ND_W;
    if (width == CONV_CHANNELS) {
        conv_tiles_wide[v - 1](t);
        return;
    }
    for (; v < (width == 2 ? CONV_PAIR : CONV_SINGLE); v++) { /* registers without outputs */
        t->from[v] = t->from[0];
        t->to[v] = t->to[0];
        t->lanes[v] = 0;
        t->room[v] = 0;
        t->plain = 0;
    }
    if (width == 2) conv_tile_2_6(t);
    else conv_tile_1_8(t);
}

/* Result channels fall into whole blocks; of what is left, more than half a block makes one (its last channels are 0
   and go nowhere), and less makes pairs and a single one. */
static inline int64_t conv_whole(int64_t out) { return (out + CONV_CHANNELS / 2 - 1) / CONV_CHANNELS; }

static inline int64_t conv_blocks(int64_t out) {
    const int64_t rest = out - conv_whole(out) * CONV_CHANNELS;
    return conv_whole(out) + (rest > 0 ? rest / 2 + rest % 2 : 0);
}

/* Channels with those that are 0. */
static inline int64_t conv_padded(int64_t out) {
    const int64_t whole = conv_whole(out) * CONV_CHANNELS;
    return whole > out ? whole : out;
}

/* Block q: its first channel; *width channels. */
static inline int64_t conv_block(int64_t out, int64_t q, int *width) {
    const int64_t whole = conv_whole(out);
    if (q < whole) {
        *width = CONV_CHANNELS;
        return q * CONV_CHANNELS;
    }
    const int64_t first = whole * CONV_CHANNELS + (q - whole) * 2;
    *width = out - first >= 2 ? 2 : 1;
    return first;
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

static inline int64_t conv_filled(int64_t lanes) { return (lanes + ND_W - 1) / ND_W * ND_W; }

/* How many images a unit of work has, if a source of one image has `one` floats. */
static int64_t conv_images(const nd_call *c, const conv_shape *s, int64_t one) {
    const int64_t threads = c->threads > 1 ? c->threads : 1, share = (s->batch + 2 * threads - 1) / (2 * threads);
    int64_t images = one ? CONV_CACHE / one : s->batch;
    if (images > share) images = share;
    return images < 1 ? 1 : images;
}

/* Whether a source apart, `floats` for one image, saves more lanes than it costs copies; of *images then. */
static int conv_wants_apart(const conv_shape *s, int64_t floats, int64_t *images) {
    const conv_axis *w = &s->axis[1];
    const int64_t cols = s->kind == CONV ? w->m : w->n;
    if (cols == 0 || cols > 64 * ND_W || floats == 0 || (s->kind == CONV_INPUT && w->stride != 1)) return 0;
    if (w->kernel > CONV_APART || s->out * s->axis[0].kernel < 16) return 0;
    *images = 1;
    for (int64_t n = 2; n <= 64 && n <= s->batch && n * floats <= 4 * CONV_CACHE && (n - 1) * cols < 256; n++)
        if (n * conv_filled(*images * cols) > *images * conv_filled(n * cols)) *images = n;
    return *images * conv_filled(cols) * 8 > conv_filled(*images * cols) * 9;
}

static int32_t conv_direct_read(const nd_call *c, int kind, conv_job *job) {
    conv_shape *s = &job->s;
    const int32_t status = conv_read(c, kind, s);
    int64_t one, all;
    ND_REQUIRE(status == ND_OK, status);
    const conv_axis *h = &s->axis[0], *w = &s->axis[1];
    for (int apart = 1; apart >= 0; apart--) {
        conv_source_axis(&s->axis[0], kind, 0);
        conv_source_axis(&s->axis[1], kind, apart);
        int fits = rows_mul(s->groups, s->in, &one);
        const int64_t factors[4] = {h->phases, h->positions, w->phases, w->positions};
        for (int i = 0; i < 4; i++) fits = fits && rows_mul(one, factors[i], &one);
        if (apart && fits && conv_wants_apart(s, one, &s->some)) break;
        ND_REQUIRE(apart || fits, ND_ESIZE);
        s->some = conv_images(c, s, one);
    }
    if (s->some > s->batch) s->some = s->batch;
    if (s->some < 1) s->some = 1;
    ND_REQUIRE(rows_mul(one, s->some, &all) && rows_mul(all + CONV_SLACK, sizeof(float), &all), ND_ESIZE);
    job->bytes_worker = nd_align64(all);
    s->image = w->positions;
    s->part_along = s->image * s->some;
    s->row = s->part_along * w->phases;
    s->part_down = s->row * h->positions;
    s->channel = s->part_down * h->phases;
    ND_REQUIRE(rows_mul(s->taps, sizeof(int64_t), &all), ND_ESIZE);
    job->bytes_taps = nd_align64(all);
    ND_REQUIRE(rows_mul(s->groups, conv_padded(s->out), &all) && rows_mul(all, s->taps, &all), ND_ESIZE);
    ND_REQUIRE(rows_mul(all, sizeof(float), &all), ND_ESIZE);
    job->bytes_weights = nd_align64(all);
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
                float *to = packed + (g * s->taps + at) * conv_padded(s->out);
                for (int64_t q = 0; q < conv_blocks(s->out); q++) {
                    int width;
                    const int64_t first = conv_block(s->out, q, &width), left_over = s->out - first;
                    const int valid = left_over < width ? (int)left_over : width;
                    const float *from = w + g * group + first * next;
                    for (int64_t j = at; j < at + count; j++, to += width)
                        for (int o = 0; o < width; o++) to[o] = o < valid ? from[taps[j] + o * next] : 0.0f;
                }
            }
            conv_taps(s, top, left, taps + at, 0);
            at += count;
        }
}

/* Taps and packed weights lie in scratch, or persist where weights are constant; a source for each worker follows. */
static int32_t conv_direct_prepare(nd_call *c, int kind) {
    conv_job job;
    int64_t workers;
    const int32_t status = conv_direct_read(c, kind, &job);
    ND_REQUIRE(status == ND_OK, status);
    const int64_t packed = job.bytes_taps + job.bytes_weights;
    ND_REQUIRE(rows_mul(job.bytes_worker, c->threads > 1 ? c->threads : 1, &workers), ND_ESIZE);
    ND_REQUIRE(packed < INT64_MAX / 64 && workers < INT64_MAX / 64, ND_ESIZE);
    c->persist = job.s.w->flags & ND_CONSTANT ? packed : 0;
    c->scratch = workers + packed - c->persist;
    return ND_OK;
}

static int32_t conv_direct_pack(const nd_call *c, int kind, void *const *data, void *persist) {
    conv_job job;
    const int32_t status = conv_direct_read(c, kind, &job);
    ND_REQUIRE(status == ND_OK, status);
    conv_pack_weights(&job.s, data[1], persist, (float *)(void *)((char *)persist + job.bytes_taps));
    return ND_OK;
}

typedef struct {
    const conv_job *job;
    const int64_t *places;
    const float *weights;
    int64_t parts; /* into which the blocks of channels are split */
} conv_plan;

/* One row of outputs of all images; from: its source in the first image, to: its place there. */
static void conv_run_row(const conv_shape *s, conv_tile *t, int width, int64_t images, const float *from, float *to) {
    const int most = width == 1 ? CONV_SINGLE : width == 2 ? CONV_PAIR : CONV_WIDE;
    const int joined = s->axis[1].apart && t->step == 1; /* images follow one another without a gap */
    const int64_t length = joined ? images * t->cols : t->cols;
    int64_t left = (joined ? 1 : images) * ((length + ND_W - 1) / ND_W);
    int v = 0;
    for (int64_t b = 0; b < (joined ? 1 : images); b++)
        for (int64_t j = 0; j < length; j += ND_W) {
            t->from[v] = from + b * s->image + j;
            t->to[v] = to + (joined ? j / t->cols * t->next + j % t->cols : b * t->next + j * t->step);
            t->room[v] = t->cols - (joined ? j % t->cols : j);
            t->lanes[v] = length - j < ND_W ? (int)(length - j) : ND_W;
            left--;
            if (++v == most || (v == 2 && left == 2 && most == CONV_WIDE)) { /* four registers are two and two */
                conv_run_tile(t, width, v);
                v = 0;
            }
        }
    if (v) conv_run_tile(t, width, v);
}

/* The blocks first .. end - 1 (over groups and blocks) of one chunk of images, for one job. */
static void conv_run_blocks(const conv_plan *p, int64_t top, int64_t left, int64_t tap, const float *source,
                            int64_t images, int64_t first, int64_t end, float *out) {
    const conv_shape *s = &p->job->s;
    const conv_axis *h = &s->axis[0], *w = &s->axis[1];
    const int64_t blocks = conv_blocks(s->out), height = s->kind == CONV ? h->m : h->n;
    const int64_t line = s->kind == CONV ? w->m : w->n, down = (s->kind == CONV ? 1 : h->stride) * line;
    const int64_t along = s->in * conv_tap_count(s, 1, left), count = conv_tap_count(s, 0, top) * along;
    conv_tile t = {0};
    t.channel = height * line;
    t.step = s->kind == CONV ? 1 : w->stride;
    t.cols = conv_job_size(s, 1, left);
    t.next = s->groups * s->out * t.channel;
    for (int64_t q = first; q < end; q++) {
        int width;
        const int64_t g = q / blocks, channel = conv_block(s->out, q % blocks, &width);
        const float *weight = p->weights + (g * s->taps + tap) * conv_padded(s->out) + channel * count;
        t.channels = s->out - channel < width ? (int)(s->out - channel) : width;
        const float *from = source + g * s->in * s->channel;
        float *to = out + (g * s->out + channel) * t.channel + top * line + left;
        for (int64_t i = 0; i < conv_job_size(s, 0, top); i++) {
            int64_t t0, t1;
            conv_row_taps(s, top, i, &t0, &t1);
            t.taps = (t1 - t0) * along;
            t.place = p->places + tap + t0 * along;
            t.weight = weight + t0 * along * width;
            conv_run_row(s, &t, width, images, from + i * s->row, to + i * down);
        }
    }
}

static void conv_units(const rows_work *w, int64_t first, int64_t end, int worker) {
    const conv_plan *p = (const conv_plan *)(const void *)w->persist;
    const conv_shape *s = &p->job->s;
    const nd_view *from = s->kind == CONV ? s->x : s->y;
    const int64_t channels = s->groups * s->in, blocks = s->groups * conv_blocks(s->out);
    const int64_t size = nd_size(w->call->view[2]) / s->batch;
    float *source = (float *)(void *)(w->scratch + worker * p->job->bytes_worker);
    int64_t held = -1;
    for (int64_t u = first; u < end; u++) {
        const int64_t chunk = u / p->parts, part = u % p->parts, b0 = chunk * s->some;
        const int64_t images = s->batch - b0 < s->some ? s->batch - b0 : s->some;
        for (int64_t i = 0; chunk != held && i < images * channels; i++)
            conv_copy_image(s, from, (const float *)w->data[0] + (b0 + i % images) * from->strides[0] +
                            i / images * from->strides[1], source + i / images * s->channel + i % images * s->image);
        if (chunk != held) memset(source + channels * s->channel, 0, CONV_SLACK * sizeof *source);
        held = chunk;
        int64_t tap = 0;
        for (int64_t top = 0; top < conv_jobs(s, 0); top++)
            for (int64_t left = 0; left < conv_jobs(s, 1); left++) {
                conv_run_blocks(p, top, left, tap, source, images, blocks * part / p->parts,
                                blocks * (part + 1) / p->parts, (float *)w->data[2] + b0 * size);
                tap += s->in * conv_tap_count(s, 0, top) * conv_tap_count(s, 1, left);
            }
    }
}

static int32_t conv_direct_run(const nd_call *c, int kind, void *const *data, void *scratch, const void *persist) {
    conv_job job;
    conv_direct_read(c, kind, &job);
    const conv_shape *s = &job.s;
    const int64_t size = nd_size(c->view[2]), blocks = s->groups * conv_blocks(s->out);
    if (size == 0) return ND_OK;
    const char *held = persist;
    if (!(s->w->flags & ND_CONSTANT)) {
        held = scratch;
        conv_pack_weights(s, data[1], scratch, (float *)(void *)((char *)scratch + job.bytes_taps));
        scratch = (char *)scratch + job.bytes_taps + job.bytes_weights;
    }
    conv_plan p = {&job, (const int64_t *)(const void *)held, (const float *)(const void *)(held + job.bytes_taps), 1};
    const int64_t chunks = (s->batch + s->some - 1) / s->some, wanted = 2 * (int64_t)c->threads;
    if (c->threads > 1 && chunks < wanted) p.parts = wanted / chunks < blocks ? wanted / chunks : blocks;
    rows_work w = ROWS_WORK(c, data, scratch, &p, chunks * p.parts, conv_units);
    rows_run(&w, (double)size * (double)s->taps);
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
