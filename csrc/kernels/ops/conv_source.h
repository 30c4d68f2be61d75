/* The source of a convolution: a copy of the images in which outputs that are neighbours read neighbours, whatever the
   stride, and in which what lies beyond the ends is there as zeros. */

/* The positions of part f of an axis of n elements that are not beyond an end: from *first on, before *end. */
static void conv_positions(const conv_axis *a, int64_t f, int64_t n, int64_t *first, int64_t *end) {
    const int64_t start = f * a->spread + a->base;
    *first = start < 0 ? -start : 0;
    *end = start < n ? n - start : 0;
    if (a->step > 1) { /* rows are short, so that divisions would show */
        *first = (*first + a->step - 1) / a->step;
        *end = (*end + a->step - 1) / a->step;
    }
    if (*first > a->positions) *first = a->positions;
    if (*end > a->positions) *end = a->positions;
    if (*end < *first) *end = *first;
}

static inline void conv_zero(float *to, int64_t n) {
    const vf zero = vf_set1(0.0f);
    for (int64_t i = 0; i < n; i += ND_W) store_left(to + i, zero, n - i < ND_W ? (int)(n - i) : ND_W);
}

/* n elements that are `step` apart; rows are short, so that calls of memcpy would show. */
static inline void conv_copy(float *to, const float *from, int64_t step, int64_t n) {
    int64_t i = 0;
    if (step == 1) {
        for (; i + ND_W <= n; i += ND_W) vf_store(to + i, vf_load(from + i));
        if (i < n) vf_store_part(to + i, vf_load_part(from + i, (int)(n - i)), (int)(n - i));
        return;
    }
    for (; i < n; i++) to[i] = from[i * step];
}

/* One row of parts apart, each a shifted view of the same line; false where the line is too long for a buffer here. */
static int conv_copy_apart(const conv_axis *w, int64_t cols, const float *data, int64_t along, float *to,
                           int64_t part) {
    enum { LINE = 2048 };
    float line[LINE + ND_LANES];
    const int64_t reach = w->phases <= CONV_APART && w->spread <= LINE ? (w->phases - 1) * w->spread : LINE;
    const int64_t length = w->positions <= LINE - reach ? w->positions + reach : LINE;
    if (w->step != 1 || length >= LINE) return 0;
    const int64_t v0 = w->base < 0 ? (-w->base < length ? -w->base : length) : 0;
    const int64_t left = cols - w->base, v1 = left < v0 ? v0 : left < length ? left : length;
    conv_zero(line, v0);
    if (v1 > v0) conv_copy(line + v0, data + (v0 + w->base) * along, along, v1 - v0);
    conv_zero(line + v1, length - v1);
    for (int64_t f = 0; f < w->phases; f++) conv_copy(to + f * part, line + f * w->spread, 1, w->positions);
    return 1;
}

/* One row of all parts. */
static void conv_copy_row(const conv_shape *s, int64_t cols, const float *data, int64_t along, float *to) {
    const conv_axis *w = &s->axis[1];
    if (w->apart && conv_copy_apart(w, cols, data, along, to, s->part_along)) return;
    for (int64_t f = 0; f < w->phases; f++, to += s->part_along) {
        int64_t v0, v1;
        conv_positions(w, f, cols, &v0, &v1);
        conv_zero(to, v0);
        const int64_t start = v0 * w->step + f * w->spread + w->base;
        if (v1 > v0) conv_copy(to + v0, data + start * along, w->step * along, v1 - v0);
        conv_zero(to + v1, w->positions - v1);
    }
}

/* The source of one channel of one image. */
static void conv_copy_image(const conv_shape *s, const nd_view *from, const float *data, float *to) {
    const conv_axis *h = &s->axis[0], *w = &s->axis[1];
    const int64_t rows = s->kind == CONV_INPUT ? h->m : h->n, cols = s->kind == CONV_INPUT ? w->m : w->n;
    const int64_t down = s->axes == 2 ? from->strides[2] : 0, along = from->strides[s->axes + 1];
    for (int64_t fh = 0; fh < h->phases; fh++)
        for (int64_t v = 0; v < h->positions; v++) {
            const int64_t row = v * h->step + fh * h->spread + h->base;
            float *at = to + fh * s->part_down + v * s->row;
            if (row >= 0 && row < rows) conv_copy_row(s, cols, data + row * down, along, at);
            else
                for (int64_t fw = 0; fw < w->phases; fw++) conv_zero(at + fw * s->part_along, w->positions);
        }
}

/* The taps of the outputs that begin at (top, left): their places in the source of a group, in order of the sum. Where
   `weights` is not NULL, also the places of their weights, for result channel 0. Returns how many there are. */
static int64_t conv_taps(const conv_shape *s, int64_t top, int64_t left, int64_t *places, int64_t *weights) {
    const conv_axis *h = &s->axis[0], *w = &s->axis[1];
    const int64_t *ws = s->w->strides, over = s->kind == CONV_INPUT ? ws[0] : ws[1];
    const int64_t down = s->axes == 2 ? ws[2] : 0, along = ws[s->axes + 1];
    int64_t count = 0, ph, pw, ah, aw;
    for (int64_t i = 0; i < h->kernel; i++) {
        if (!conv_tap(h, s->kind, top, i, &ph, &ah)) continue;
        for (int64_t c = 0; c < s->in; c++)
            for (int64_t j = 0; j < w->kernel; j++) {
                if (!conv_tap(w, s->kind, left, j, &pw, &aw)) continue;
                if (places) places[count] = c * s->channel + ph * s->part_down + ah * s->row + pw * s->part_along + aw;
                if (weights) weights[count] = c * over + i * down + j * along;
                count++;
            }
    }
    return count;
}

/* How many kernel places outputs from `first` on meet along an axis. */
static int64_t conv_tap_count(const conv_shape *s, int axis, int64_t first) {
    const conv_axis *a = &s->axis[axis];
    int64_t count = 0, phase, at;
    for (int64_t k = 0; k < a->kernel; k++) count += conv_tap(a, s->kind, first, k, &phase, &at);
    return count;
}

/* Of these, by number, the first and the end of those that lie inside for row i. */
static void conv_row_taps(const conv_shape *s, int64_t top, int64_t i, int64_t *first, int64_t *end) {
    int64_t count = 0, phase, at;
    *first = *end = 0;
    for (int64_t k = 0; k < s->axis[0].kernel; k++) {
        if (!conv_tap(&s->axis[0], s->kind, top, k, &phase, &at)) continue;
        if (conv_inside(&s->axis[0], s->kind, top, i, k)) {
            if (*end == 0) *first = count;
            *end = count + 1;
        }
        count++;
    }
}
