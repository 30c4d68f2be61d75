#define ND_OPS_SOFTMAX(X)
