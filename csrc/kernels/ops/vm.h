#define ND_OPS_VM(X)
