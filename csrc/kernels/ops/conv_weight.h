/* conv_grad_weight: register tiles of CONVW_ROWS output channels by CONVW_TAPS taps (a tap: an input channel of the group
 * and a kernel place), each the sum over places of g times x. Both are copied first: x as a source, g with its rows as far
 * apart as those of the source and zeros between, filled up to whole blocks of 16. Images are taken in chunks that fit the
 * cache; sums wait in memory from one chunk to the next, lane by lane, so that chunks do not change them.
 */

#if ND_W == 8
enum { CONVW_ROWS = 3, CONVW_TAPS = 4 }; /* 12 sums, 3 of g, one of x */
#else
enum { CONVW_ROWS = 4, CONVW_TAPS = 6 };
#endif
enum { CONVW_CACHE = 1 << 19 /* floats of copies at a time */ };

typedef struct {
    int64_t length;     /* places of g, a multiple of 16 */
    int64_t image;      /* of a channel's source, with 16 zeros at its end */
    int64_t images;     /* in a chunk */
    int64_t tiles_down, tiles_along;
    int64_t bytes_x, bytes_g, bytes_sums, bytes_taps;
} convw_shape;

static int32_t convw_read(const nd_call *c, conv_shape *s, convw_shape *t) {
    int32_t status = conv_read(c, CONV_WEIGHT, s);
    int64_t x, g, tiles;
    ND_REQUIRE(status == ND_OK, status);
    const conv_axis *h = &s->axis[0], *w = &s->axis[1];
    ND_REQUIRE(rows_mul(h->m - 1, w->positions, &t->length), ND_ESIZE);
    t->length = (t->length + w->m + ND_LANES - 1) / ND_LANES * ND_LANES;
    t->image = s->image + ND_LANES;
    ND_REQUIRE(rows_mul(s->groups * s->in, t->image, &x) && rows_mul(s->groups * s->out, t->length, &g), ND_ESIZE);
    t->images = x + g < CONVW_CACHE ? CONVW_CACHE / (x + g + 1) : 1;
    if (t->images > s->batch) t->images = s->batch;
    ND_REQUIRE(rows_mul(x, t->images, &x) && rows_mul(g, t->images, &g), ND_ESIZE);
    ND_REQUIRE(rows_mul(x, sizeof(float), &x) && rows_mul(g, sizeof(float), &g), ND_ESIZE);
    t->bytes_x = nd_align64(x);
    t->bytes_g = nd_align64(g);
    t->tiles_down = (s->out + CONVW_ROWS - 1) / CONVW_ROWS;
    t->tiles_along = s->taps / CONVW_TAPS + (s->taps % CONVW_TAPS != 0);
    ND_REQUIRE(rows_mul(s->groups, t->tiles_down, &tiles) && rows_mul(tiles, t->tiles_along, &tiles), ND_ESIZE);
    ND_REQUIRE(rows_mul(tiles, CONVW_ROWS * CONVW_TAPS * ND_LANES * sizeof(float), &tiles), ND_ESIZE);
    t->bytes_sums = t->images < s->batch ? tiles : 0;
    ND_REQUIRE(rows_mul(s->taps, sizeof(int64_t), &tiles), ND_ESIZE);
    t->bytes_taps = nd_align64(tiles);
    return ND_OK;
}

static int32_t op_conv_grad_weight_prepare(nd_call *c) {
    conv_shape s;
    convw_shape t;
    const int32_t status = convw_read(c, &s, &t);
    ND_REQUIRE(status == ND_OK, status);
    ND_REQUIRE(t.bytes_x < INT64_MAX / 64 && t.bytes_g < INT64_MAX / 64 && t.bytes_sums < INT64_MAX / 64, ND_ESIZE);
    c->scratch = t.bytes_x + t.bytes_g + t.bytes_sums + t.bytes_taps;
    return ND_OK;
}

typedef struct {
    const conv_shape *s;
    const convw_shape *t;
    const int64_t *place; /* of each tap, in the source of a group */
    float *x, *g, *sums;
    int64_t first, images; /* this chunk */
} convw_chunk;

/* Copies one channel of one image: units are images times channels of x, then images times channels of g. */
static void convw_copy(const rows_work *w, int64_t first, int64_t end, int worker) {
    const convw_chunk *p = (const convw_chunk *)(const void *)w->persist;
    const conv_shape *s = p->s;
    const int64_t in = s->groups * s->in, out = s->groups * s->out;
    const int64_t *xs = s->x->strides, *ys = s->y->strides, pitch = s->axis[1].positions;
    (void)worker;
    for (int64_t u = first; u < end; u++) {
        if (u < p->images * in) {
            float *to = p->x + u * p->t->image;
            conv_copy_image(s, s->x, (const float *)w->data[0] + (p->first + u / in) * xs[0] + u % in * xs[1], to);
            memset(to + s->image, 0, ND_LANES * sizeof *to);
            continue;
        }
        const int64_t v = u - p->images * in;
        const float *from = (const float *)w->data[1] + (p->first + v / out) * ys[0] + v % out * ys[1];
        float *to = p->g + v * p->t->length;
        memset(to, 0, (size_t)p->t->length * sizeof *to);
        for (int64_t i = 0; i < s->axis[0].m; i++)
            for (int64_t j = 0; j < s->axis[1].m; j++)
                to[i * pitch + j] = from[(s->axes == 2 ? i * ys[2] : 0) + j * ys[s->axes + 1]];
    }
}

/* sums[o][j][lane] += g[o] x[j], over the lanes from `part` on of one register. */
#define CONVW_TILE(name, rows, taps)                                                                                  \
    static void convw_tile_##name(int64_t images, int64_t length, const float *const *g, int64_t next_g,              \
                                  const float *const *x, int64_t next_x, int part, float *sums) {                     \
        vf acc[rows][taps];                                                                                           \
        ND_UNROLL                                                                                                     \
        for (int o = 0; o < rows; o++) {                                                                              \
            ND_UNROLL                                                                                                 \
            for (int j = 0; j < taps; j++) acc[o][j] = vf_load(sums + (o * CONVW_TAPS + j) * ND_LANES + part);        \
        }                                                                                                             \
        for (int64_t b = 0; b < images; b++)                                                                          \
            for (int64_t i = part; i < length; i += ND_LANES) {                                                       \
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

/* The results of one tile, from its lanes. */
static void convw_finish(const convw_chunk *p, int64_t group, int64_t row, int64_t rows, int64_t tap, int64_t taps,
                         const float *sums, float *out) {
    const conv_shape *s = p->s;
    for (int64_t o = 0; o < rows; o++)
        for (int64_t j = 0; j < taps; j++) {
            lanes16 acc;
            ND_UNROLL
            for (int k = 0; k < ND_REGS; k++) acc.r[k] = vf_load(sums + (o * CONVW_TAPS + j) * ND_LANES + k * ND_W);
            out[(group * s->out + row + o) * s->taps + tap + j] = lanes_sum(acc);
        }
}

static void convw_tiles(const rows_work *w, int64_t first, int64_t end, int worker) {
    const convw_chunk *p = (const convw_chunk *)(const void *)w->persist;
    const conv_shape *s = p->s;
    const convw_shape *t = p->t;
    const int64_t next_x = s->groups * s->in * t->image, next_g = s->groups * s->out * t->length;
    enum { SUMS = CONVW_ROWS * CONVW_TAPS * ND_LANES };
    (void)worker;
    for (int64_t u = first; u < end; u++) {
        const int64_t along = u % t->tiles_along, down = u / t->tiles_along % t->tiles_down;
        const int64_t group = u / t->tiles_along / t->tiles_down, row = down * CONVW_ROWS, tap = along * CONVW_TAPS;
        const int64_t rows = s->out - row < CONVW_ROWS ? s->out - row : CONVW_ROWS;
        const int64_t taps = s->taps - tap < CONVW_TAPS ? s->taps - tap : CONVW_TAPS;
        const float *g[CONVW_ROWS], *x[CONVW_TAPS];
        float here[SUMS], *sums = p->sums ? p->sums + u * SUMS : here;
        if (p->first == 0) memset(sums, 0, sizeof here);
        for (int64_t o = 0; o < CONVW_ROWS; o++) /* what is left over repeats the last row or tap, and is not stored */
            g[o] = p->g + (group * s->out + row + (o < rows ? o : rows - 1)) * t->length;
        for (int64_t j = 0; j < CONVW_TAPS; j++) {
            const int64_t at = tap + (j < taps ? j : taps - 1);
            x[j] = p->x + group * s->in * t->image + p->place[at];
        }
        for (int part = 0; part < ND_LANES; part += ND_W) {
            if (rows == 1) convw_tile_single(p->images, t->length, g, next_g, x, next_x, part, sums);
            else convw_tile_most(p->images, t->length, g, next_g, x, next_x, part, sums);
        }
        if (p->first + p->images == s->batch) convw_finish(p, group, row, rows, tap, taps, sums, w->data[2]);
    }
}

static int32_t op_conv_grad_weight_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    conv_shape s;
    convw_shape t;
    (void)persist;
    convw_read(c, &s, &t);
    const int64_t size = nd_size(c->view[2]);
    if (size && s.batch == 0) memset(data[2], 0, (size_t)size * sizeof(float));
    if (size == 0 || s.batch == 0) return ND_OK;
    char *at = scratch;
    int64_t *place = scratch;
    convw_chunk p = {&s, &t, place, (float *)(void *)(at + t.bytes_taps), 0, 0, 0, 0};
    p.g = p.x + t.bytes_x / (int64_t)sizeof(float);
    p.sums = t.bytes_sums ? p.g + t.bytes_g / (int64_t)sizeof(float) : 0;
    const int64_t image = s.image; /* taps count in channels as they are laid out here */
    s.image = t.image;
    conv_taps(&s, 0, 0, place, 0);
    s.image = image;
    const int64_t channels = s.groups * (s.in + s.out), tiles = s.groups * t.tiles_down * t.tiles_along;
    for (p.first = 0; p.first < s.batch; p.first += t.images) {
        p.images = s.batch - p.first < t.images ? s.batch - p.first : t.images;
        rows_work copy = ROWS_WORK(c, data, scratch, &p, p.images * channels, convw_copy);
        rows_run(&copy, 0.5 * (double)p.images * (double)channels * (double)t.length);
        rows_work w = ROWS_WORK(c, data, scratch, &p, tiles, convw_tiles);
        rows_run(&w, (double)p.images * (double)size * (double)t.length);
    }
    return ND_OK;
}
