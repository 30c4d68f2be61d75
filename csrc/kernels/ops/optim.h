#define ND_OPS_OPTIM(X)
