/* conv_grad_weight: register tiles of CONVW_ROWS output channels by CONVW_TAPS taps of one kernel row (a tap: an input
 * channel of the group and a kernel column), each the sum over places of g times x. Both are copied first: x as a
 * source in which the rows that a tap meets follow one another as those of g do, g filled up with zeros to whole blocks
 * of 16. What a kernel row meets beyond the ends is left out, by whole blocks.
 *
 * Images are taken in chunks small enough that a tile's part of g stays in the first cache, and then input channels in
 * blocks small enough that the sums, which wait in memory from one chunk to the next, lane by lane, stay in the second.
 * Neither changes a bit. The images of a channel follow one another, so that a tile reads few long lines.
 */

#if ND_W == 8
enum { CONVW_ROWS = 3, CONVW_TAPS = 4 }; /* 12 sums, 3 of g, one of x */
#else
enum { CONVW_ROWS = 6, CONVW_TAPS = 4 }; /* 24 sums, 6 of g, one of x: x comes from further away than g */
#endif
enum { CONVW_SUMS = CONVW_ROWS * CONVW_TAPS * ND_LANES /* floats of a tile */ };
enum { CONVW_FIRST = 6144, CONVW_SECOND = 1 << 18 /* floats of those caches to be filled */ };
enum { CONVW_IN_PLACE = 8 /* the most images read where they are: often a power of two apart, they share sets of a cache */ };

typedef struct {
    conv_shape s;
    int64_t length;   /* places of g, a multiple of 16 */
    int direct;       /* g is read where it is: whole blocks of 16 */
    int64_t block;    /* input channels in a block */
    int64_t tiles_down, tiles_along; /* along: of one kernel row */
    int64_t bytes_x, bytes_g, bytes_sums, bytes_taps;
} convw_job;

static int64_t convw_along(const convw_job *p, int64_t channels) {
    const int64_t taps = channels * p->s.axis[1].kernel;
    return taps / CONVW_TAPS + (taps % CONVW_TAPS != 0);
}

static int32_t convw_read_source(convw_job *p) {
    conv_shape *s = &p->s;
    const conv_axis *h = &s->axis[0], *w = &s->axis[1];
    int64_t size = ND_LANES;
    conv_source_axis(&s->axis[0], CONV_WEIGHT, 0);
    conv_source_axis(&s->axis[1], CONV_WEIGHT, s->axes == 2);
    ND_REQUIRE(rows_mul(h->m, w->m, &p->length), ND_ESIZE);
    p->direct = s->axes == 1 && p->length % ND_LANES == 0 && s->y->strides[2] == 1;
    p->length = (p->length + ND_LANES - 1) / ND_LANES * ND_LANES;
    s->row = w->positions;
    ND_REQUIRE(rows_mul(s->row, h->positions, &s->part_along), ND_ESIZE);
    ND_REQUIRE(rows_mul(s->part_along, w->phases, &s->part_down), ND_ESIZE);
    ND_REQUIRE(rows_mul(s->part_down, h->phases, &size), ND_ESIZE);
    s->image = (size + 2 * ND_LANES - 1) / ND_LANES * ND_LANES; /* the last block of a row reads on */
    return ND_OK;
}

/* Of `batch` images in chunks of at most `some` those of one, where chunks are about equal: a small last one would spend its
   time on the sums that wait. */
static int64_t conv_even(int64_t batch, int64_t some) {
    const int64_t chunks = (batch + some - 1) / some;
    return (batch + chunks - 1) / chunks;
}

static int32_t convw_read(const nd_call *c, convw_job *p) {
    conv_shape *s = &p->s;
    int32_t status = conv_read(c, CONV_WEIGHT, s);
    ND_REQUIRE(status == ND_OK, status);
    status = convw_read_source(p);
    ND_REQUIRE(status == ND_OK, status);
    int64_t x, g, sums, row = 0;
    s->some = p->length < CONVW_FIRST / CONVW_ROWS ? CONVW_FIRST / CONVW_ROWS / p->length : 1;
    if (p->direct && s->some > CONVW_IN_PLACE) s->some = CONVW_IN_PLACE;
    if (s->some > s->batch) s->some = s->batch;
    if (s->some > 1) s->some = conv_even(s->batch, s->some);
    p->tiles_down = (s->out + CONVW_ROWS - 1) / CONVW_ROWS;
    /* sums of one input channel of every group: rows of tiles times kernel rows times taps */
    ND_REQUIRE(rows_mul(s->groups, p->tiles_down, &row) && rows_mul(row, s->axis[0].kernel, &row), ND_ESIZE);
    ND_REQUIRE(rows_mul(row, CONVW_SUMS, &row) && rows_mul(row, convw_along(p, 1), &sums), ND_ESIZE);
    p->block = s->some == s->batch || sums == 0 ? s->in : CONVW_SECOND / sums;
    if (p->block > s->in) p->block = s->in;
    if (p->block < 1) p->block = 1;
    p->tiles_along = convw_along(p, p->block);
    ND_REQUIRE(rows_mul(row, p->tiles_along, &sums) && rows_mul(sums, sizeof(float), &sums), ND_ESIZE);
    ND_REQUIRE(rows_mul(s->image, s->some, &s->channel), ND_ESIZE);
    ND_REQUIRE(rows_mul(s->groups * p->block, s->channel, &x), ND_ESIZE);
    ND_REQUIRE(rows_mul(s->groups * s->out, p->length, &g) && rows_mul(g, s->some, &g), ND_ESIZE);
    ND_REQUIRE(rows_mul(x, sizeof(float), &x) && rows_mul(g, sizeof(float), &g), ND_ESIZE);
    p->bytes_x = nd_align64(x);
    p->bytes_g = p->direct ? 0 : nd_align64(g);
    p->bytes_sums = s->some < s->batch ? sums : 0;
    ND_REQUIRE(rows_mul(s->taps, 2 * sizeof(int64_t), &x), ND_ESIZE);
    p->bytes_taps = nd_align64(x);
    return ND_OK;
}

static int32_t op_conv_grad_weight_prepare(nd_call *c) {
    convw_job p;
    const int32_t status = convw_read(c, &p);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(p.bytes_x < INT64_MAX / 64 && p.bytes_g < INT64_MAX / 64 && p.bytes_sums < INT64_MAX / 64, ND_ESIZE);
    c->scratch = p.bytes_x + p.bytes_g + p.bytes_sums + p.bytes_taps;
    return ND_OK;
}

typedef struct {
    const convw_job *job;
    const int64_t *place, *result; /* of each tap of a block: in the source of a group, and in gw of output channel 0 */
    float *x, *g, *sums;
    int64_t first, images;   /* this chunk of images */
    int64_t from, channels;  /* this block of input channels */
    int64_t along;           /* its tiles along a kernel row */
} convw_chunk;

/* Copies one channel of one image: units are images times channels of x, then, if need be, images times channels of g. */
static void convw_copy(const rows_work *w, int64_t first, int64_t end, int worker) {
    const convw_chunk *p = (const convw_chunk *)(const void *)w->persist;
    const conv_shape *s = &p->job->s;
    const int64_t in = s->groups * p->channels, out = s->groups * s->out, cols = s->axis[1].m;
    const int64_t *xs = s->x->strides, *ys = s->y->strides, step = ys[s->axes + 1];
    const int64_t filled = s->part_down * s->axis[0].phases;
    (void)worker;
    for (int64_t u = first; u < end; u++) {
        if (u < p->images * in) {
            const int64_t b = u / in, c = u % in, channel = c / p->channels * s->in + p->from + c % p->channels;
            float *to = p->x + b * s->image + c * s->channel;
            conv_copy_image(s, s->x, (const float *)w->data[0] + (p->first + b) * xs[0] + channel * xs[1], to);
            memset(to + filled, 0, (size_t)(s->image - filled) * sizeof *to);
            continue;
        }
        const int64_t v = u - p->images * in;
        const float *from = (const float *)w->data[1] + (p->first + v / out) * ys[0] + v % out * ys[1];
        float *to = p->g + (v % out * s->some + v / out) * p->job->length, *const stop = to + p->job->length;
        for (int64_t i = 0; i < s->axis[0].m; i++, to += cols) {
            const float *row = from + (s->axes == 2 ? i * ys[2] : 0);
            if (step == 1) memcpy(to, row, (size_t)cols * sizeof *to);
            else
                for (int64_t j = 0; j < cols; j++) to[j] = row[j * step];
        }
        memset(to, 0, (size_t)(stop - to) * sizeof *to);
    }
}

/* sums[o][j][lane] += g[o] x[j] over the places first .. end - 1 (whole blocks) of all images, for the lanes from
   `part` on of one register. */
#define CONVW_TILE(name, rows, taps)                                                                                  \
    static void convw_tile_##name(int64_t images, int64_t first, int64_t end, const float *const *g, int64_t next_g,  \
                                  const float *const *x, int64_t next_x, int part, float *sums) {                     \
        vf acc[rows][taps];                                                                                           \
        ND_UNROLL                                                                                                     \
        for (int o = 0; o < rows; o++) {                                                                              \
            ND_UNROLL                                                                                                 \
            for (int j = 0; j < taps; j++) acc[o][j] = vf_load(sums + (o * CONVW_TAPS + j) * ND_LANES + part);        \
        }                                                                                                             \
        for (int64_t b = 0; b < images; b++)                                                                          \
            for (int64_t i = first + part; i < end; i += ND_LANES) {                                                  \
                vf u[rows];                                                                                           \
                ND_UNROLL                                                                                             \
                for (int o = 0; o < rows; o++) u[o] = vf_load(g[o] + b * next_g + i);                                 \
                ND_UNROLL                                                                                             \
                for (int j = 0; j < taps; j++) {                                                                      \
                    const vf v = vf_load(x[j] + b * next_x + i);                                                      \
                    ND_UNROLL                                                                                         \
                    for (int o = 0; o < rows; o++) acc[o][j] = vf_fma(u[o], v, acc[o][j]);                            \
                }                                                                                                     \
            }                                                                                                         \
        ND_UNROLL                                                                                                     \
        for (int o = 0; o < rows; o++) {                                                                              \
            ND_UNROLL                                                                                                 \
            for (int j = 0; j < taps; j++) vf_store(sums + (o * CONVW_TAPS + j) * ND_LANES + part, acc[o][j]);        \
        }                                                                                                             \
    }
CONVW_TILE(most, CONVW_ROWS, CONVW_TAPS)
CONVW_TILE(single, 1, CONVW_TAPS)

/* The results of one tile, from its lanes; out: gw of its first output channel. */
static void convw_finish(const convw_chunk *p, int64_t rows, int64_t tap, int64_t taps, const float *sums, float *out) {
    for (int64_t o = 0; o < rows; o++)
        for (int64_t j = 0; j < taps; j++) {
            lanes16 acc;
            ND_UNROLL
            for (int k = 0; k < ND_REGS; k++) acc.r[k] = vf_load(sums + (o * CONVW_TAPS + j) * ND_LANES + k * ND_W);
            out[o * p->job->s.taps + p->result[tap + j]] = lanes_sum(acc);
        }
}

/* The places that kernel row k meets inside, as whole blocks of 16. */
static void convw_places(const convw_job *p, int64_t k, int64_t *first, int64_t *end) {
    const conv_axis *h = &p->s.axis[0];
    int64_t i0 = 0, i1 = h->m;
    while (i0 < i1 && !conv_inside(h, CONV_WEIGHT, 0, i0, k)) i0++;
    while (i1 > i0 && !conv_inside(h, CONV_WEIGHT, 0, i1 - 1, k)) i1--;
    *first = i0 * p->s.axis[1].m / ND_LANES * ND_LANES;
    *end = i0 == i1 ? *first : (i1 * p->s.axis[1].m + ND_LANES - 1) / ND_LANES * ND_LANES;
}

/* Units: for each group and row of tiles, kernel rows times tiles along. */
static void convw_tiles(const rows_work *w, int64_t first, int64_t end, int worker) {
    const convw_chunk *p = (const convw_chunk *)(const void *)w->persist;
    const conv_shape *s = &p->job->s;
    const int64_t length = p->job->length, kernel = s->axis[0].kernel, *ys = s->y->strides;
    const float *all_g = p->job->direct ? (const float *)w->data[1] + p->first * ys[0] : p->g;
    const int64_t next_g = p->job->direct ? ys[0] : length, row_g = p->job->direct ? ys[1] : s->some * length;
    const int64_t all = p->channels * s->axis[1].kernel;
    (void)worker;
    for (int64_t u = first; u < end; u++) {
        const int64_t along = u % p->along, k = u / p->along % kernel, down = u / p->along / kernel;
        const int64_t group = down / p->job->tiles_down, row = down % p->job->tiles_down * CONVW_ROWS;
        const int64_t rows = s->out - row < CONVW_ROWS ? s->out - row : CONVW_ROWS;
        const int64_t taps = all - along * CONVW_TAPS < CONVW_TAPS ? all - along * CONVW_TAPS : CONVW_TAPS;
        const int64_t tap = k * all + along * CONVW_TAPS;
        const float *g[CONVW_ROWS], *x[CONVW_TAPS];
        float here[CONVW_SUMS], *sums = p->sums ? p->sums + u * CONVW_SUMS : here;
        int64_t i0, i1;
        convw_places(p->job, k, &i0, &i1);
        if (p->first == 0) memset(sums, 0, sizeof here);
        for (int64_t o = 0; o < CONVW_ROWS; o++) /* what is left over repeats the last row or tap, and is not stored */
            g[o] = all_g + (group * s->out + row + (o < rows ? o : rows - 1)) * row_g;
        for (int64_t j = 0; j < CONVW_TAPS; j++)
            x[j] = p->x + group * p->channels * s->channel + p->place[tap + (j < taps ? j : taps - 1)];
        for (int part = 0; part < ND_LANES; part += ND_W) {
            if (rows == 1) convw_tile_single(p->images, i0, i1, g, next_g, x, s->image, part, sums);
            else convw_tile_most(p->images, i0, i1, g, next_g, x, s->image, part, sums);
        }
        if (p->first + p->images == s->batch)
            convw_finish(p, rows, tap, taps, sums, (float *)w->data[2] + (group * s->out + row) * s->taps);
    }
}

/* One block of input channels: all images. */
static void convw_block(const nd_call *c, void *const *data, convw_chunk *p) {
    const conv_shape *s = &p->job->s;
    const int64_t copies = s->groups * (p->channels + (p->job->direct ? 0 : s->out));
    const int64_t tiles = s->groups * p->job->tiles_down * s->axis[0].kernel * p->along;
    for (p->first = 0; p->first < s->batch; p->first += s->some) {
        p->images = s->batch - p->first < s->some ? s->batch - p->first : s->some;
        rows_work copy = ROWS_WORK(c, data, 0, p, p->images * copies, convw_copy);
        rows_run(&copy, 0.5 * (double)p->images * (double)copies * (double)p->job->length);
        rows_work w = ROWS_WORK(c, data, 0, p, tiles, convw_tiles);
        rows_run(&w, (double)p->images * (double)tiles * CONVW_SUMS / ND_LANES * (double)p->job->length);
    }
}

static int32_t op_conv_grad_weight_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    convw_job job;
    (void)persist;
    convw_read(c, &job);
    conv_shape *s = &job.s;
    const int64_t size = nd_size(c->view[2]), in = s->in;
    if (size && s->batch == 0) memset(data[2], 0, (size_t)size * sizeof(float));
    if (size == 0 || s->batch == 0) return ND_OK;
    int64_t *place = scratch;
    convw_chunk p = {&job, place, place + s->taps, 0, 0, 0, 0, 0, 0, 0, 0};
    p.x = (float *)(void *)((char *)scratch + job.bytes_taps);
    p.g = p.x + job.bytes_x / (int64_t)sizeof(float);
    p.sums = job.bytes_sums ? p.g + job.bytes_g / (int64_t)sizeof(float) : 0;
    for (p.from = 0; p.from < in; p.from += job.block) {
        p.channels = in - p.from < job.block ? in - p.from : job.block;
        p.along = convw_along(&job, p.channels);
        s->in = p.channels; /* the taps of this block */
        const int64_t count = conv_taps(s, 0, 0, place, place + s->taps);
        s->in = in;
        for (int64_t j = 0; j < count; j++) place[s->taps + j] += p.from * s->axis[0].kernel * s->axis[1].kernel;
        convw_block(c, data, &p);
    }
    return ND_OK;
}
