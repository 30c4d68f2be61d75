#define ND_OPS_NORM(X)
