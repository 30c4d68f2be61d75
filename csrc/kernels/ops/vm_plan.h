/* What `vm` works out before it runs: the verified program in a compact form, and how the iteration space is cut.
 *
 * Adjacent axes that every operand walks as one are merged. The space is then cut into boxes of at most `block` elements:
 * whole trailing axes and a piece of the next, so that a box is one stretch of every dense operand. Where an input lies
 * transposed (another axis is its contiguous one), boxes are tiles over these two axes instead.
 */
enum {
    VM_MAX_IN = 24, VM_MAX_OUT = 8, VM_MAX_REG = 32, VM_MAX_CONST = 64, VM_MAX_CODE = 512, VM_WORDS = 5,
    VM_AT_IN = 64, VM_AT_CONST = 128, /* operands in the code: registers from 0, inputs from 64, constants from 128 */
    VM_SLOT_IN = VM_MAX_REG, VM_SLOT_OUT = VM_SLOT_IN + VM_MAX_IN, VM_SLOT_CONST = VM_SLOT_OUT + VM_MAX_OUT,
    VM_SLOTS = VM_SLOT_CONST + VM_MAX_CONST,
    VM_BLOCK = 1024, VM_COPY_BLOCK = 16384, VM_TILE_ROWS = 16, VM_TILE_COLS = 64, VM_SPLAT = 16 /* floats: one vector of any width */
};

/* How an input reaches the kernels: in place; gathered into a block for each box, or once; or as one number. */
enum { VM_IN_PLACE, VM_GATHERED, VM_STEADY, VM_PER_BOX, VM_SCALAR };

typedef struct {
    int64_t stride[ND_MAX_RANK];
    int32_t dtype, item; /* bytes of an element */
    int32_t mode;        /* inputs: VM_IN_PLACE ...; outputs: 1 where kernels may write in place */
    int32_t buffer;      /* inputs: number of its block or splat */
} vm_operand;

typedef struct {
    uint8_t op, steps, dst, a, b, c; /* slots; a store: output dst from slot a */
} vm_instr;

typedef struct {
    int32_t n_in, n_out, n_const, rank, tiled, copy;
    int32_t n_code, n_store, n_reg, n_blocks, n_splats; /* code: n_code instructions, then n_store stores */
    int64_t dims[ND_MAX_RANK], box[ND_MAX_RANK], count[ND_MAX_RANK], boxes, block, size, cost;
    int64_t worker_bytes; /* scratch of one worker */
    vm_operand in[VM_MAX_IN], out[VM_MAX_OUT];
    vm_instr code[VM_MAX_CODE];
} vm_plan; /* followed in `persist` by one splat a constant */

/* An axis of length 1, or one that continues its right neighbour in every operand, is no axis of its own. */
static void vm_collapse(const nd_call *c, vm_plan *p) {
    const nd_view *first = c->view[c->n_in];
    const int n = p->n_in + p->n_out;
    p->rank = 0;
    for (int axis = 0; axis < first->rank; axis++) {
        if (first->dims[axis] == 1) continue;
        int merge = p->rank > 0;
        for (int i = 0; i < n && merge; i++) {
            const vm_operand *o = i < p->n_in ? &p->in[i] : &p->out[i - p->n_in];
            const uint64_t step = (uint64_t)c->view[i]->strides[axis] * (uint64_t)first->dims[axis];
            merge = (uint64_t)o->stride[p->rank - 1] == step;
        }
        if (!merge) p->dims[p->rank++] = 1;
        p->dims[p->rank - 1] *= first->dims[axis];
        for (int i = 0; i < n; i++) {
            vm_operand *o = i < p->n_in ? &p->in[i] : &p->out[i - p->n_in];
            o->stride[p->rank - 1] = c->view[i]->strides[axis];
        }
    }
}

/* The axis, other than the last, along which some input is contiguous while it jumps along the last; -1: none, or the
   last axis is so short that whole rows make good boxes. */
static int vm_transposed_axis(const vm_plan *p) {
    for (int i = 0; i < p->n_in && p->size > VM_BLOCK && p->dims[p->rank - 1] > VM_TILE_COLS; i++) {
        const int64_t *stride = p->in[i].stride, last = stride[p->rank - 1];
        if (last == 0 || last == 1) continue;
        for (int axis = p->rank - 2; axis >= 0; axis--)
            if (stride[axis] == 1) return axis;
    }
    return -1;
}

static int64_t vm_least(int64_t a, int64_t b) { return a < b ? a : b; }

static void vm_cut(vm_plan *p) {
    for (int axis = 0; axis < p->rank; axis++) p->box[axis] = 1;
    const int across = vm_transposed_axis(p);
    p->tiled = across >= 0;
    if (p->tiled) {
        p->box[across] = vm_least(VM_TILE_ROWS, p->dims[across]);
        p->box[p->rank - 1] = vm_least(VM_TILE_COLS, p->dims[p->rank - 1]);
    } else {
        int64_t inner = 1;
        for (int axis = p->rank - 1; axis >= 0; axis--) {
            const int64_t most = p->block / inner, parts = (p->dims[axis] + most - 1) / most;
            int64_t size = (p->dims[axis] + parts - 1) / parts;
            if (parts > 1 && inner == 1) size = vm_least(most, (size + VM_SPLAT - 1) / VM_SPLAT * VM_SPLAT);
            p->box[axis] = size;
            inner *= size;
            if (parts > 1) break;
        }
    }
    p->boxes = 1;
    for (int axis = 0; axis < p->rank; axis++) {
        p->count[axis] = (p->dims[axis] + p->box[axis] - 1) / p->box[axis];
        p->boxes *= p->count[axis];
    }
}

/* Whether every box is one stretch of the operand. */
static int vm_one_stretch(const vm_plan *p, const vm_operand *o) {
    int64_t expect = 1;
    for (int axis = p->rank - 1; axis >= 0; axis--) {
        if (p->box[axis] == 1) continue;
        if (o->stride[axis] != expect) return 0;
        if (p->count[axis] > 1 && p->tiled) return 0;
        expect *= p->box[axis];
    }
    return 1;
}

static void vm_modes(vm_plan *p) {
    p->n_blocks = p->n_splats = 0;
    for (int i = 0; i < p->n_in; i++) {
        vm_operand *o = &p->in[i];
        int fixed = 1, inside = 1, steady = !p->tiled;
        for (int axis = 0; axis < p->rank; axis++) {
            if (o->stride[axis] == 0) continue;
            fixed = 0;
            if (p->box[axis] > 1) inside = 0;
            if (p->count[axis] > 1) steady = 0;
        }
        o->mode = fixed ? VM_SCALAR
                : inside ? VM_PER_BOX
                : o->dtype == ND_F32 && vm_one_stretch(p, o) ? VM_IN_PLACE
                : steady ? VM_STEADY : VM_GATHERED;
        o->buffer = o->mode == VM_IN_PLACE ? 0 : o->mode >= VM_PER_BOX ? p->n_splats++ : p->n_blocks++;
    }
    for (int j = 0; j < p->n_out; j++) p->out[j].mode = p->out[j].dtype == ND_F32 && !p->tiled;
}

/* Everything but the code. The block shrinks where many blocks are live, so that they stay in the first cache. */
static void vm_layout(const nd_call *c, vm_plan *p) {
    p->n_in = c->n_in;
    p->n_out = c->n_out;
    p->size = nd_size(c->view[c->n_in]);
    for (int i = 0; i < c->n_in + c->n_out; i++) {
        vm_operand *o = i < c->n_in ? &p->in[i] : &p->out[i - c->n_in];
        o->dtype = c->view[i]->dtype;
        o->item = (int32_t)nd_item_size(o->dtype);
    }
    if (p->size == 0) {
        p->rank = p->n_blocks = p->n_splats = p->tiled = 0;
        p->boxes = p->block = p->worker_bytes = 0;
        return;
    }
    vm_collapse(c, p);
    for (p->block = p->copy ? VM_COPY_BLOCK : VM_BLOCK;; p->block /= 2) {
        vm_cut(p);
        vm_modes(p);
        if (p->copy || p->tiled || p->block <= 256 || (p->n_reg + p->n_blocks) * p->block * 4 <= 24 * 1024) break;
    }
    int64_t largest = 1;
    for (int axis = 0; axis < p->rank; axis++) largest *= p->box[axis];
    p->block = (largest + VM_SPLAT - 1) / VM_SPLAT * VM_SPLAT;
    p->worker_bytes = nd_align64(p->copy ? (p->tiled ? p->block * 8 : 0)
                                         : (p->n_reg + p->n_blocks) * p->block * 4 + p->n_splats * VM_SPLAT * 4);
}

/* The slot of an operand of the code; -1 where there is none. `defined` has a bit for each register that holds a value. */
static int vm_slot(const nd_call *c, int64_t n_const, int64_t operand, uint32_t defined) {
    if (operand >= 0 && operand < VM_MAX_REG) return defined >> operand & 1 ? (int)operand : -1;
    if (operand >= VM_AT_IN && operand < VM_AT_IN + c->n_in) return (int)(operand - VM_AT_IN) + VM_SLOT_IN;
    if (operand >= VM_AT_CONST && operand < VM_AT_CONST + n_const) return (int)(operand - VM_AT_CONST) + VM_SLOT_CONST;
    return -1;
}

/* One store: each output once; from an input only in a program that does nothing else, since an earlier store may have
   written into that input's memory. The dtype in it is for those who read the code: here the output's view has the say. */
static int vm_check_store(const nd_call *c, const int64_t *w, int slot, int only, uint32_t *stored) {
    if (w[1] < 0 || w[1] >= c->n_out || *stored >> w[1] & 1 || slot < 0) return 0;
    if (w[3] < 0 || w[3] > ND_DTYPES || w[4] != 0) return 0;
    if (slot >= VM_SLOT_IN && slot < VM_SLOT_OUT && !only) return 0;
    *stored |= 1u << w[1];
    return 1;
}

/* Checks the code and writes it down: 0 where it is not valid. Stores come last, for the same reason as above. */
static int vm_decode(const nd_call *c, vm_plan *p) {
    const int64_t words = c->n_attr > 1 ? c->attr[0] : 0;
    if (words < VM_WORDS || words > VM_MAX_CODE * VM_WORDS || words % VM_WORDS || words + 2 > c->n_attr) return 0;
    const int64_t n_const = c->attr[1 + words];
    if (n_const < 0 || n_const > VM_MAX_CONST || n_const != c->n_attr - 2 - words) return 0;
    const int n = (int)(words / VM_WORDS);
    uint32_t defined = 0, stored = 0;
    p->n_const = (int32_t)n_const;
    p->n_code = p->n_store = p->n_reg = 0;
    p->cost = 0;
    for (int i = 0; i < n; i++) {
        const int64_t *w = c->attr + 1 + i * VM_WORDS;
        if (w[0] < 0 || w[0] >= VM_OPCODES) return 0;
        vm_instr *t = &p->code[i];
        memset(t, 0, sizeof *t);
        t->op = (uint8_t)w[0];
        p->cost += vm_opcodes[t->op].cost;
        uint8_t *const operand[3] = {&t->a, &t->b, &t->c};
        for (int k = 0; k < 3; k++) {
            const int used = k < vm_opcodes[t->op].operands;
            const int slot = used ? vm_slot(c, n_const, w[2 + k], defined) : 0;
            if (slot < 0 || (!used && t->op != VM_OP_STORE && w[2 + k] != 0)) return 0;
            *operand[k] = (uint8_t)slot;
        }
        t->dst = (uint8_t)(w[1] & 0xff);
        if (t->op == VM_OP_STORE) {
            if (!vm_check_store(c, w, t->a, n == 1, &stored)) return 0;
            p->n_store++;
        } else {
            if (p->n_store || w[1] < 0 || w[1] >= VM_MAX_REG) return 0;
            defined |= 1u << w[1];
            if (w[1] >= p->n_reg) p->n_reg = (int32_t)w[1] + 1;
            p->n_code++;
        }
    }
    p->copy = n == 1 && p->code[0].a >= VM_SLOT_IN && p->code[0].a < VM_SLOT_OUT;
    return stored == (1u << c->n_out) - 1;
}

/* A register that is stored to a float output may be that output's memory from its last definition on, if no input is
   read after that (the output may be the memory of any input). */
static void vm_write_through(vm_plan *p) {
    for (int i = 0; i < p->n_store; i++) {
        vm_instr *store = &p->code[p->n_code + i];
        if (store->a >= VM_MAX_REG || !p->out[store->dst].mode) continue;
        const uint8_t reg = store->a, slot = (uint8_t)(VM_SLOT_OUT + store->dst);
        int at = p->n_code - 1, safe = 1;
        for (; p->code[at].dst != reg; at--)
            for (int k = 0; k < 3; k++) {
                const uint8_t s = k == 0 ? p->code[at].a : k == 1 ? p->code[at].b : p->code[at].c;
                if (k < vm_opcodes[p->code[at].op].operands && s >= VM_SLOT_IN && s < VM_SLOT_OUT) safe = 0;
            }
        if (!safe) continue;
        p->code[at].dst = slot;
        for (at++; at < p->n_code + p->n_store; at++) {
            if (p->code[at].a == reg) p->code[at].a = slot;
            if (p->code[at].b == reg && vm_opcodes[p->code[at].op].operands > 1) p->code[at].b = slot;
            if (p->code[at].c == reg && vm_opcodes[p->code[at].op].operands > 2) p->code[at].c = slot;
        }
    }
}

/* Which operands advance through a block: all but constants and inputs that are one number. */
static void vm_mark_steps(vm_plan *p) {
    for (int i = 0; i < p->n_code + p->n_store; i++) {
        vm_instr *t = &p->code[i];
        const uint8_t slot[3] = {t->a, t->b, t->c};
        for (int k = 0; k < vm_opcodes[t->op].operands; k++) {
            const int s = slot[k];
            if (s < VM_SLOT_IN || (s < VM_SLOT_OUT && p->in[s - VM_SLOT_IN].mode < VM_PER_BOX) ||
                (s >= VM_SLOT_OUT && s < VM_SLOT_CONST))
                t->steps |= (uint8_t)(1 << k);
        }
    }
}

static int vm_check_view(const nd_view *v, const nd_view *first) {
    return v->dtype >= 0 && v->dtype < ND_DTYPES && nd_same_dims(v, first);
}

static int32_t vm_check_views(const nd_call *c) {
    ND_REQUIRE(c->n_in >= 0 && c->n_in <= VM_MAX_IN && c->n_out >= 1 && c->n_out <= VM_MAX_OUT, ND_EVALUE);
    const nd_view *first = c->view[c->n_in];
    ND_REQUIRE(first, ND_ENULL);
    ND_REQUIRE(first->rank >= 0 && first->rank <= ND_MAX_RANK, ND_ESIZE);
    int64_t size = 1;
    int empty = 0;
    for (int axis = 0; axis < first->rank; axis++) {
        ND_REQUIRE(first->dims[axis] >= 0, ND_ESIZE);
        if (first->dims[axis] == 0) {
            empty = 1;
            continue;
        }
        ND_REQUIRE(size <= (INT64_MAX / 64) / first->dims[axis], ND_ESIZE);
        size *= first->dims[axis];
    }
    for (int i = 0; i < c->n_in + c->n_out; i++) {
        ND_REQUIRE(c->view[i], ND_ENULL);
        ND_REQUIRE(vm_check_view(c->view[i], first) && (i < c->n_in || empty || nd_dense(c->view[i])), ND_ESIZE);
    }
    return ND_OK;
}
