/* Included once by each csrc/isa/<name>.c after its simd header: every kernel, then the table that names them.
   Everything but the table is static, so that the linker can never keep one instruction set's copy for another. */
#include "../core/table.h"

#include "common.h"
#include "math.h"
#include "act.h"
#include "philox.h"

#include "adamw.h"
#include "bias_act.h"
#include "layer_norm.h"
#include "random.h"
#include "sumsq.h"
#include "unary.h"
#include "ops/all.h"

#define ND_STRING_(x) #x
#define ND_STRING(x) ND_STRING_(x)
#define ND_JOIN_(a, b) a##b
#define ND_JOIN(a, b) ND_JOIN_(a, b)

#define ND_OP_ENTRY(name, inplace, pack) {#name, inplace, op_##name##_prepare, pack, op_##name##_run},
static const nd_op operations[] = {ND_OP_FAMILIES(ND_OP_ENTRY){0, 0, 0, 0, 0}};

const nd_table ND_JOIN(nd_table_, ND_ISA) = {
    ND_STRING(ND_ISA),
    operations,
#define ND_KERNEL(name, params, args) k_##name,
#include "../kernels.def"
#undef ND_KERNEL
};
