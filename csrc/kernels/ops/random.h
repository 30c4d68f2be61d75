#define ND_OPS_RANDOM(X)
