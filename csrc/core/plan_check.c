/* The values of a plan: every view inside its region, no output where it must not be. Contract: plan.h.
   Quantities that come from the bytes are bounded (ND_PLAN_BYTES) before they are added or multiplied. */
#include "plan.h"

static int32_t refuse(const char *why) { return nd_plan_refuse(ND_EPLAN, why); }

static int beyond(int64_t x) { return x > ND_PLAN_BYTES || x < -ND_PLAN_BYTES; }

/* a * b for a, b >= 0 when that is at most ND_PLAN_BYTES, else -1. */
static int64_t product(int64_t a, int64_t b) { return b != 0 && a > ND_PLAN_BYTES / b ? -1 : a * b; }

static int32_t read_slots(const plan_bytes *b, plan_slot *slots) {
    for (uint32_t i = 0; i < b->n_slots; i++) {
        const uint8_t *p = b->slots + (uint64_t)i * ND_SLOT_SIZE;
        slots[i].kind = nd_u32(p);
        slots[i].dtype = nd_u32(p + 4);
        slots[i].bytes = nd_i64(p + 8);
        if (slots[i].kind >= ND_SLOT_KINDS || slots[i].dtype >= ND_DTYPES) return refuse("a slot's kind or dtype is not known");
        if (slots[i].bytes < 0 || slots[i].bytes > ND_PLAN_BYTES || slots[i].bytes % nd_item_size((int32_t)slots[i].dtype))
            return refuse("a slot's size is not valid");
    }
    return ND_OK;
}

/* Reads dims and strides and sets low and high. The number of elements is bounded with empty axes counted as 1: so a
   running product in an operation cannot overflow whatever the order of the axes. */
static int32_t read_view(const uint8_t *p, plan_value *v) {
    const int64_t item = nd_item_size(v->view.dtype);
    int64_t total = item;
    int empty = 0;
    v->low = v->high = v->offset;
    for (int i = 0; i < ND_MAX_RANK; i++) {
        const int64_t dim = nd_i64(p + 8 * i), stride = nd_i64(p + 8 * (ND_MAX_RANK + i));
        if (i >= v->view.rank) {
            if (dim || stride) return refuse("a value has dims or strides past its rank");
            continue;
        }
        if (dim < 0 || beyond(dim) || beyond(stride)) return refuse("a value's dims or strides are not valid");
        if (dim == 0) empty = 1;
        total = product(total, dim ? dim : 1);
        if (total < 0) return refuse("a value is too large");
        v->view.dims[i] = dim;
        v->view.strides[i] = stride;
        if (dim < 2) continue;
        const int64_t reach = product(product(dim - 1, stride < 0 ? -stride : stride), item);
        if (reach < 0) return refuse("a value reaches outside its region");
        if (stride < 0) v->low -= reach;
        else v->high += reach;
    }
    if (empty) v->low = v->high = v->offset;
    else v->high += item;
    return ND_OK;
}

static int32_t read_value(const plan_bytes *b, const plan_slot *slots, const uint8_t *p, plan_value *v) {
    v->region = nd_u32(p);
    v->slot = nd_u32(p + 4);
    v->offset = nd_i64(p + 16);
    v->step = nd_i64(p + 24);
    const uint32_t dtype = nd_u32(p + 8), rank = nd_u32(p + 12);
    if (v->region > 1 || v->slot >= (v->region ? b->n_slots : 1)) return refuse("a value's region or slot is not known");
    if (dtype >= ND_DTYPES || rank > ND_MAX_RANK) return refuse("a value's dtype or rank is not known");
    if (v->region && dtype != slots[v->slot].dtype) return refuse("a value has another dtype than its slot");
    if (beyond(v->offset) || beyond(v->step)) return refuse("a value's offset or step is not valid");
    const int64_t item = nd_item_size((int32_t)dtype);
    if (v->offset % item || v->step % item) return refuse("a value is not aligned to its elements");
    v->view.dtype = (int32_t)dtype;
    v->view.rank = (int32_t)rank;
    const int32_t status = read_view(p + 32, v);
    if (status != ND_OK) return status;
    if (v->low < 0 || v->high > (v->region ? slots[v->slot].bytes : b->arena))
        return refuse("a value reaches outside its region");
    if (v->region && slots[v->slot].kind == ND_SLOT_CONSTANT && v->step == 0) v->view.flags = ND_CONSTANT;
    return ND_OK;
}

int32_t nd_plan_values(const plan_bytes *b, nd_plan *plan) {
    int32_t status = read_slots(b, plan->slots);
    int64_t top = 0;
    int steps = 0;
    for (uint32_t i = 0; status == ND_OK && i < b->n_values; i++) {
        const plan_value *v = &plan->values[i];
        status = read_value(b, plan->slots, b->values + (uint64_t)i * ND_VALUE_SIZE, &plan->values[i]);
        if (status != ND_OK || v->region) continue;
        if (v->high > top) top = v->high;
        if (v->step) steps = 1;
    }
    /* The header is outside the checksum: a wrong size must not ask for memory that nothing uses. */
    if (status == ND_OK && !steps && b->arena > nd_align64(top) + 64) return refuse("the arena is larger than its values");
    return status;
}

/* Whether some i in 0 .. last has i * e > above and i * e < below. */
static int some_between(int64_t e, int64_t above, int64_t below, int64_t last) {
    if (e < 0) { /* the same for the mirror image */
        const int64_t keep = above;
        e = -e;
        above = -below;
        below = -keep;
    }
    if (below <= 0) return 0;               /* i * e >= 0 */
    const int64_t from = above < 0 ? 0 : e ? above / e + 1 : last + 1;
    const int64_t to = e ? (below - 1) / e : last;
    return from <= (to < last ? to : last);
}

/* Whether a and b share a byte in the same iteration of 0 .. last. */
static int overlap(const plan_value *a, const plan_value *b, int64_t last) {
    if (a->region != b->region || a->slot != b->slot || a->low == a->high || b->low == b->high) return 0;
    /* a.low + i a.step < b.high + i b.step and the other way round */
    return some_between(a->step - b->step, b->low - a->high, b->high - a->low, last);
}

static int same_view(const plan_value *a, const plan_value *b) {
    return a->offset == b->offset && a->step == b->step && a->view.dtype == b->view.dtype &&
           nd_same_dims(&a->view, &b->view) && nd_dense(&a->view) && nd_dense(&b->view);
}

static int32_t check_step(const nd_plan *plan, const plan_value *v, int64_t steps) {
    const int64_t bytes = v->region ? plan->slots[v->slot].bytes : plan->arena;
    if (v->step == 0) return ND_OK;
    if (steps == 0) return refuse("a value with a step is used outside of a scan");
    const int64_t way = product(steps - 1, v->step < 0 ? -v->step : v->step);
    if (way < 0 || (v->step < 0 ? v->low - way < 0 : v->high + way > bytes))
        return refuse("a value leaves its region in a scan");
    return ND_OK;
}

static int32_t check_output(const nd_plan *plan, const plan_value *out) {
    if (!nd_dense(&out->view)) return refuse("an output is not dense");
    if (!out->region) return ND_OK;
    const uint32_t kind = plan->slots[out->slot].kind;
    return kind == ND_SLOT_OUTPUT || kind == ND_SLOT_STATE ? ND_OK : refuse("an output is in an input or a constant");
}

int32_t nd_plan_operands(const nd_plan *plan, uint32_t first, uint32_t n_in, uint32_t n_out, uint32_t inplace,
                         int64_t steps) {
    const uint32_t *number = plan->operands + first;
    const int64_t last = steps ? steps - 1 : 0;
    for (uint32_t i = 0; i < n_in + n_out; i++) {
        if (number[i] == ND_ABSENT) continue;
        const plan_value *v = &plan->values[number[i]];
        int32_t status = check_step(plan, v, steps);
        if (status == ND_OK && i >= n_in) status = check_output(plan, v);
        if (status != ND_OK) return status;
    }
    for (uint32_t o = n_in; o < n_in + n_out; o++) {
        if (number[o] == ND_ABSENT) continue;
        const plan_value *out = &plan->values[number[o]];
        for (uint32_t i = 0; i < o; i++) {
            if (number[i] == ND_ABSENT) continue;
            const plan_value *other = &plan->values[number[i]];
            if (!overlap(out, other, last)) continue;
            if (i >= n_in) return refuse("two outputs overlap");
            if (i >= 32 || !(inplace >> i & 1)) return refuse("an output overlaps an input");
            if (!same_view(out, other)) return refuse("an output overlaps an input that is not the same view");
        }
    }
    return ND_OK;
}
