/* One table of kernels and plan operations per instruction set; csrc/isa/<name>.c defines nd_table_<name>. */
#ifndef ND_TABLE_H
#define ND_TABLE_H

#include "../include/ndiv.h"
#include "op.h"

typedef struct {
    const char *isa;
    const nd_op *ops; /* plan operations; ends with an entry without a name */
#define ND_KERNEL(name, params, args) int32_t(*name) params;
#include "../kernels.def"
#undef ND_KERNEL
} nd_table;

/* The table in force (dispatch.c). */
const nd_table *nd_table_active(void);

extern const nd_table nd_table_scalar;
#if ND_HAVE_AVX2
extern const nd_table nd_table_avx2;
#endif
#if ND_HAVE_AVX512
extern const nd_table nd_table_avx512;
#endif
#if ND_HAVE_NEON
extern const nd_table nd_table_neon;
#endif

#endif
