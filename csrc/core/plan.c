/* Loading a plan: reads and checks the bytes, lets every operation check and prepare its call, packs constants.
   Contract: plan.h and ndiv.h. The tables lie in one block, packed constants in another, each context in its own. */
#include "plan.h"

#include <stdlib.h>

#include "fp.h"
#include "table.h"

static ND_THREAD_LOCAL const char *why = "";

const char *nd_plan_why(void) { return why; }

int32_t nd_plan_refuse(int32_t status, const char *reason) {
    why = reason;
    return status;
}

static int32_t refuse(const char *reason) { return nd_plan_refuse(ND_EPLAN, reason); }

void *nd_plan_zeroed(int64_t bytes) {
    return bytes < 0 || (uint64_t)bytes > SIZE_MAX / 2 ? 0 : calloc((size_t)bytes + 64, 1);
}

void *nd_plan_aligned(void *block) { return (uint8_t *)block + (64 - (uintptr_t)block % 64) % 64; }

/* The next part of a block: with a base its address, and `at` moves on in any case, to the next multiple of 64. */
static void *part(uint8_t *base, int64_t *at, uint64_t count, size_t item) {
    void *here = base ? base + *at : 0;
    *at += nd_align64((int64_t)(count * item)); /* count < 2^32, item < 2^10 */
    return here;
}

/* Places the tables in the block at `base` (NULL: only measures) and returns the bytes they take. */
static int64_t place(nd_plan *p, uint8_t *base) {
    int64_t at = 0;
    part(base, &at, 1, sizeof *p);
    p->slots = part(base, &at, p->n_slots, sizeof *p->slots);
    p->values = part(base, &at, p->n_values, sizeof *p->values);
    p->instr = part(base, &at, p->n_instr, sizeof *p->instr);
    p->segments = part(base, &at, 2 * (uint64_t)p->n_instr + 1, sizeof *p->segments);
    p->moves = part(base, &at, p->n_operands, sizeof *p->moves);
    p->patches = part(base, &at, p->n_operands, sizeof *p->patches);
    p->first_patch = part(base, &at, (uint64_t)p->n_slots + 1, sizeof *p->first_patch);
    p->operands = part(base, &at, p->n_operands, sizeof *p->operands);
    p->views = part(base, &at, p->n_operands, sizeof *p->views);
    p->constants = part(base, &at, p->n_slots, sizeof *p->constants);
    p->attrs = part(base, &at, p->n_attrs, sizeof *p->attrs);
    return at;
}

static nd_plan *create(const plan_bytes *b) {
    nd_plan sizes;
    memset(&sizes, 0, sizeof sizes);
    sizes.arena = b->arena;
    sizes.threads = nd_threads();
    sizes.n_slots = b->n_slots;
    sizes.n_values = b->n_values;
    sizes.n_instr = b->n_instr;
    sizes.n_operands = b->n_operands;
    sizes.n_attrs = b->n_attrs;
    sizes.fixed = place(&sizes, 0);
    void *block = nd_plan_zeroed(sizes.fixed);
    if (!block) return 0;
    nd_plan *p = nd_plan_aligned(block);
    *p = sizes;
    p->block = block;
    place(p, (uint8_t *)p);
    for (uint32_t k = 0; k < p->n_operands; k++) p->operands[k] = nd_u32(b->operands + (uint64_t)k * 4);
    for (uint32_t k = 0; k < p->n_attrs; k++) p->attrs[k] = nd_i64(b->attrs + (uint64_t)k * 8);
    return p;
}

void nd_plan_free(nd_plan *p) {
    if (!p) return;
    for (plan_context *c = p->contexts, *next; c; c = next) {
        next = c->next;
        free(c->block);
    }
    free(p->packed_block);
    free(p->block);
}

/* Operations by the plan's numbers; NULL stands for "scan". */
static int32_t find_operations(const plan_bytes *b, const nd_op **ops, int64_t *where) {
    const nd_op *table = nd_table_active()->ops;
    for (uint32_t i = 0; i < b->n_ops; i++) {
        const char *name = (const char *)b->ops + (uint64_t)i * ND_NAME; /* ends with NUL: plan_read.c */
        const nd_op *op = table;
        while (op->name && strcmp(op->name, name) != 0) op++;
        ops[i] = op->name ? op : 0;
        if (op->name || strcmp(name, "scan") == 0) continue;
        for (uint32_t k = 0; k < b->n_instr && *where < 0; k++)
            if (nd_u32(b->instr + (uint64_t)k * ND_INSTR_SIZE) == i) *where = k;
        return refuse("the operation is not known");
    }
    return ND_OK;
}

static int32_t check_constants(nd_plan *p, const void *const *given) {
    for (uint32_t i = 0; i < p->n_slots; i++) {
        const plan_slot *slot = &p->slots[i];
        if (slot->kind != ND_SLOT_CONSTANT) continue;
        p->constants[i] = given ? given[i] : 0;
        if (!p->constants[i] && slot->bytes) return nd_plan_refuse(ND_ENULL, "a constant is missing");
        if ((uintptr_t)p->constants[i] % (uintptr_t)nd_item_size((int32_t)slot->dtype))
            return nd_plan_refuse(ND_EVALUE, "a constant is not aligned to its elements");
    }
    return ND_OK;
}

static const char *prepare_reason(int32_t status) {
    switch (status) {
        case ND_ENULL: return "the operation refuses its operands: one is missing";
        case ND_ESIZE: return "the operation refuses its operands: sizes do not fit";
        default: return "the operation refuses its operands: a dtype, layout, number or attribute is not valid";
    }
}

/* Checks and prepares one instruction; its operands start at `operand`. */
static int32_t prepare(nd_plan *p, const plan_bytes *b, uint32_t i, const nd_op *op, int64_t steps) {
    const uint8_t *bytes = b->instr + (uint64_t)i * ND_INSTR_SIZE;
    const uint32_t n_in = nd_u32(bytes + 4), n_out = nd_u32(bytes + 8), operand = nd_u32(bytes + 12);
    plan_instr *in = &p->instr[i];
    int32_t status = nd_plan_operands(p, operand, n_in, n_out, op->inplace, steps);
    if (status != ND_OK) return status;
    for (uint32_t k = operand; k < operand + n_in + n_out; k++)
        p->views[k] = p->operands[k] == ND_ABSENT ? 0 : &p->values[p->operands[k]].view;
    nd_call call = {(int32_t)n_in, (int32_t)n_out, (int32_t)nd_u32(bytes + 20), p->threads, p->views + operand,
                    p->attrs + nd_u32(bytes + 16), 0, 0, {0}};
    in->operand = operand;
    in->run = op->run;
    in->call = call;
    status = op->prepare(&in->call);
    if (status != ND_OK) return refuse(prepare_reason(status));
    const int64_t scratch = in->call.scratch, persist = in->call.persist;
    if (scratch < 0 || scratch > ND_PLAN_BYTES || persist < 0 || persist > ND_PLAN_BYTES - p->persist ||
        (persist && !op->pack))
        return refuse("the operation needs too much memory");
    if (scratch > p->scratch) p->scratch = scratch;
    in->packed = p->persist;
    p->persist += persist ? nd_align64(persist) + ND_GUARD : 0;
    return ND_OK;
}

/* A segment for instructions begin .. end - 1, with the moves of its operands when it is a scan. */
static void add_segment(nd_plan *p, uint32_t begin, uint32_t end, int64_t steps) {
    if (begin == end) return;
    plan_segment *s = &p->segments[p->n_segments++];
    s->begin = begin;
    s->end = end;
    s->steps = steps;
    s->first_move = p->n_moves;
    for (uint32_t i = begin; steps > 1 && i < end; i++)
        for (uint32_t k = 0; k < (uint32_t)(p->instr[i].call.n_in + p->instr[i].call.n_out); k++) {
            const uint32_t number = p->operands[p->instr[i].operand + k];
            if (number == ND_ABSENT || p->values[number].step == 0) continue;
            p->moves[p->n_moves].operand = p->instr[i].operand + k;
            p->moves[p->n_moves++].step = p->values[number].step;
        }
    s->end_move = p->n_moves;
}

/* The steps and the number of instructions of scan i, which are after it and none of them a scan. */
static int32_t read_scan(const nd_plan *p, const plan_bytes *b, const nd_op *const *ops, uint32_t i, int64_t *steps,
                         uint32_t *end) {
    const uint8_t *bytes = b->instr + (uint64_t)i * ND_INSTR_SIZE;
    if (nd_u32(bytes + 4) || nd_u32(bytes + 8) || nd_u32(bytes + 20) != 2)
        return refuse("a scan has two attributes and no operands");
    const int64_t *attr = p->attrs + nd_u32(bytes + 16);
    if (attr[0] < 1 || attr[0] > ND_PLAN_BYTES) return refuse("a scan's number of steps is not valid");
    if (attr[1] < 1 || attr[1] > (int64_t)p->n_instr - i - 1) return refuse("a scan has more instructions than there are");
    *steps = attr[0];
    *end = i + 1 + (uint32_t)attr[1];
    for (uint32_t k = i + 1; k < *end; k++)
        if (!ops[nd_u32(b->instr + (uint64_t)k * ND_INSTR_SIZE)]) return refuse("a scan is inside a scan");
    return ND_OK;
}

static int32_t prepare_all(nd_plan *p, const plan_bytes *b, const nd_op *const *ops, int64_t *where) {
    int32_t status = ND_OK;
    int64_t steps = 0;                 /* of the scan that instruction i is in */
    uint32_t begin = 0, end = p->n_instr; /* of the segment */
    for (uint32_t i = 0; i < p->n_instr; i++) {
        const nd_op *op = ops[nd_u32(b->instr + (uint64_t)i * ND_INSTR_SIZE)];
        *where = i;
        if (i == end) {
            add_segment(p, begin, end, steps);
            begin = end;
            end = p->n_instr;
            steps = 0;
        }
        if (!op) {
            add_segment(p, begin, i, 1);
            begin = i + 1;
            status = read_scan(p, b, ops, i, &steps, &end);
        } else {
            status = prepare(p, b, i, op, steps);
        }
        if (status != ND_OK) return status;
    }
    add_segment(p, begin, p->n_instr, steps ? steps : 1);
    *where = -1;
    return ND_OK;
}

/* The operands that each run must place, by slot. */
static void list_patches(nd_plan *p) {
    uint32_t *next = p->first_patch + 1; /* counts, then ends that run ahead while the list fills */
    for (uint32_t k = 0; k < p->n_operands; k++) {
        const plan_value *v = p->operands[k] == ND_ABSENT ? 0 : &p->values[p->operands[k]];
        if (v && v->region && p->slots[v->slot].kind != ND_SLOT_CONSTANT) next[v->slot]++;
    }
    uint32_t sum = 0;
    for (uint32_t i = 0; i < p->n_slots; i++) {
        const uint32_t count = next[i];
        next[i] = sum;
        sum += count;
    }
    for (uint32_t k = 0; k < p->n_operands; k++) {
        const plan_value *v = p->operands[k] == ND_ABSENT ? 0 : &p->values[p->operands[k]];
        if (!v || !v->region || p->slots[v->slot].kind == ND_SLOT_CONSTANT) continue;
        plan_patch *patch = &p->patches[next[v->slot]++];
        patch->operand = k;
        patch->offset = v->offset;
    }
}

static int32_t pack(nd_plan *p, const plan_bytes *b, const nd_op *const *ops, int64_t *where) {
    void *data[ND_PLAN_OPERANDS];
    int32_t status = ND_OK;
    if (p->persist == 0) return ND_OK;
    p->packed_block = nd_plan_zeroed(p->persist);
    if (!p->packed_block) return nd_plan_refuse(ND_EMEMORY, "there is not enough memory for the packed constants");
    uint8_t *packed = nd_plan_aligned(p->packed_block);
    const uint64_t fp = nd_fp_enter();
    const int limit = nd_parallel_limit(p->threads);
    for (uint32_t i = 0; status == ND_OK && i < p->n_instr; i++) {
        plan_instr *in = &p->instr[i];
        if (!in->run || in->call.persist == 0) continue;
        for (int32_t k = 0; k < in->call.n_in + in->call.n_out; k++) {
            const uint32_t number = p->operands[in->operand + (uint32_t)k];
            const plan_value *v = number == ND_ABSENT ? 0 : &p->values[number];
            const int constant = v && v->region && p->slots[v->slot].kind == ND_SLOT_CONSTANT;
            data[k] = constant ? nd_plan_address(p->constants[v->slot], v->offset) : 0;
        }
        *where = i;
        in->persist = packed + in->packed;
        nd_plan_guard(packed + in->packed + in->call.persist, packed + in->packed + nd_align64(in->call.persist) + ND_GUARD);
        status = ops[nd_u32(b->instr + (uint64_t)i * ND_INSTR_SIZE)]->pack(&in->call, data, in->persist);
    }
    nd_parallel_limit(limit);
    nd_fp_set(fp);
    if (status != ND_OK) return refuse("the operation cannot pack its constants");
    *where = -1;
    return ND_OK;
}

static int32_t load(nd_plan *p, const plan_bytes *b, const void *const *slots, int64_t *where) {
    const nd_op **ops = nd_plan_zeroed((int64_t)b->n_ops * (int64_t)sizeof *ops);
    if (!ops) return nd_plan_refuse(ND_EMEMORY, "there is not enough memory for the plan");
    int32_t status = find_operations(b, ops, where);
    if (status == ND_OK) status = nd_plan_values(b, p);
    if (status == ND_OK) status = prepare_all(p, b, ops, where);
    if (status == ND_OK) status = check_constants(p, slots);
    if (status == ND_OK) status = pack(p, b, ops, where);
    if (status == ND_OK) list_patches(p);
    free(ops);
    return status;
}

int32_t nd_plan_load(const uint8_t *bytes, uint64_t size, const void *const *slots, nd_plan **out, int64_t *where) {
    plan_bytes b;
    int64_t at = -1;
    if (!out) return nd_plan_refuse(ND_ENULL, "there is no place for the plan");
    *out = 0;
    int32_t status = nd_plan_read(bytes, size, &b, &at);
    if (status == ND_OK) {
        nd_plan *p = create(&b);
        status = p ? load(p, &b, slots, &at) : nd_plan_refuse(ND_EMEMORY, "there is not enough memory for the plan");
        if (status == ND_OK) *out = p;
        else nd_plan_free(p);
    }
    if (where) *where = status == ND_OK ? -1 : at;
    return status;
}
