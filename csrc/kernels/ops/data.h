/* Operations that move values without changing them. Any dtype unless said otherwise; outputs are dense and of the
 * inputs' dtype.
 *
 * cat(x...; dim) -> out      The inputs, of any strides, side by side along axis dim (0 .. rank - 1).
 * put_slice(g; n, start[n], n, step[n], n, shape[n]) -> out
 *                            Zeros of `shape`, but out[start + step * i] = g[i] in every axis; a step may be negative,
 *                            not 0. g has the rank of out and any strides.
 * fill(; n, shape[n], value, dtype) -> out
 *                            `value` everywhere (the bits of a double), rounded towards zero for integers.
 *
 * take, take_add, gather and scatter_add: data_index.h; cumsum and argsort: data_order.h; picks: data_picks.h.
 */
#ifndef ND_OPS_DATA_H
#define ND_OPS_DATA_H

enum { DATA_MIN_WORK = 1 << 16 /* elements below which one thread does it all */, DATA_MAX_TASKS = 64,
       DATA_SHORT = 512 /* bytes */ };

/* How many tasks for `work` elements that fall into at most `most` parts. */
static inline int64_t data_tasks(const nd_call *c, int64_t work, int64_t most) {
    if (c->threads < 2 || work < DATA_MIN_WORK) return 1;
    int64_t n = work / (DATA_MIN_WORK / 4);
    if (n > 4 * (int64_t)c->threads) n = 4 * (int64_t)c->threads;
    if (n > DATA_MAX_TASKS) n = DATA_MAX_TASKS;
    return n < most ? n : most < 1 ? 1 : most;
}

/* The first of task t's share of n things among `tasks`; that of t + 1 is where it ends. */
static inline int64_t data_share(int64_t n, int64_t tasks, int64_t t) {
    return n / tasks * t + (t < n % tasks ? t : n % tasks);
}

/* The elements of a view, or -1 when it is absent, malformed or so large that products of sizes could overflow. */
static int64_t data_count(const nd_view *v) {
    const int64_t most = (int64_t)1 << 52;
    if (!v || v->rank < 0 || v->rank > ND_MAX_RANK || v->dtype < 0 || v->dtype >= ND_DTYPES) return -1;
    int64_t n = 1;
    int empty = 0;
    for (int i = 0; i < v->rank; i++) {
        if (v->dims[i] < 0) return -1;
        empty |= v->dims[i] == 0;
    }
    if (empty) return 0;
    for (int i = 0; i < v->rank; i++) {
        if (v->dims[i] > most / n) return -1;
        n *= v->dims[i];
    }
    return n;
}

/* A dense view of this dtype (any when negative) that holds `count` elements (any number when negative). */
static int data_dense(const nd_view *v, int32_t dtype, int64_t count) {
    const int64_t n = data_count(v);
    return n >= 0 && nd_dense(v) && (dtype < 0 || v->dtype == dtype) && (count < 0 || n == count);
}

/* The product of dims first .. last - 1. Only for views that data_count accepts. */
static int64_t data_extent(const nd_view *v, int first, int last) {
    int64_t n = 1;
    for (int i = first; i < last; i++)
        if (v->dims[i] == 0) return 0;
    for (int i = first; i < last; i++) n *= v->dims[i];
    return n;
}

/* A list attribute at *at: its length, or -1 when it does not end with the attributes; *at moves behind it. */
static int64_t data_list(const nd_call *c, int32_t *at, const int64_t **values) {
    if (*at < 0 || *at >= c->n_attr) return -1;
    const int64_t n = c->attr[*at];
    if (n < 0 || n > c->n_attr - *at - 1) return -1;
    *values = c->attr + *at + 1;
    *at += 1 + (int32_t)n;
    return n;
}

/* Whether the dims of v are these. */
static int data_has_shape(const nd_view *v, const int64_t *shape, int64_t n) {
    if (!v || v->rank != n || n > ND_MAX_RANK) return 0;
    for (int i = 0; i < n; i++)
        if (v->dims[i] != shape[i]) return 0;
    return 1;
}

/* --- copies between layouts ------------------------------------------------------------------------------------- */

typedef struct {
    const char *from;
    char *to;
    int64_t item; /* bytes of an element: 1, 4 or 8 */
    int64_t tasks;
    int rank; /* at least 2 */
    int64_t n[ND_MAX_RANK], a[ND_MAX_RANK], b[ND_MAX_RANK]; /* lengths; strides of from and to in bytes */
} data_copy;

/* Axes of length 1 dropped and neighbours joined where one stride serves both; two axes at least. */
static data_copy data_copy_plan(int64_t item, int rank, const int64_t *n, const char *from, const int64_t *a, char *to,
                                const int64_t *b) {
    data_copy p = {from, to, item, 1, 0, {0}, {0}, {0}};
    for (int i = 0; i < rank; i++) {
        if (n[i] == 1) continue;
        const int last = p.rank - 1;
        if (last >= 0 && p.a[last] == a[i] * item * n[i] && p.b[last] == b[i] * item * n[i]) {
            p.n[last] *= n[i];
            p.a[last] = a[i] * item;
            p.b[last] = b[i] * item;
            continue;
        }
        p.n[p.rank] = n[i];
        p.a[p.rank] = a[i] * item;
        p.b[p.rank++] = b[i] * item;
    }
    while (p.rank < 2) {
        for (int i = p.rank++; i > 0; i--) {
            p.n[i] = p.n[i - 1];
            p.a[i] = p.a[i - 1];
            p.b[i] = p.b[i - 1];
        }
        p.n[0] = 1;
        p.a[0] = p.b[0] = 0;
        if (p.rank == 1) p.a[0] = p.b[0] = item; /* one element: an axis of length 1 */
    }
    return p;
}

/* Short copies without a call. */
static inline void data_move(char *to, const char *from, int64_t bytes) {
    if (ND_W == 1 || bytes > DATA_SHORT || bytes % 4) {
        memcpy(to, from, (size_t)bytes);
        return;
    }
    const float *x = (const float *)(const void *)from;
    float *y = (float *)(void *)to;
    int64_t n = bytes / 4;
    for (; n >= ND_W; n -= ND_W, x += ND_W, y += ND_W) vf_store(y, vf_load(x));
    if (n) vf_store_part(y, vf_load_part(x, (int)n), (int)n);
}

static void data_copy_run(int64_t item, int64_t n, const char *from, int64_t a, char *to, int64_t b) {
    if (a == item && b == item) {
        data_move(to, from, n * item);
    } else if (item == 4) {
        for (int64_t i = 0; i < n; i++) memcpy(to + i * b, from + i * a, 4);
    } else if (item == 8) {
        for (int64_t i = 0; i < n; i++) memcpy(to + i * b, from + i * a, 8);
    } else {
        for (int64_t i = 0; i < n; i++) to[i * b] = from[i * a];
    }
}

/* Elements first .. last - 1 of axis `axis`, everything of the axes after it. */
static void data_copy_axis(const data_copy *p, int axis, int64_t first, int64_t last, const char *from, char *to) {
    from += first * p->a[axis];
    to += first * p->b[axis];
    if (axis == p->rank - 1) {
        data_copy_run(p->item, last - first, from, p->a[axis], to, p->b[axis]);
        return;
    }
    const int64_t a = p->a[axis], b = p->b[axis], n = p->n[axis + 1] * p->item;
    if (axis == p->rank - 2 && p->a[axis + 1] == p->item && p->b[axis + 1] == p->item) { /* no call for each short row */
        for (int64_t i = first; i < last; i++, from += a, to += b) data_move(to, from, n);
        return;
    }
    for (int64_t i = first; i < last; i++, from += a, to += b) data_copy_axis(p, axis + 1, 0, p->n[axis + 1], from, to);
}

static void data_copy_task(void *context, int64_t t, int worker) {
    const data_copy *p = context;
    const int axis = p->n[0] > 1 ? 0 : 1;
    (void)worker;
    const int64_t n = p->n[axis];
    data_copy_axis(p, axis, data_share(n, p->tasks, t), data_share(n, p->tasks, t + 1), p->from, p->to);
}

/* to[...] = from[...] over `rank` axes of lengths n (none 0), strides a and b in elements. */
static void data_copy_all(const nd_call *c, int64_t item, int rank, const int64_t *n, const char *from, const int64_t *a,
                          char *to, const int64_t *b) {
    data_copy p = data_copy_plan(item, rank, n, from, a, to, b);
    int64_t work = 1;
    for (int i = 0; i < p.rank; i++) work *= p.n[i];
    p.tasks = data_tasks(c, work, p.n[0] > 1 ? p.n[0] : p.n[1]);
    if (p.tasks > 1) nd_parallel(p.tasks, data_copy_task, &p);
    else data_copy_task(&p, 0, 0);
}

/* --- cat -------------------------------------------------------------------------------------------------------- */

static int32_t op_cat_prepare(nd_call *c) {
    ND_REQUIRE(c->n_in >= 1 && c->n_out == 1 && c->n_attr == 1, ND_EVALUE);
    const nd_view *out = c->view[c->n_in];
    ND_REQUIRE(data_dense(out, -1, -1), ND_ESIZE);
    ND_REQUIRE(c->attr[0] >= 0 && c->attr[0] < out->rank, ND_EVALUE);
    const int dim = (int)c->attr[0];
    int64_t total = 0;
    for (int32_t i = 0; i < c->n_in; i++) {
        const nd_view *x = c->view[i];
        ND_REQUIRE(x, ND_ENULL);
        ND_REQUIRE(data_count(x) >= 0 && x->rank == out->rank && x->dtype == out->dtype, ND_ESIZE);
        for (int d = 0; d < x->rank; d++) ND_REQUIRE(d == dim || x->dims[d] == out->dims[d], ND_ESIZE);
        ND_REQUIRE(x->dims[dim] <= out->dims[dim] - total, ND_ESIZE);
        total += x->dims[dim];
    }
    ND_REQUIRE(total == out->dims[dim], ND_ESIZE);
    c->k[0] = nd_item_size(out->dtype);
    c->k[1] = data_extent(out, dim + 1, out->rank) * c->k[0]; /* bytes of one step along dim */
    c->k[2] = data_count(out);
    return ND_OK;
}

static int32_t op_cat_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const nd_view *out = c->view[c->n_in];
    const int dim = (int)c->attr[0];
    int64_t b[ND_MAX_RANK], step = 1;
    char *to = data[c->n_in];
    (void)scratch;
    (void)persist;
    if (c->k[2] == 0) return ND_OK;
    for (int d = out->rank - 1; d >= 0; step *= out->dims[d--]) b[d] = step;
    for (int32_t i = 0; i < c->n_in; i++) {
        const nd_view *x = c->view[i];
        if (x->dims[dim] == 0) continue;
        data_copy_all(c, c->k[0], x->rank, x->dims, data[i], x->strides, to, b);
        to += x->dims[dim] * c->k[1];
    }
    return ND_OK;
}

/* --- put_slice -------------------------------------------------------------------------------------------------- */

typedef struct {
    int64_t item, tasks;
    int rank, whole; /* from axis `whole` on, g is dense and covers everything */
    const char *g;
    char *out;
    int64_t dims[ND_MAX_RANK], n[ND_MAX_RANK], start[ND_MAX_RANK], step[ND_MAX_RANK];
    int64_t a[ND_MAX_RANK], b[ND_MAX_RANK + 1]; /* strides of g and out in bytes; b[axis] * dims[axis] is axis's extent */
} data_put;

static void data_put_axis(const data_put *p, int axis, const char *g, char *out);

/* Elements first .. last - 1 of an axis of out. */
static void data_put_range(const data_put *p, int axis, int64_t first, int64_t last, const char *g, char *out) {
    const int64_t b = p->b[axis], start = p->start[axis], step = p->step[axis], n = p->n[axis];
    if (step != 1) { /* gaps everywhere: zeros, then the elements */
        memset(out + first * b, 0, (size_t)((last - first) * b));
        if (axis + 1 == p->rank && first == 0 && last == p->dims[axis]) {
            data_copy_run(p->item, n, g, p->a[axis], out + start * b, step * b);
            return;
        }
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = start + i * step;
            if (at >= first && at < last) data_put_axis(p, axis + 1, g + i * p->a[axis], out + at * b);
        }
        return;
    }
    const int64_t low = start < first ? first : start > last ? last : start;
    const int64_t high = start + n < first ? first : start + n > last ? last : start + n;
    if (low >= high) {
        memset(out + first * b, 0, (size_t)((last - first) * b));
        return;
    }
    memset(out + first * b, 0, (size_t)((low - first) * b));
    memset(out + high * b, 0, (size_t)((last - high) * b));
    const char *from = g + (low - start) * p->a[axis];
    if (axis + 1 >= p->whole && p->a[axis] == b) memcpy(out + low * b, from, (size_t)((high - low) * b));
    else if (axis + 1 == p->rank) data_copy_run(p->item, high - low, from, p->a[axis], out + low * b, b);
    else
        for (int64_t i = low; i < high; i++, from += p->a[axis]) data_put_axis(p, axis + 1, from, out + i * b);
}

static void data_put_axis(const data_put *p, int axis, const char *g, char *out) {
    if (axis >= p->whole) memcpy(out, g, (size_t)(axis < p->rank ? p->b[axis] * p->dims[axis] : p->item));
    else data_put_range(p, axis, 0, p->dims[axis], g, out);
}

/* start + step i lies in the axis for every i < n. */
static int data_slice_fits(int64_t dim, int64_t n, int64_t start, int64_t step) {
    if (n == 0) return 1;
    if (start < 0 || start >= dim) return 0;
    if (n == 1) return 1;
    if (step > 0) return n - 1 <= (dim - 1 - start) / step;
    return step < 0 && step >= -dim && n - 1 <= start / -step;
}

static int32_t op_put_slice_prepare(nd_call *c) {
    ND_REQUIRE(c->n_in == 1 && c->n_out == 1, ND_EVALUE);
    const nd_view *g = c->view[0], *out = c->view[1];
    ND_REQUIRE(g && out, ND_ENULL);
    ND_REQUIRE(data_count(g) >= 0 && data_dense(out, g->dtype, -1) && g->rank == out->rank, ND_ESIZE);
    const int64_t *start = 0, *step = 0, *shape = 0;
    int32_t at = 0;
    ND_REQUIRE(data_list(c, &at, &start) == out->rank && data_list(c, &at, &step) == out->rank, ND_EVALUE);
    ND_REQUIRE(data_list(c, &at, &shape) == out->rank, ND_EVALUE);
    ND_REQUIRE(at == c->n_attr && data_has_shape(out, shape, out->rank), ND_EVALUE);
    for (int i = 0; i < out->rank; i++)
        ND_REQUIRE(data_slice_fits(out->dims[i], g->dims[i], start[i], step[i]), ND_EVALUE);
    c->k[0] = data_count(out);
    c->k[1] = data_count(g);
    return ND_OK;
}

static void data_put_task(void *context, int64_t t, int worker) {
    const data_put *p = context;
    int axis = 0; /* the one that is shared out: those before it have length 1 */
    (void)worker;
    while (axis + 1 < p->rank && p->dims[axis] == 1) axis++;
    const int64_t n = p->dims[axis];
    data_put_range(p, axis, data_share(n, p->tasks, t), data_share(n, p->tasks, t + 1), p->g, p->out);
}

static int32_t op_put_slice_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const nd_view *g = c->view[0], *out = c->view[1];
    data_put p = {nd_item_size(out->dtype), 1, out->rank, out->rank, data[0], data[1], {0}, {0}, {0}, {0}, {0}, {0}};
    int64_t step = p.item;
    (void)scratch;
    (void)persist;
    if (c->k[0] == 0) return ND_OK;
    if (c->k[1] == 0 || p.rank == 0) {
        memset(p.out, 0, (size_t)(c->k[0] * p.item));
        if (c->k[1]) memcpy(p.out, p.g, (size_t)p.item);
        return ND_OK;
    }
    int whole = 1;
    for (int i = p.rank - 1; i >= 0; step *= p.dims[i--]) {
        p.dims[i] = out->dims[i];
        p.n[i] = g->dims[i];
        p.start[i] = c->attr[1 + i];
        p.step[i] = p.n[i] == 1 ? 1 : c->attr[2 + p.rank + i];
        p.a[i] = g->strides[i] * p.item;
        p.b[i] = step;
        if (p.n[i] == 1 && p.dims[i] == 1) p.a[i] = step; /* the stride of one element may be anything */
        whole = whole && p.n[i] == p.dims[i] && p.step[i] == 1 && p.a[i] == step;
        if (whole) p.whole = i;
    }
    int64_t most = 1;
    for (int i = 0; i < p.rank && most == 1; i++) most = p.dims[i];
    p.tasks = data_tasks(c, c->k[0], most);
    if (p.tasks > 1) nd_parallel(p.tasks, data_put_task, &p);
    else data_put_task(&p, 0, 0);
    return ND_OK;
}

/* --- fill ------------------------------------------------------------------------------------------------------- */

static int32_t op_fill_prepare(nd_call *c) {
    ND_REQUIRE(c->n_in == 0 && c->n_out == 1, ND_EVALUE);
    const int64_t *shape = 0;
    int32_t at = 0;
    const int64_t rank = data_list(c, &at, &shape);
    ND_REQUIRE(rank >= 0 && at + 2 == c->n_attr, ND_EVALUE);
    const nd_view *out = c->view[0];
    ND_REQUIRE(data_dense(out, -1, -1) && data_has_shape(out, shape, rank), ND_ESIZE);
    ND_REQUIRE(c->attr[at + 1] == out->dtype, ND_EVALUE);
    const double value = nd_attr_f64(c, at);
    if (out->dtype == ND_I64 || out->dtype == ND_I32) { /* the conversion must be defined */
        const double limit = out->dtype == ND_I64 ? 0x1p63 : 0x1p31;
        ND_REQUIRE(value >= -limit && value < limit, ND_EVALUE);
    }
    c->k[0] = data_count(out);
    c->k[1] = at;
    return ND_OK;
}

static int32_t op_fill_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const int64_t n = c->k[0];
    const double value = nd_attr_f64(c, (int)c->k[1]);
    (void)scratch;
    (void)persist;
    switch (c->view[0]->dtype) {
        case ND_F32: {
            const vf v = vf_set1((float)value);
            float *out = data[0];
            int64_t i = 0;
            for (; i + ND_W <= n; i += ND_W) vf_store(out + i, v);
            if (i < n) vf_store_part(out + i, v, (int)(n - i));
            break;
        }
        case ND_F64: for (int64_t i = 0; i < n; i++) ((double *)data[0])[i] = value; break;
        case ND_I64: for (int64_t i = 0; i < n; i++) ((int64_t *)data[0])[i] = (int64_t)value; break;
        case ND_I32: for (int64_t i = 0; i < n; i++) ((int32_t *)data[0])[i] = (int32_t)value; break;
        default: if (n) memset(data[0], value != 0.0, (size_t)n);
    }
    return ND_OK;
}

#include "data_index.h"
#include "data_order.h"
#include "data_picks.h"

#define ND_OPS_DATA(X) \
    X(cat, 0, 0) \
    X(put_slice, 0, 0) \
    X(fill, 0, 0) \
    X(take, 0, 0) \
    X(take_add, 0, 0) \
    X(gather, 0, 0) \
    X(scatter_add, 0, 0) \
    X(cumsum, 0, 0) \
    X(argsort, 0, 0) X(picks, 0, 0)
#endif
