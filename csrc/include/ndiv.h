/* The whole C ABI of ndiv's native kernels.
 *
 * - Arrays are contiguous, row-major, float32 unless the name says otherwise; sizes are int64_t elements.
 * - Every kernel returns a status: 0 (ND_OK) or a negative ND_E* code. Nothing aborts, allocates, locks or keeps state
 *   but the choice of the instruction set, so any number of threads may call kernels at once.
 * - A pointer may be NULL only where the kernel's contract says so, or where the array it names is empty.
 * - An output may be the same array as an input of the same shape; other overlaps are undefined.
 * - The same bits come out on every instruction set: elementwise kernels run the same operations in the same order with
 *   explicit fused multiply-adds, reductions are defined on 16 virtual lanes and a fixed tree. Only the sign and the
 *   payload of a NaN may differ.
 * - Subnormal numbers are kept; the floating-point environment is never changed and must round to nearest.
 */
#ifndef NDIV_H
#define NDIV_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ND_ABI_VERSION 1

#if defined(_WIN32)
#define ND_EXPORT __declspec(dllexport)
#else
#define ND_EXPORT __attribute__((visibility("default")))
#endif

/* Status codes. */
#define ND_OK 0
#define ND_ENULL (-1)  /* a required pointer is NULL */
#define ND_ESIZE (-2)  /* a size is negative, or rows * cols is too large */
#define ND_EVALUE (-3) /* a number or code is outside its range */
#define ND_EISA (-4)   /* the instruction set is unknown, not compiled in, or not offered by this machine */
#define ND_EMEMORY (-5) /* memory could not be had */
#define ND_EPLAN (-6)   /* the bytes are no valid plan */

/* Activations of nd_bias_act_f32. The names in ndiv/backends/kernels.py (ACTS) are these in lower case. */
#define ND_ACT_IDENTITY 0
#define ND_ACT_RELU 1
#define ND_ACT_LEAKY_RELU 2 /* slope 0.01 */
#define ND_ACT_ELU 3        /* alpha 1 */
#define ND_ACT_TANH 4
#define ND_ACT_SIGMOID 5
#define ND_ACT_SILU 6
#define ND_ACT_SOFTPLUS 7
#define ND_ACT_GELU 8       /* exact, through erfc */
#define ND_ACT_GELU_TANH 9
#define ND_ACT_SELU 10
#define ND_ACT_COUNT 11

/* Functions of nd_unary_f32. The names in ndiv/backends/kernels.py (UNARY) are these in lower case. */
#define ND_FN_EXP 0
#define ND_FN_EXPM1 1
#define ND_FN_LOG1P 2
#define ND_FN_TANH 3
#define ND_FN_SIGMOID 4
#define ND_FN_ERF 5
#define ND_FN_COUNT 6

/* Instruction sets: "scalar", "avx2", "avx512", "neon". The best that this machine offers is chosen on first use. */

/* 1 when the kernels for `name` are compiled in and this processor and its operating system can run them, else 0. */
int32_t nd_isa_available(const char *name);
/* Chooses an instruction set for all later calls of the process; NULL means the best. Returns ND_OK or ND_EISA. */
int32_t nd_isa_select(const char *name);
/* The name of the one in use; a static string. */
const char *nd_isa_current(void);
/* ND_ABI_VERSION of the library, to be compared with the header's. */
int32_t nd_abi_version(void);

/* Runs one plan operation (core/op.h) on its own. views: for each operand 20 words, {present, dtype, rank, flags, dims[8],
   strides[8]}; data: an address for each operand. ND_EVALUE when the name is unknown. */
int32_t nd_call_op(const char *name, int32_t n_in, int32_t n_out, const int64_t *views, void *const *data, int32_t n_attr,
                   const int64_t *attr);

/* Threads of plans. nd_set_threads takes 1 .. 256 (ND_EVALUE otherwise), at any time; the start is 1, and there it stays on
   Windows. Threads are made when work first needs them. Both names are exported, for tools that limit threads. */
ND_EXPORT int nd_threads(void);
ND_EXPORT int32_t nd_set_threads(int32_t n);

/* Plans: programs in bytes (core/plan.h has the format). They may come from strangers: loading checks everything that
   running relies on, and what has loaded cannot reach memory outside its slots and its arena.

   A slot is memory that the caller gives to a run: inputs, outputs and states; constants are given when the plan is
   loaded. Each address must be aligned to the slot's elements and have as many bytes as the plan says, and no slot's
   memory may overlap another's. A plan may be run by several threads at once, each with its own states and outputs. */
typedef struct nd_plan nd_plan;

/* Loads a plan. slots: addresses of the constant slots, NULL for the others (slots itself may be NULL when there are no
   constants); the constants must live as long as the plan. ND_EPLAN: the bytes are no valid plan (*where: the instruction
   at fault or -1; nd_plan_why tells more); ND_ENULL: a constant is missing; ND_EVALUE: one is not aligned; ND_EMEMORY. */
int32_t nd_plan_load(const uint8_t *bytes, uint64_t size, const void *const *slots, nd_plan **out, int64_t *where);
/* Why the calling thread's last nd_plan_load or nd_plan_run failed, in words; a static string. */
const char *nd_plan_why(void);
void nd_plan_free(nd_plan *plan);
/* Runs it; slots: addresses of inputs, outputs and states (those of constants are not read). A status of an operation
   that found its data bad (an index out of range) comes back with *where, its instruction; outputs and states then hold
   what was computed so far. ND_ENULL, ND_EVALUE: as above, *where is -1. */
int32_t nd_plan_run(nd_plan *plan, void *const *slots, int64_t *where);
/* The same, adding the time that each instruction took to nanoseconds[instruction]. */
int32_t nd_plan_profile(nd_plan *plan, void *const *slots, int64_t *nanoseconds, int64_t *where);
/* Bytes: 0 arena, 1 scratch, 2 kept by operations (packed constants), 3 all that the plan holds now; else -1. */
int64_t nd_plan_bytes(const nd_plan *plan, int32_t what);

#define ND_KERNEL(name, params, args) int32_t name params;
#include "../kernels.def"
#undef ND_KERNEL

#ifdef __cplusplus
}
#endif
#endif
