/* Running a plan. Contract: plan.h and ndiv.h. Nothing is allocated once there is a free context; nothing is locked. */
#define _POSIX_C_SOURCE 200809L
#include "plan.h"

#include <time.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "fp.h"

#ifdef _MSC_VER
#include <intrin.h>
static int take(int *flag) { return _InterlockedExchange((long volatile *)flag, 1) == 0; }
static void give(int *flag) { _InterlockedExchange((long volatile *)flag, 0); }
static plan_context *first(nd_plan *p) { return *(plan_context *volatile *)&p->contexts; }
static int push(nd_plan *p, plan_context *c) {
    return _InterlockedCompareExchangePointer((void *volatile *)&p->contexts, c, c->next) == c->next;
}
#else
static int take(int *flag) {
    return !__atomic_load_n(flag, __ATOMIC_RELAXED) && !__atomic_exchange_n(flag, 1, __ATOMIC_ACQUIRE);
}
static void give(int *flag) { __atomic_store_n(flag, 0, __ATOMIC_RELEASE); }
static plan_context *first(nd_plan *p) { return __atomic_load_n(&p->contexts, __ATOMIC_ACQUIRE); }
static int push(nd_plan *p, plan_context *c) {
    return __atomic_compare_exchange_n(&p->contexts, &c->next, c, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}
#endif

static int64_t now(void) {
    struct timespec t;
#ifdef _WIN32
    timespec_get(&t, TIME_UTC);
#else
    clock_gettime(CLOCK_MONOTONIC, &t);
#endif
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t context_bytes(const nd_plan *p) {
    return nd_align64(sizeof(plan_context)) + nd_align64((int64_t)p->n_operands * (int64_t)sizeof(void *)) +
           nd_align64((int64_t)p->n_slots * (int64_t)sizeof(void *)) + nd_align64(p->arena) + ND_GUARD +
           nd_align64(p->scratch) + ND_GUARD;
}

/* What tracing and compiling left free in the heap is as large as the arena and lies beside it for good unless it goes back to
   the system, which takes a millisecond. */
static void give_back(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

enum { LARGE = 8 << 20 };

static plan_context *new_context(nd_plan *p) {
    if (context_bytes(p) >= LARGE) give_back();
    void *block = nd_plan_zeroed(context_bytes(p));
    if (!block) return 0;
    plan_context *c = nd_plan_aligned(block);
    uint8_t *at = (uint8_t *)c + nd_align64(sizeof *c);
    c->block = block;
    c->busy = 1;
    c->data = (void **)at;
    at += nd_align64((int64_t)p->n_operands * (int64_t)sizeof(void *));
    c->given = (const void **)at;
    at += nd_align64((int64_t)p->n_slots * (int64_t)sizeof(void *));
    c->arena = at;
    c->scratch = at + nd_align64(p->arena) + ND_GUARD;
    nd_plan_guard(c->arena + p->arena, c->scratch);
    nd_plan_guard(c->scratch + p->scratch, (uint8_t *)c + context_bytes(p));
    for (uint32_t k = 0; k < p->n_operands; k++) {
        const plan_value *v = p->operands[k] == ND_ABSENT ? 0 : &p->values[p->operands[k]];
        if (v && !v->region) c->data[k] = c->arena + v->offset;
        else if (v && p->slots[v->slot].kind == ND_SLOT_CONSTANT)
            c->data[k] = nd_plan_address(p->constants[v->slot], v->offset);
    }
    c->next = first(p);
    while (!push(p, c)) c->next = first(p);
    return c;
}

static plan_context *take_context(nd_plan *p) {
    for (plan_context *c = first(p); c; c = c->next)
        if (take(&c->busy)) return c;
    return new_context(p);
}

/* Sets the addresses of operands whose slot has moved since this context last ran. */
static int32_t place_slots(const nd_plan *p, plan_context *c, void *const *slots) {
    for (uint32_t i = 0; i < p->n_slots; i++) {
        const plan_slot *slot = &p->slots[i];
        if (slot->kind == ND_SLOT_CONSTANT || (slots[i] == c->given[i] && slots[i])) continue;
        if (!slots[i] && slot->bytes) return nd_plan_refuse(ND_ENULL, "a slot has no memory");
        if ((uintptr_t)slots[i] % (uintptr_t)nd_item_size((int32_t)slot->dtype))
            return nd_plan_refuse(ND_EVALUE, "a slot's memory is not aligned to its elements");
        c->given[i] = slots[i];
        for (uint32_t k = p->first_patch[i]; k < p->first_patch[i + 1]; k++)
            c->data[p->patches[k].operand] = nd_plan_address(slots[i], p->patches[k].offset);
    }
    return ND_OK;
}

/* Moves the operands of a scan by `times` of their steps. */
static void move(const nd_plan *p, const plan_context *c, const plan_segment *s, int64_t times) {
    for (uint32_t m = s->first_move; m < s->end_move; m++) {
        void **data = &c->data[p->moves[m].operand];
        *data = nd_plan_address(*data, times * p->moves[m].step);
    }
}

static int32_t run_instructions(const nd_plan *p, const plan_context *c, uint32_t begin, uint32_t end, uint32_t *at) {
    void **data = c->data;
    void *scratch = c->scratch;
    for (const plan_instr *in = p->instr + begin, *stop = p->instr + end; in < stop; in++) {
        const int32_t status = in->run(&in->call, data + in->operand, scratch, in->persist);
        if (status != ND_OK) {
            *at = (uint32_t)(in - p->instr);
            return status;
        }
    }
    return ND_OK;
}

static int32_t run_timed(const nd_plan *p, const plan_context *c, uint32_t begin, uint32_t end, uint32_t *at,
                         int64_t *nanoseconds) {
    int32_t status = ND_OK;
    int64_t before = now();
    for (uint32_t i = begin; status == ND_OK && i < end; i++) {
        status = run_instructions(p, c, i, i + 1, at);
        const int64_t after = now();
        nanoseconds[i] += after - before;
        before = after;
    }
    return status;
}

static int32_t run_segments(const nd_plan *p, const plan_context *c, int64_t *nanoseconds, uint32_t *at) {
    for (uint32_t i = 0; i < p->n_segments; i++) {
        const plan_segment *s = &p->segments[i];
        for (int64_t step = 0; step < s->steps; step++) {
            const int32_t status = nanoseconds ? run_timed(p, c, s->begin, s->end, at, nanoseconds)
                                               : run_instructions(p, c, s->begin, s->end, at);
            const int last = status != ND_OK || step == s->steps - 1;
            if (s->steps > 1) move(p, c, s, last ? -step : 1);
            if (status != ND_OK) return status;
        }
    }
    return ND_OK;
}

static int32_t run(nd_plan *p, void *const *slots, int64_t *nanoseconds, int64_t *where) {
    uint32_t at = 0;
    if (where) *where = -1;
    if (!p || (!slots && p->n_slots)) return nd_plan_refuse(ND_ENULL, "there is no plan or no table of slots");
    plan_context *c = take_context(p);
    if (!c) return nd_plan_refuse(ND_EMEMORY, "there is not enough memory to run the plan");
    int32_t status = place_slots(p, c, slots);
    if (status == ND_OK) {
        const uint64_t fp = nd_fp_enter();
        const int limit = nd_parallel_limit(p->threads);
        status = run_segments(p, c, nanoseconds, &at);
        nd_parallel_limit(limit);
        nd_fp_set(fp);
        if (status != ND_OK) {
            nd_plan_refuse(status, "the operation found its data bad");
            if (where) *where = at;
        }
    }
    give(&c->busy);
    return status;
}

int32_t nd_plan_run(nd_plan *plan, void *const *slots, int64_t *where) { return run(plan, slots, 0, where); }

int32_t nd_plan_profile(nd_plan *plan, void *const *slots, int64_t *nanoseconds, int64_t *where) {
    if (!nanoseconds) return nd_plan_refuse(ND_ENULL, "there is no place for the times");
    return run(plan, slots, nanoseconds, where);
}

int64_t nd_plan_bytes(const nd_plan *p, int32_t what) {
    if (!p || what < 0 || what > 3) return -1;
    int64_t total = p->fixed + p->persist;
    for (plan_context *c = first((nd_plan *)p); c; c = c->next) total += context_bytes(p);
    const int64_t answers[] = {p->arena, p->scratch, p->persist, total};
    return answers[what];
}
