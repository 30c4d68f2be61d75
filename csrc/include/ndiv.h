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

#define ND_KERNEL(name, params, args) int32_t name params;
#include "../kernels.def"
#undef ND_KERNEL

#ifdef __cplusplus
}
#endif
#endif
