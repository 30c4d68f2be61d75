/* Convolution over one or two axes: the sum over output places p and kernel places k of
 * g[b, o, p] w[o, c, k] x[b, c, p stride + k dilation - before], two factors given and the third worked out.
 *
 * conv(x [B, C, *S], w [O, C / groups, *K]; stride, padding, dilation, groups) -> y [B, O, *P]
 * conv_grad_input(g [B, O, *P], w; stride, padding, dilation, groups, size) -> gx [B, C, *size]
 * conv_grad_weight(x, g; stride, padding, dilation, groups, kernel) -> gw [O, C / groups, *kernel]
 *
 * Attributes: stride, padding (before and after of each axis in turn), dilation, size and kernel are lists, which come
 * with their length; groups is a number. P = (S + before + after - dilation (K - 1) - 1) / stride + 1. Inputs are
 * float32 of any strides, outputs dense float32. Beyond either end of its last axis x counts as zeros, which are
 * multiplied too (an infinite weight gives a NaN there); kernel rows beyond the ends of the axis before are left out.
 *
 * Order of sums. y: one chain of fused multiply-adds over the kernel's rows, in each over c, and in each over the
 * kernel's columns. gx: the same with o for c. gw: 16 lanes and the fixed tree; lane l takes the places l, l + 16, ...
 * of the flattened *P, one image after the other.
 *
 * A constant w is rearranged once. Work is split over images, blocks of channels, and blocks of gw.
 */
#include "norm_rows.h"

#define CONV_MOST ((int64_t)1 << 31)

enum { CONV = 0, CONV_INPUT = 1, CONV_WEIGHT = 2 };
enum { CONV_APART = 16 /* the most kernel columns that are copied apart from a shared line */ };

/* One axis: n elements of x, m of y. The copy that kernels read ("source", conv_source.h) has `phases` parts of
   `positions` elements: element v of part f is element v step + f spread + base of what is copied. */
typedef struct {
    int64_t n, m, kernel, stride, before, dilation;
    int64_t phases, positions, step, spread, base;
    int apart; /* each kernel place has a part of its own, with an element for each output */
} conv_axis;

/* The three arrays are x, w and y; `source` is x, or y for CONV_INPUT. */
typedef struct {
    int kind, axes;
    const nd_view *x, *w, *y;
    conv_axis axis[2];
    int64_t batch, groups;
    int64_t in, out; /* channels of a group that are summed over (of x, for CONV_WEIGHT), and of the result (of y) */
    int64_t taps;    /* in times kernel places */
    int64_t some;    /* images in a unit of work */
    int64_t channel, row, part_down, part_along, image; /* from one to the next in a source */
} conv_shape;

/* Attribute list l, which begins with its length: stride, padding, dilation, groups (a number), the last. */
static inline const int64_t *conv_list(const nd_call *c, int n, int l) {
    const int at[5] = {0, n + 1, 3 * n + 2, 4 * n + 3, 4 * n + 4};
    return c->attr + at[l];
}

static int conv_in(int64_t value, int64_t low) { return value >= low && value <= CONV_MOST; }

static int32_t conv_read_axis(const nd_call *c, conv_shape *s, int i) {
    const int n = s->axes, from = i - (2 - n);
    conv_axis *a = &s->axis[i];
    *a = (conv_axis){1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0};
    if (from < 0) return ND_OK;
    a->n = s->x->dims[2 + from];
    a->m = s->y->dims[2 + from];
    a->kernel = s->w->dims[2 + from];
    a->stride = conv_list(c, n, 0)[1 + from];
    a->before = conv_list(c, n, 1)[1 + 2 * from];
    a->dilation = conv_list(c, n, 2)[1 + from];
    const int64_t after = conv_list(c, n, 1)[2 + 2 * from];
    ND_REQUIRE(conv_in(a->stride, 1) && conv_in(a->dilation, 1), ND_EVALUE);
    ND_REQUIRE(conv_in(a->before, 0) && conv_in(after, 0), ND_EVALUE);
    ND_REQUIRE(conv_in(a->kernel, 1) && a->n <= INT64_MAX / 64, ND_ESIZE);
    const int64_t reach = a->dilation * (a->kernel - 1) + 1, room = a->n + a->before + after;
    ND_REQUIRE(room >= reach && a->m == (room - reach) / a->stride + 1, ND_ESIZE);
    if (s->kind != CONV) {
        const int64_t *last = conv_list(c, n, 4);
        ND_REQUIRE(last[0] == n && last[1 + from] == (s->kind == CONV_INPUT ? a->n : a->kernel), ND_ESIZE);
    }
    return ND_OK;
}

/* The source's parts along an axis. For y: part f holds every stride-th element from f on, or, apart, what kernel place
   f meets. For gx: y with zeros around, as far as kernels reach, or, apart (with stride 1 only), what place f meets. */
static void conv_source_axis(conv_axis *a, int kind, int apart) {
    const int64_t reach = a->dilation * (a->kernel - 1);
    a->apart = kind == CONV_INPUT ? apart && a->stride == 1 : apart || a->kernel < a->stride;
    a->step = a->spread = a->phases = 1;
    if (kind == CONV_INPUT) {
        const int64_t low = a->before / a->stride, high = a->n ? (a->before + a->n - 1) / a->stride : low;
        a->base = low - reach / a->stride;
        a->positions = high - a->base + 1;
        if (!a->apart) return;
        a->phases = a->kernel; /* counted from the last place, so that parts begin further and further on */
        a->spread = a->dilation;
        a->positions = a->n;
        return;
    }
    a->phases = a->apart ? a->kernel : a->stride;
    a->step = a->stride;
    a->spread = a->apart ? a->dilation : 1;
    a->base = -a->before;
    a->positions = a->apart ? a->m : a->m + reach / a->stride;
}

/* Whether output `first` along an axis, and those a stride apart from it, meet kernel place k; where, in the source,
   output `first` does. For y there is one such set of outputs, first = 0. */
static inline int conv_tap(const conv_axis *a, int kind, int64_t first, int64_t k, int64_t *phase, int64_t *at) {
    const int64_t u = k * a->dilation;
    *at = 0;
    if (kind == CONV_INPUT) {
        const int64_t place = first + a->before - u; /* the place in y, times the stride */
        *phase = a->apart ? a->kernel - 1 - k : 0;
        if (a->stride == 1) {
            if (!a->apart) *at = place - a->base;
            return 1;
        }
        *at = place / a->stride - a->base;
        return place % a->stride == 0;
    }
    *phase = a->apart ? k : a->stride == 1 ? 0 : u % a->stride;
    if (!a->apart) *at = a->stride == 1 ? u : u / a->stride;
    return 1;
}

/* Whether the i-th output of the set that begins with `first` meets kernel place k inside what is copied. */
static inline int conv_inside(const conv_axis *a, int kind, int64_t first, int64_t i, int64_t k) {
    const int64_t u = k * a->dilation;
    if (kind == CONV_INPUT) {
        const int64_t place = first + i * a->stride + a->before - u;
        return place >= 0 && place < a->m * a->stride;
    }
    const int64_t place = i * a->stride + u - a->before;
    return place >= 0 && place < a->n;
}

/* A kernel of one place that takes every element: two axes are one, where memory has them so. */
static void conv_merge_axes(conv_shape *s) {
    conv_axis *h = &s->axis[0], *w = &s->axis[1];
    for (int i = 0; i < 2; i++) {
        const conv_axis *a = &s->axis[i];
        if (a->kernel != 1 || a->stride != 1 || a->before || a->n != a->m) return;
    }
    if (s->axes != 2 || s->x->strides[2] != w->n * s->x->strides[3]) return;
    if (s->y->strides[2] != w->n * s->y->strides[3]) return;
    if (!rows_mul(h->n, w->n, &w->n)) return;
    w->m = w->n;
    h->n = h->m = 1;
}

static int32_t conv_read_shapes(const nd_call *c, conv_shape *s) {
    const nd_view *x = s->x, *w = s->w, *y = s->y;
    int64_t channels;
    ND_REQUIRE(x->rank == s->axes + 2 && w->rank == x->rank && y->rank == x->rank, ND_ESIZE);
    s->groups = conv_list(c, s->axes, 3)[0];
    ND_REQUIRE(conv_in(s->groups, 1) && w->dims[0] % s->groups == 0, ND_EVALUE);
    ND_REQUIRE(rows_mul(w->dims[1], s->groups, &channels) && x->dims[1] == channels, ND_ESIZE);
    ND_REQUIRE(x->dims[0] == y->dims[0] && y->dims[1] == w->dims[0], ND_ESIZE);
    s->batch = x->dims[0];
    s->in = s->kind == CONV_INPUT ? w->dims[0] / s->groups : w->dims[1];
    s->out = s->kind == CONV_INPUT ? w->dims[1] : w->dims[0] / s->groups;
    return ND_OK;
}

/* Everything about a call; refuses what is not a convolution. */
static int32_t conv_read(const nd_call *c, int kind, conv_shape *s) {
    int32_t status = rows_check(c, 2, 1, 1, 0);
    ND_REQUIRE(status == ND_OK, status);
    memset(s, 0, sizeof *s);
    s->kind = kind;
    s->axes = c->attr[0] == 1 || c->attr[0] == 2 ? (int)c->attr[0] : 0;
    ND_REQUIRE(s->axes && c->n_attr == 4 * s->axes + 4 + (kind == CONV ? 0 : 1 + s->axes), ND_EVALUE);
    for (int l = 0; l < 3; l++) ND_REQUIRE(conv_list(c, s->axes, l)[0] == (l == 1 ? 2 : 1) * s->axes, ND_EVALUE);
    s->x = c->view[kind == CONV_INPUT ? 2 : 0];
    s->w = c->view[kind == CONV_WEIGHT ? 2 : 1];
    s->y = c->view[kind == CONV ? 2 : kind == CONV_INPUT ? 0 : 1];
    ND_REQUIRE(nd_dense(c->view[2]), ND_ESIZE);
    status = conv_read_shapes(c, s);
    ND_REQUIRE(status == ND_OK, status);
    s->taps = s->in;
    for (int i = 0; i < 2; i++) {
        status = conv_read_axis(c, s, i);
        ND_REQUIRE(status == ND_OK, status);
        ND_REQUIRE(rows_mul(s->taps, s->axis[i].kernel, &s->taps), ND_ESIZE);
    }
    conv_merge_axes(s);
    return ND_OK;
}

#include "conv_source.h"
#include "conv_direct.h"
#include "conv_weight.h"

#define ND_OPS_CONV(X) \
    X(conv, 0u, op_conv_pack) X(conv_grad_input, 0u, op_conv_grad_input_pack) X(conv_grad_weight, 0u, 0)
