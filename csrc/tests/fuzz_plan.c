/* A libFuzzer target for plans: whatever the bytes, loading does not crash, and what loads runs without leaving its memory.
 *
 * Size and checksum are put right first, so that mutations reach what is behind them; the checksum's first byte chooses
 * what the slots hold. Slots are allocated one by one with exactly their size: the address sanitizer watches their ends.
 * The mutator knows the format (core/plan.h): most of its changes keep views inside their slots and equal dims equal, so that
 * they reach the operations' own checks. Small plans are run, twice, with several threads allowed.
 * Built and started by run_fuzz.sh; ISA=scalar and so on in the environment chooses the instruction set. */
#include <math.h>
#include <stdlib.h>

#include "../core/plan.h"

enum { MOST_BYTES = 1 << 20, MOST_ITEMS = 1 << 12, MOST_STEPS = 64, SLOTS = 64 };

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    if (getenv("ISA") && nd_isa_select(getenv("ISA")) != ND_OK) abort();
    return nd_set_threads(3);
}

static void put32(uint8_t *p, uint32_t x) {
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(x >> (8 * i));
}

static void put64(uint8_t *p, uint64_t x) {
    put32(p, (uint32_t)x);
    put32(p + 4, (uint32_t)(x >> 32));
}

static uint32_t crc32(const uint8_t *p, size_t n) {
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
    }
    return ~c;
}

/* running --------------------------------------------------------------------------------------------------------- */

/* Contents of a slot: zeros; small whole numbers; random bits; numbers around 1. */
static void fill(uint8_t *p, uint64_t bytes, uint32_t dtype, int mode, uint32_t seed) {
    for (uint64_t at = 0; at + 4 <= bytes && mode; at += 4) {
        seed = seed * 1664525u + 1013904223u;
        const uint32_t word = seed >> 8;
        if (mode == 1 && (dtype == ND_I64 ? at % 8 == 0 : dtype == ND_I32)) put32(p + at, word % 5);
        else if (mode == 1 && dtype == ND_BOOL) put32(p + at, word & 0x01010101u);
        else if (mode == 2) put32(p + at, seed ^ seed >> 16);
        else if (dtype == ND_F32) put32(p + at, 0x3f000000u + word % 0x1000000u);
    }
}

static int small_enough(const nd_plan *p) {
    int64_t steps = 0;
    if (p->arena > MOST_BYTES || p->scratch > 16 * MOST_BYTES) return 0;
    for (uint32_t i = 0; i < p->n_values; i++) {
        int64_t items = 1; /* without the axes of length 0: a sum over nothing is work for each of its results */
        const nd_view *v = &p->values[i].view;
        for (int k = 0; k < v->rank; k++) items *= v->dims[k] ? v->dims[k] : 1;
        if (items > MOST_ITEMS) return 0;
    }
    for (uint32_t i = 0; i < p->n_segments; i++) {
        if (p->segments[i].steps > MOST_STEPS) return 0;
        steps += p->segments[i].steps * (p->segments[i].end - p->segments[i].begin);
    }
    return steps <= MOST_STEPS;
}

static void load_and_run(const uint8_t *bytes, size_t size, uint32_t n_slots, void **slots) {
    nd_plan *plan = 0;
    int64_t where = 0;
    const int32_t status = nd_plan_load(bytes, size, (const void *const *)slots, &plan, &where);
    if ((status == ND_OK) != (plan != 0) || where < -1) abort();
    if (plan && n_slots != plan->n_slots) abort();
    for (int i = 0; plan && i < 2 && small_enough(plan); i++) nd_plan_run(plan, slots, &where);
    if (plan && nd_plan_bytes(plan, 3) <= 0) abort();
    nd_plan_free(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    void *slots[SLOTS] = {0};
    if (size < ND_HEADER) {
        load_and_run(data, size, 0, slots);
        return 0;
    }
    const int mode = data[24] & 3;
    uint8_t *bytes = malloc(size); /* exactly */
    memcpy(bytes, data, size);
    put64(bytes + 16, size);
    put64(bytes + 24, crc32(bytes + ND_HEADER, size - ND_HEADER));
    const uint64_t n_ops = nd_u32(bytes + 40), n_slots = nd_u32(bytes + 44);
    uint64_t total = 0;
    int fits = n_slots <= SLOTS && ND_HEADER + n_ops * ND_NAME + n_slots * ND_SLOT_SIZE <= size;
    const uint8_t *slot = bytes + ND_HEADER + n_ops * ND_NAME;
    for (uint64_t i = 0; fits && i < n_slots; i++) {
        const uint64_t room = nd_u64(slot + i * ND_SLOT_SIZE + 8);
        fits = room <= MOST_BYTES && (total += room) <= MOST_BYTES;
    }
    for (uint64_t i = 0; fits && i < n_slots; i++) {
        const uint64_t room = nd_u64(slot + i * ND_SLOT_SIZE + 8);
        slots[i] = calloc(1, room);
        fill(slots[i], room, nd_u32(slot + i * ND_SLOT_SIZE + 4), mode, (uint32_t)i);
    }
    if (fits) load_and_run(bytes, size, (uint32_t)n_slots, slots);
    for (int i = 0; i < SLOTS; i++) free(slots[i]);
    free(bytes);
    return 0;
}

/* mutating -------------------------------------------------------------------------------------------------------- */

static uint32_t state = 1;

static uint32_t below(uint32_t n) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return n ? state % n : 0;
}

typedef struct {
    uint8_t *bytes, *slots, *values, *instr, *operands, *attrs;
    uint32_t n_slots, n_values, n_instr, n_operands, n_attrs;
} sections;

/* Where the sections are; 0 when they do not add up. */
static int find(uint8_t *bytes, size_t size, sections *s) {
    if (size < ND_HEADER) return 0;
    const uint64_t n[6] = {nd_u32(bytes + 40), nd_u32(bytes + 44), nd_u32(bytes + 48),
                           nd_u32(bytes + 52), nd_u32(bytes + 56), nd_u32(bytes + 60)};
    const uint64_t slots = ND_HEADER + n[0] * ND_NAME, values = slots + n[1] * ND_SLOT_SIZE;
    const uint64_t instr = values + n[2] * ND_VALUE_SIZE, operands = instr + n[3] * ND_INSTR_SIZE;
    const uint64_t attrs = operands + (n[4] * 4 + 7) / 8 * 8;
    if (attrs + n[5] * 8 != size || !n[2] || !n[3]) return 0;
    const sections found = {bytes, bytes + slots, bytes + values, bytes + instr, bytes + operands, bytes + attrs,
                            (uint32_t)n[1], (uint32_t)n[2], (uint32_t)n[3], (uint32_t)n[4], (uint32_t)n[5]};
    *s = found;
    return 1;
}

static int64_t number(int64_t old) {
    static const int64_t some[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, -1, -2, -8, 255, 256, 65536,
                                   (int64_t)1 << 31, (int64_t)1 << 32, (int64_t)1 << 39, (int64_t)1 << 40, INT64_MAX, INT64_MIN};
    switch (below(4)) {
        case 0: return (int64_t)((uint64_t)old + 1);
        case 1: return (int64_t)((uint64_t)old - 1);
        default: return some[below(below(2) ? 16 : sizeof some / sizeof some[0])];
    }
}

static int64_t attribute(int64_t old) {
    static const double some[] = {0.0, -0.0, 1.0, -1.0, 0.5, 1e-8, 1e30, 1e308, 2.0, 1e-45};
    if (below(2)) return number(old);
    const double value = below(8) ? some[below(10)] : below(2) ? (double)INFINITY : (double)NAN;
    int64_t bits;
    memcpy(&bits, &value, 8);
    return bits;
}

static int rank_of(const uint8_t *value) { return nd_u32(value + 12) > ND_MAX_RANK ? ND_MAX_RANK : (int)nd_u32(value + 12); }

static void set_dense(uint8_t *value) {
    uint64_t step = 1;
    for (int i = rank_of(value) - 1; i >= 0; i--) {
        put64(value + 96 + 8 * i, step);
        step *= nd_u64(value + 32 + 8 * i);
    }
}

/* Gives every slot the size that its values need and moves views with negative strides to where they fit. */
static void fit_slots(const sections *s) {
    for (uint32_t k = 0; k < s->n_slots; k++) put64(s->slots + k * ND_SLOT_SIZE + 8, 0);
    for (uint32_t v = 0; v < s->n_values; v++) {
        uint8_t *p = s->values + (size_t)v * ND_VALUE_SIZE;
        if (nd_u32(p) != 1 || nd_u32(p + 4) >= s->n_slots || nd_u32(p + 8) >= ND_DTYPES) continue;
        const double item = (double)nd_item_size((int32_t)nd_u32(p + 8));
        double low = 0, high = item;
        for (int i = 0; i < rank_of(p); i++) {
            const double reach = ((double)nd_i64(p + 32 + 8 * i) - 1) * (double)nd_i64(p + 96 + 8 * i) * item;
            if (reach < 0) low += reach;
            else high += reach;
        }
        if (high - low > MOST_BYTES) continue;
        uint8_t *slot = s->slots + (size_t)nd_u32(p + 4) * ND_SLOT_SIZE;
        const uint64_t need = (uint64_t)(high - low);
        put64(p + 16, (uint64_t)-low);
        put32(slot + 4, nd_u32(p + 8));
        if (nd_u64(slot + 8) < need) put64(slot + 8, need);
    }
}

/* Changes a dim wherever it has that value: shapes still fit each other. */
static void change_dim(const sections *s) {
    const uint8_t *from = s->values + (size_t)below(s->n_values) * ND_VALUE_SIZE;
    if (!rank_of(from)) return;
    const int64_t old = nd_i64(from + 32 + 8 * below((uint32_t)rank_of(from))), new = number(old);
    for (uint32_t v = 0; v < s->n_values; v++) {
        uint8_t *p = s->values + (size_t)v * ND_VALUE_SIZE;
        for (int i = 0; i < rank_of(p); i++)
            if (nd_i64(p + 32 + 8 * i) == old && below(16)) put64(p + 32 + 8 * i, (uint64_t)new);
        if (below(8)) set_dense(p);
    }
}

static void change_value(const sections *s) {
    uint8_t *p = s->values + (size_t)below(s->n_values) * ND_VALUE_SIZE;
    const int rank = rank_of(p), axis = (int)below((uint32_t)rank), other = (int)below((uint32_t)rank);
    uint8_t *dim = p + 32 + 8 * axis, *stride = p + 96 + 8 * axis;
    switch (below(9)) {
        case 0: put32(p + 8, below(6)); break;
        case 1: /* one axis more or fewer */
            if (below(2) && rank) put32(p + 12, (uint32_t)rank - 1), put64(p + 24 + 8 * rank, 0), put64(p + 88 + 8 * rank, 0);
            else if (rank < ND_MAX_RANK)
                put32(p + 12, (uint32_t)rank + 1), put64(p + 32 + 8 * rank, below(3)), put64(p + 96 + 8 * rank, 1);
            break;
        case 2: put64(p + 24, (uint64_t)number(nd_i64(p + 24))); break;
        case 3: put64(dim, (uint64_t)number(nd_i64(dim))); break;
        case 4: put64(stride, (uint64_t)number(nd_i64(stride))); break;
        case 5: put64(stride, 0); break;
        case 6: put64(stride, 0 - nd_u64(stride)); break;
        case 7: /* strides exchanged */
            if (rank) {
                const uint64_t keep = nd_u64(stride);
                put64(stride, nd_u64(p + 96 + 8 * other));
                put64(p + 96 + 8 * other, keep);
            }
            break;
        default: /* anything */
            if (below(2)) put32(p + 4 * below(4), below(8));
            else put64(p + 16 + 8 * below(2), (uint64_t)number(0));
    }
}

static void change_instruction(const sections *s) {
    uint8_t *p = s->instr + (size_t)below(s->n_instr) * ND_INSTR_SIZE;
    const uint32_t n_ops = nd_u32(s->bytes + 40);
    switch (below(4)) {
        case 0: put32(p, below(n_ops)); break;
        case 1: put32(p + 4, nd_u32(p + 4) + 1), put32(p + 8, nd_u32(p + 8) - 1); break;
        case 2: put32(p + 4, nd_u32(p + 4) - 1), put32(p + 8, nd_u32(p + 8) + 1); break;
        default: put32(p + 4 * below(8), (uint32_t)number(0));
    }
}

static void change_operand(const sections *s) {
    if (!s->n_operands) return;
    put32(s->operands + 4 * (size_t)below(s->n_operands), below(4) ? below(s->n_values) : ND_ABSENT);
}

static void change_slot(const sections *s) {
    if (!s->n_slots) return;
    uint8_t *p = s->slots + (size_t)below(s->n_slots) * ND_SLOT_SIZE;
    if (below(4)) put32(p, below(4));
    else put64(p + 8, (uint64_t)number(nd_i64(p + 8)));
}

/* An attribute more or fewer for the last instruction; returns the new size. */
static size_t change_count(const sections *s, size_t size, size_t most) {
    uint8_t *last = s->instr + (size_t)(s->n_instr - 1) * ND_INSTR_SIZE;
    const uint32_t n = nd_u32(last + 20);
    if (below(2) && n && s->n_attrs) {
        put32(s->bytes + 60, s->n_attrs - 1);
        put32(last + 20, n - 1);
        return size - 8;
    }
    if (size + 8 > most) return size;
    put64(s->bytes + size, (uint64_t)attribute(1));
    put32(s->bytes + 60, s->n_attrs + 1);
    put32(last + 20, n + 1);
    return size + 8;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
    sections s;
    state = seed | 1;
    if (!find(data, size, &s) || below(50) == 0) return LLVMFuzzerMutate(data, size, most);
    for (uint32_t times = 1 + below(3); times; times--) {
        switch (below(12)) {
            case 0: case 1: case 2: change_dim(&s); break;
            case 3: case 4: case 5: change_value(&s); break;
            case 6: change_operand(&s); break;
            case 7: change_instruction(&s); break;
            case 8: change_slot(&s); break;
            case 9: put64(data + 32, (uint64_t)number(nd_i64(data + 32))), data[24] = (uint8_t)below(4); break;
            default:
                if (s.n_attrs) {
                    uint8_t *p = s.attrs + 8 * (size_t)below(s.n_attrs);
                    put64(p, (uint64_t)attribute(nd_i64(p)));
                }
        }
    }
    if (below(4)) fit_slots(&s);
    return below(30) ? size : change_count(&s, size, most);
}
