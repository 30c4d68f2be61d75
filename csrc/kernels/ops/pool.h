#define ND_OPS_POOL(X)
