#define ND_OPS_REDUCE(X)
