#define ND_OPS_GEMM(X)
