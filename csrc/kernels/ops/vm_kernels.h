/* The opcodes of `vm` on one block: d[i] = value(a[i], b[i], c[i]) for i < n, where bit k of `steps` says whether operand k
 * advances; an operand that does not is a vector of equal numbers. d may be any of the operands. Reads nothing past n.
 *
 * maximum and minimum give a NaN where either operand is one; comparisons with a NaN are false, ne is true. A condition
 * holds where it is not 0 (a NaN holds), as in NumPy.
 */
enum { VM_A = 1, VM_B = 2, VM_C = 4 };

static inline vf vm_truth(vm m) { return vf_blend(m, vf_set1(1.0f), vf_set1(0.0f)); }

static inline vf vm_maximum(vf a, vf b) { return vf_blend(vf_eq(b, b), vf_max(b, a), b); }

static inline vf vm_minimum(vf a, vf b) { return vf_blend(vf_eq(b, b), vf_min(b, a), b); }

static inline vf vm_sign(vf a) {
    const vf zero = vf_set1(0.0f), y = vf_blend(vf_gt(a, zero), vf_set1(1.0f), vf_blend(vf_eq(a, zero), zero, a));
    return vf_blend(vf_lt(a, zero), vf_set1(-1.0f), y); /* a NaN stays */
}

/* As a float becomes a whole number in a store: its fraction cut off, a NaN 0. */
static inline vf vm_trunc(vf a) {
    const vf size = vf_abs(a), near = vi_to_float(vf_to_int(vf_min(size, vf_set1(0x1p23f))));
    const vf whole = vf_sub(near, vm_truth(vf_gt(near, size)));
    const vf y = vf_copysign(vf_blend(vf_lt(size, vf_set1(0x1p23f)), whole, size), a);
    return vf_blend(vf_eq(a, a), y, vf_set1(0.0f));
}

typedef void (*vm_kernel)(int64_t n, float *d, const float *pa, const float *pb, const float *pc, int steps);

#define VM_KERNEL(name, loads, part_loads, advance, value)                                                     \
    static void vm_run_##name(int64_t n, float *d, const float *pa, const float *pb, const float *pc, int steps) { \
        const int64_t sa = steps & VM_A ? ND_W : 0, sb = steps & VM_B ? ND_W : 0, sc = steps & VM_C ? ND_W : 0; \
        (void)pb, (void)pc, (void)sb, (void)sc;                                                                \
        for (; n >= ND_W; n -= ND_W, d += ND_W) {                                                              \
            loads;                                                                                             \
            vf_store(d, value);                                                                                \
            advance;                                                                                           \
        }                                                                                                      \
        if (n > 0) {                                                                                           \
            const int left = (int)n;                                                                           \
            part_loads;                                                                                        \
            vf_store_part(d, value, left);                                                                     \
        }                                                                                                      \
    }
#define VM_LOAD(x) const vf x = vf_load(p##x)
#define VM_PART(x) const vf x = vf_load_part(p##x, left)
#define VM_STORE(name)
#define VM_UNARY(name, cost, value) VM_KERNEL(name, VM_LOAD(a), VM_PART(a), pa += sa, value)
#define VM_BINARY(name, cost, value) \
    VM_KERNEL(name, VM_LOAD(a); VM_LOAD(b), VM_PART(a); VM_PART(b), (pa += sa, pb += sb), value)
#define VM_TERNARY(name, cost, value)                                                           \
    VM_KERNEL(name, VM_LOAD(a); VM_LOAD(b); VM_LOAD(c), VM_PART(a); VM_PART(b); VM_PART(c), \
              (pa += sa, pb += sb, pc += sc), value)
#include "vm_ops.def"
#undef VM_STORE
#undef VM_UNARY
#undef VM_BINARY
#undef VM_TERNARY

typedef struct {
    vm_kernel run;
    int32_t operands, cost;
} vm_opcode;

static const vm_opcode vm_opcodes[] = {
#define VM_STORE(name) {0, 1, 1},
#define VM_UNARY(name, cost, value) {vm_run_##name, 1, cost},
#define VM_BINARY(name, cost, value) {vm_run_##name, 2, cost},
#define VM_TERNARY(name, cost, value) {vm_run_##name, 3, cost},
#include "vm_ops.def"
#undef VM_STORE
#undef VM_UNARY
#undef VM_BINARY
#undef VM_TERNARY
};
enum { VM_OPCODES = sizeof vm_opcodes / sizeof *vm_opcodes, VM_OP_STORE = 0 };
