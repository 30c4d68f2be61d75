/* The source of a convolution: a copy of the images in which outputs that are neighbours read neighbours, whatever the
   stride, and in which what lies beyond the ends is there as zeros. */

/* One row of a source: `count` positions of axis a, part f, from `from`, whose elements are `stride` apart. */
static void conv_copy_row(const conv_axis *a, int64_t f, int64_t n, const float *from, int64_t stride, float *to) {
    const int64_t start = f * a->spread + a->base;
    int64_t v0 = start < 0 ? (-start + a->step - 1) / a->step : 0;
    int64_t v1 = start < n ? (n - start + a->step - 1) / a->step : 0;
    v0 = v0 < a->positions ? v0 : a->positions;
    v1 = v1 < v0 ? v0 : v1 < a->positions ? v1 : a->positions;
    if (v0) memset(to, 0, (size_t)v0 * sizeof *to);
    if (v1 < a->positions) memset(to + v1, 0, (size_t)(a->positions - v1) * sizeof *to);
    if (v0 == v1) return;
    const int64_t step = a->step * stride;
    const float *at = from + (v0 * a->step + start) * stride;
    if (step == 1) memcpy(to + v0, at, (size_t)(v1 - v0) * sizeof *to);
    else
        for (int64_t v = v0; v < v1; v++, at += step) to[v] = *at;
}

/* The source of one channel of one image. */
static void conv_copy_image(const conv_shape *s, const nd_view *from, const float *data, float *to) {
    const conv_axis *h = &s->axis[0], *w = &s->axis[1];
    const int64_t rows = s->kind == CONV_INPUT ? h->m : h->n, cols = s->kind == CONV_INPUT ? w->m : w->n;
    const int64_t row_stride = s->axes == 2 ? from->strides[2] : 0;
    for (int64_t fh = 0; fh < h->phases; fh++)
        for (int64_t fw = 0; fw < w->phases; fw++)
            for (int64_t v = 0; v < h->positions; v++) {
                const int64_t row = v * h->step + fh * h->spread + h->base;
                float *at = to + fh * s->part_down + fw * s->part_along + v * s->row;
                if (row < 0 || row >= rows) memset(at, 0, (size_t)w->positions * sizeof *at);
                else conv_copy_row(w, fw, cols, data + row * row_stride, from->strides[s->axes + 1], at);
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
    int64_t count = 0, phase, at;
    for (int64_t k = 0; k < s->axis[axis].kernel; k++) count += conv_tap(&s->axis[axis], s->kind, first, k, &phase, &at);
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
