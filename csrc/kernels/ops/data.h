#define ND_OPS_DATA(X)
