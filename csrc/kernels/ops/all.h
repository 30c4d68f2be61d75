/* The plan operations by family. Each file starts with the contracts of its operations and ends with ND_OPS_<FAMILY>(X),
   its list of X(name, inplace, pack): the functions are op_<name>_prepare, op_<name>_run and pack (or NULL). */
#include "vm.h"
#include "gemm.h"
#include "data.h"
#include "reduce.h"
#include "norm.h"
#include "softmax.h"
#include "pool.h"
#include "conv.h"
#include "recurrent.h"
#include "attention.h"
#include "spectral.h"
#include "random.h"
#include "optim.h"

#define ND_OP_FAMILIES(X) \
    ND_OPS_VM(X) \
    ND_OPS_GEMM(X) \
    ND_OPS_DATA(X) \
    ND_OPS_REDUCE(X) \
    ND_OPS_NORM(X) \
    ND_OPS_SOFTMAX(X) \
    ND_OPS_POOL(X) \
    ND_OPS_CONV(X) \
    ND_OPS_RECURRENT(X) \
    ND_OPS_ATTENTION(X) \
    ND_OPS_SPECTRAL(X) \
    ND_OPS_RANDOM(X) \
    ND_OPS_OPTIM(X)
