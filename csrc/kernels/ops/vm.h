/* vm: a straight-line program on every element of one iteration space.
 *
 * inputs   at most 24 views with the dims of the outputs and any strides (0: broadcast); any dtype, read as float32
 * outputs  1 to 8, dense, all of one shape; any dtype, converted from float32 (vm_convert.h)
 * attrs    code: its length in words, then 5 words an instruction {opcode, destination, a, b, c}; then the constants
 *          (their number, doubles, rounded to float32). Operands: register 0 .. 31, 64 + input, 128 + constant. The opcodes
 *          are those of vm_ops.def; `store` writes output `destination` from a (b: the dtype asked for, or 5 for the value's
 *          own). Every output is stored once, after all else. At most 512 instructions and 64 constants; unused words are 0.
 *
 * A program that only stores an input is a copy: it converts directly between the two dtypes and moves bits between equal
 * ones. Each result depends on one element of each input, so the result is the same however the work is divided.
 */
#include "vm_kernels.h"
#include "vm_convert.h"
#include "vm_plan.h"

static int32_t op_vm_prepare(nd_call *c) {
    const int32_t status = vm_check_views(c);
    ND_REQUIRE(status == ND_OK, status);
    vm_plan plan;
    ND_REQUIRE(vm_decode(c, &plan), ND_EVALUE);
    vm_layout(c, &plan);
    c->scratch = plan.worker_bytes * (c->threads > 0 ? c->threads : 1);
    c->persist = (int64_t)sizeof plan + plan.n_const * VM_SPLAT * 4;
    return ND_OK;
}

static int32_t op_vm_pack(const nd_call *c, void *const *data, void *persist) {
    (void)data;
    vm_plan *p = persist;
    vm_decode(c, p);
    vm_layout(c, p);
    if (p->size) {
        if (!p->copy) vm_write_through(p);
        vm_mark_steps(p);
    }
    float *splat = (float *)(p + 1);
    for (int i = 0; i < p->n_const * VM_SPLAT; i++)
        splat[i] = (float)nd_attr_f64(c, (int)(c->attr[0] + 2 + i / VM_SPLAT));
    return ND_OK;
}

/* Two axes of a box. An axis that repeats is written once and then doubled; a transposed one is turned in registers. */
static void vm_move2(vm_convert convert, const int64_t *dims, char *d, const int64_t *d_stride, int64_t d_item, const char *s,
                     const int64_t *s_stride, int64_t s_item) {
    if (s_stride[0] == 0 && d_stride[1] == 1 && d_stride[0] == dims[1]) {
        const size_t row = (size_t)(dims[1] * d_item);
        convert(dims[1], d, 1, s, s_stride[1]);
        for (int64_t done = 1; done < dims[0];) {
            const int64_t more = vm_least(done, dims[0] - done);
            memcpy(d + (size_t)done * row, d, (size_t)more * row);
            done += more;
        }
    } else if (s_stride[0] == 1 && d_stride[1] == 1 && convert == vm_bits32 && s_stride[1] != 1) {
        vm_transpose(dims[0], dims[1], (float *)(void *)d, d_stride[0], (const float *)(const void *)s, s_stride[1]);
    } else if (s_stride[0] == 1 && s_stride[1] != 1) { /* read along the contiguous axis */
        for (int64_t i = 0; i < dims[1]; i++)
            convert(dims[0], d + i * d_stride[1] * d_item, d_stride[0], s + i * s_stride[1] * s_item, 1);
    } else {
        for (int64_t i = 0; i < dims[0]; i++)
            convert(dims[1], d + i * d_stride[0] * d_item, d_stride[1], s + i * s_stride[0] * s_item, s_stride[1]);
    }
}

/* Moves one box between two layouts. */
static void vm_move(vm_convert convert, int rank, const int64_t *dims, char *d, const int64_t *d_stride, int64_t d_item,
                    const char *s, const int64_t *s_stride, int64_t s_item) {
    if (rank == 0) {
        convert(1, d, 1, s, 1);
    } else if (rank == 1) {
        convert(dims[0], d, d_stride[0], s, s_stride[0]);
    } else if (rank == 2) {
        vm_move2(convert, dims, d, d_stride, d_item, s, s_stride, s_item);
    } else {
        for (int64_t i = 0; i < dims[0]; i++)
            vm_move(convert, rank - 1, dims + 1, d + i * d_stride[0] * d_item, d_stride + 1, d_item,
                    s + i * s_stride[0] * s_item, s_stride + 1, s_item);
    }
}

typedef struct {
    const vm_plan *plan;
    void *const *data;
    char *scratch;
    int64_t boxes_per_task;
} vm_job;

/* The state of one worker on its way through a range of boxes. */
typedef struct {
    const vm_plan *p;
    void *const *data;
    int64_t at[ND_MAX_RANK]; /* the box's place */
    int rank;                /* axes of the box that are longer than 1, outermost first, with their numbers */
    int axis[ND_MAX_RANK];
    int64_t dims[ND_MAX_RANK], dense[ND_MAX_RANK], n;
    float *slot[VM_SLOTS];
    float *blocks, *splats;
} vm_worker;

static void vm_enter_box(vm_worker *w) {
    const vm_plan *p = w->p;
    w->n = 1;
    for (int k = w->rank - 1; k >= 0; k--) {
        const int axis = w->axis[k];
        w->dims[k] = vm_least(p->box[axis], p->dims[axis] - w->at[axis] * p->box[axis]);
        w->dense[k] = w->n;
        w->n *= w->dims[k];
    }
}

static char *vm_address(const vm_worker *w, const vm_operand *o, void *base) {
    int64_t offset = 0;
    for (int axis = 0; axis < w->p->rank; axis++) offset += w->at[axis] * w->p->box[axis] * o->stride[axis];
    return (char *)base + offset * o->item;
}

static void vm_box_strides(const vm_worker *w, const vm_operand *o, int64_t *stride) {
    for (int k = 0; k < w->rank; k++) stride[k] = o->stride[w->axis[k]];
}

static void vm_gather(const vm_worker *w, const vm_operand *o, const char *from, float *block, int32_t to, int64_t item) {
    int64_t stride[ND_MAX_RANK];
    vm_box_strides(w, o, stride);
    vm_move(vm_converts[o->dtype][to], w->rank, w->dims, (char *)block, w->dense, item, from, stride, o->item);
}

static void vm_splat(const vm_operand *o, const char *from, float *splat) {
    vm_converts[o->dtype][ND_F32](VM_SPLAT, splat, 1, from, 0);
}

/* Brings the inputs of this box into reach; `first` is the first box of the task. */
static void vm_inputs(vm_worker *w, int first) {
    const vm_plan *p = w->p;
    for (int i = 0; i < p->n_in; i++) {
        const vm_operand *o = &p->in[i];
        float **slot = &w->slot[VM_SLOT_IN + i];
        if (o->mode == VM_IN_PLACE) {
            *slot = (float *)(void *)vm_address(w, o, w->data[i]);
        } else if (o->mode >= VM_PER_BOX) {
            *slot = w->splats + o->buffer * VM_SPLAT;
            if (first || o->mode == VM_PER_BOX) vm_splat(o, vm_address(w, o, w->data[i]), *slot);
        } else {
            *slot = w->blocks + o->buffer * p->block;
            if (o->mode == VM_GATHERED) {
                vm_gather(w, o, vm_address(w, o, w->data[i]), *slot, ND_F32, 4);
            } else if (first) { /* a whole box, even where this one is cut short: the next may not be */
                vm_worker whole = *w;
                memset(whole.at, 0, sizeof whole.at);
                vm_enter_box(&whole);
                vm_gather(&whole, o, w->data[i], *slot, ND_F32, 4);
            }
        }
    }
}

static void vm_store(const vm_worker *w, const vm_instr *t) {
    static const int64_t still[ND_MAX_RANK];
    const vm_plan *p = w->p;
    const vm_operand *o = &p->out[t->dst];
    if (t->a == VM_SLOT_OUT + t->dst) return; /* written through */
    int64_t stride[ND_MAX_RANK];
    vm_box_strides(w, o, stride);
    vm_move(vm_converts[ND_F32][o->dtype], w->rank, w->dims, vm_address(w, o, w->data[p->n_in + t->dst]), stride, o->item,
            (const char *)w->slot[t->a], t->steps & VM_A ? w->dense : still, 4);
}

static void vm_copy_box(vm_worker *w) {
    const vm_plan *p = w->p;
    const int input = p->code[0].a - VM_SLOT_IN;
    const vm_operand *o = &p->in[input], *out = &p->out[0];
    const char *from = vm_address(w, o, w->data[input]);
    char *to = vm_address(w, out, w->data[p->n_in]);
    int64_t stride[ND_MAX_RANK];
    vm_box_strides(w, out, stride);
    if (p->tiled && o->item + out->item != 8) { /* through a block, so that both memories are walked in order */
        vm_gather(w, o, from, w->blocks, out->dtype, out->item);
        vm_move(vm_converts[out->dtype][out->dtype], w->rank, w->dims, to, stride, out->item, (const char *)w->blocks,
                w->dense, out->item);
    } else {
        int64_t source[ND_MAX_RANK];
        vm_box_strides(w, o, source);
        vm_move(vm_converts[o->dtype][out->dtype], w->rank, w->dims, to, stride, out->item, from, source, o->item);
    }
}

static void vm_run_box(vm_worker *w, int first) {
    const vm_plan *p = w->p;
    vm_inputs(w, first);
    for (int j = 0; j < p->n_out; j++)
        if (p->out[j].mode)
            w->slot[VM_SLOT_OUT + j] = (float *)(void *)vm_address(w, &p->out[j], w->data[p->n_in + j]);
    const vm_instr *t = p->code, *end = t + p->n_code;
    for (; t < end; t++)
        vm_opcodes[t->op].run(w->n, w->slot[t->dst], w->slot[t->a], w->slot[t->b], w->slot[t->c], t->steps);
    for (end += p->n_store; t < end; t++) vm_store(w, t);
}

static void vm_task(void *context, int64_t task, int worker) {
    const vm_job *job = context;
    const vm_plan *p = job->plan;
    vm_worker w;
    w.p = p;
    w.data = job->data;
    w.rank = 0;
    for (int axis = 0; axis < p->rank; axis++)
        if (p->box[axis] > 1) w.axis[w.rank++] = axis;
    w.blocks = (float *)(void *)(job->scratch + worker * p->worker_bytes);
    w.splats = w.blocks + (p->n_blocks + p->n_reg) * p->block;
    w.slot[0] = w.blocks; /* operands that an opcode does not have are slot 0 */
    for (int r = 0; r < p->n_reg; r++) w.slot[r] = w.blocks + (p->n_blocks + r) * p->block;
    for (int i = 0; i < p->n_const; i++) w.slot[VM_SLOT_CONST + i] = (float *)(uintptr_t)(p + 1) + i * VM_SPLAT;
    const int64_t start = task * job->boxes_per_task, stop = vm_least(start + job->boxes_per_task, p->boxes);
    int64_t rest = start;
    for (int axis = p->rank - 1; axis >= 0; axis--) {
        w.at[axis] = rest % p->count[axis];
        rest /= p->count[axis];
    }
    for (int64_t box = start; box < stop; box++) {
        vm_enter_box(&w);
        if (p->copy) vm_copy_box(&w);
        else vm_run_box(&w, box == start);
        for (int axis = p->rank - 1; axis >= 0 && ++w.at[axis] == p->count[axis]; axis--) w.at[axis] = 0;
    }
}

static int32_t op_vm_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {
    const vm_plan *p = persist;
    if (!p->size) return ND_OK;
    enum { TASK_COST = 32768 }; /* additions that are worth a task */
    const double work = (double)p->size * (double)p->cost;
    int64_t tasks = c->threads > 1 ? 4 * (int64_t)c->threads : 1;
    if (work < (double)tasks * TASK_COST) tasks = (int64_t)(work / TASK_COST);
    if (tasks > p->boxes) tasks = p->boxes;
    if (tasks < 1) tasks = 1;
    vm_job job = {p, data, scratch, (p->boxes + tasks - 1) / tasks};
    tasks = (p->boxes + job.boxes_per_task - 1) / job.boxes_per_task;
    if (tasks == 1) vm_task(&job, 0, 0);
    else nd_parallel(tasks, vm_task, &job);
    return ND_OK;
}

#define ND_OPS_VM(X) X(vm, 0xffffff, op_vm_pack)
