#define ND_OPS_CONV(X)
