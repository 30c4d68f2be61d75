/* Largest error in ULP of a vector function over all 2^32 float inputs, against the C library in double.
 *
 *     ulp NAME [STRIDE]      # NAME as in the table below; STRIDE n takes every n-th bit pattern (default 1: all)
 *
 * One line: name, inputs, largest error and where, how many results are not the correctly rounded one, how many errors
 * of kind (NaN or infinity where there should be none, or the reverse). ULP of a subnormal result is 2^-149.
 *
 * run_ulp.sh builds it and runs every function.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../include/ndiv.h"

enum { BLOCK = 4096, UNARY = 0, ACT = 1 };

static double sigmoid(double x) {
    const double z = exp(-fabs(x));
    return (x < 0 ? z : 1.0) / (1.0 + z);
}
static double silu(double x) { return (x < -1000.0 ? -1000.0 : x) * sigmoid(x); }
static double softplus(double x) { return isnan(x) ? x : fmax(x, 0.0) + log1p(exp(-fabs(x))); }
static double gelu(double x) { return (x < -1000.0 ? -1000.0 : x) * 0.5 * erfc(-x * 0.70710678118654752440); }
static double elu(double x) { return x > 0.0 ? x : expm1(x); }

static const struct {
    const char *name;
    int kind;
    int32_t code;
    double (*truth)(double);
} table[] = {
    {"exp", UNARY, ND_FN_EXP, exp},           {"expm1", UNARY, ND_FN_EXPM1, expm1},
    {"log1p", UNARY, ND_FN_LOG1P, log1p},     {"tanh", UNARY, ND_FN_TANH, tanh},
    {"sigmoid", UNARY, ND_FN_SIGMOID, sigmoid}, {"erf", UNARY, ND_FN_ERF, erf},
    {"elu", ACT, ND_ACT_ELU, elu},            {"silu", ACT, ND_ACT_SILU, silu},
    {"softplus", ACT, ND_ACT_SOFTPLUS, softplus}, {"gelu", ACT, ND_ACT_GELU, gelu},
};

/* |got - want| in units in the last place of a float of want's size. */
static double ulps(float got, double want) {
    int e;
    frexp(want, &e);
    if (e < -125) e = -125;
    if (e > 128) e = 128;
    return fabs((double)got - want) * ldexp(1.0, 24 - e);
}

int main(int argc, char **argv) {
    const uint64_t stride = argc > 2 ? strtoull(argv[2], 0, 10) : 1;
    size_t k = 0;
    while (k < sizeof table / sizeof *table && (argc < 2 || strcmp(argv[1], table[k].name))) k++;
    if (k == sizeof table / sizeof *table || stride == 0) return 2;
    static float x[BLOCK], y[BLOCK];
    double worst = 0.0;
    float at = 0.0f;
    uint64_t total = 0, rounded = 0, wrong = 0;
    for (uint64_t bits = 0; bits >> 32 == 0;) {
        int n = 0;
        for (; n < BLOCK && bits >> 32 == 0; n++, bits += stride) {
            const uint32_t b = (uint32_t)bits;
            memcpy(x + n, &b, 4);
        }
        const int32_t status = table[k].kind == UNARY ? nd_unary_f32(n, table[k].code, x, y)
                                                      : nd_bias_act_f32(1, n, x, 0, table[k].code, y, 0);
        if (status != ND_OK) return 1;
        for (int i = 0; i < n; i++) {
            const double want = table[k].truth((double)x[i]);
            const float nearest = (float)want;
            total++;
            if (y[i] == nearest || (isnan(y[i]) && isnan(nearest))) continue;
            rounded++;
            if (!isfinite(y[i]) || !isfinite(nearest)) {
                wrong++;
                continue;
            }
            const double error = ulps(y[i], want);
            if (error > worst) {
                worst = error;
                at = x[i];
            }
        }
    }
    printf("%-9s inputs %llu  max %.4f ULP at %a (%g)  not nearest %.3f%%  wrong kind %llu\n", table[k].name,
           (unsigned long long)total, worst, (double)at, (double)at, 100.0 * (double)rounded / (double)total,
           (unsigned long long)wrong);
    return wrong != 0;
}
