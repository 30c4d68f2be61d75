/* Largest error in ULP of a vector function over all 2^32 float inputs, against the C library in double.
 *
 *     ulp NAME [STRIDE]      # NAME as in the table below; STRIDE n takes every n-th bit pattern (default 1: all)
 *
 * One line: name, inputs, largest error and where, how many results are not the correctly rounded one, how many errors of
 * kind (NaN or infinity where there should be none, or the reverse, or more than 2^-126 where the result is subnormal).
 * Exit status 1: an error of kind, or more ULP than the table allows. As in plans, subnormals are flushed: arguments that
 * are subnormal are left out, results that are may be 0.
 * pow has two arguments: a grid of all exponents against 4,096 significands, with exponents b that keep the result finite.
 *
 * run_ulp.sh builds it and runs every function. The functions run as one-instruction programs of the operation vm.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/op.h"

enum { BLOCK = 4096 };

static double sigmoid(double x) {
    const double z = exp(-fabs(x));
    return (x < 0 ? z : 1.0) / (1.0 + z);
}
static double silu(double x) { return (x < -1000.0 ? -1000.0 : x) * sigmoid(x); }
static double softplus(double x) { return isnan(x) ? x : fmax(x, 0.0) + log1p(exp(-fabs(x))); }
static double gelu(double x) { return (x < -1000.0 ? -1000.0 : x) * 0.5 * erfc(-x * 0.70710678118654752440); }
static double gelu_tanh(double x) {
    const double z = x < -1000.0 ? -1000.0 : x;
    return z * sigmoid(2.0 * 0.79788456080286535588 * (z + 0.044715 * z * z * z));
}
static double rsqrt(double x) { return 1.0 / sqrt(x); }

/* digamma in double: the recurrence up to 12 (from the nearer side of the zero where it matters), then the series. */
static double digamma(double x) {
    if (x == 0.0) return copysign(INFINITY, -x);
    if (isinf(x)) return x > 0 ? x : NAN;
    if (x < 0.0) {
        const double off = x - rint(x);
        if (off == 0.0) return NAN;
        return digamma(1.0 - x) - 3.14159265358979323846 / tan(3.14159265358979323846 * off);
    }
    long double sum = 0.0L, z = x;
    while (z < 20.0L) sum -= 1.0L / z, z += 1.0L;
    const long double r = 1.0L / z, s = r * r;
    const long double series = s * (1.0L / 12 - s * (1.0L / 120 - s * (1.0L / 252 - s * (1.0L / 240 - s * (1.0L / 132)))));
    return (double)(sum + logl(z) - r / 2 - series);
}

/* In the order of the opcodes' numbers; bounds in ULP. */
static const struct {
    const char *name;
    int opcode;
    double bound;
    double (*truth)(double);
} table[] = {
    {"rsqrt", 7, 1.5, rsqrt},       {"exp", 9, 1.0, exp},           {"expm1", 10, 1.5, expm1},     {"log", 11, 1.0, log},
    {"log1p", 12, 1.5, log1p},      {"sin", 13, 2.5, sin},          {"cos", 14, 2.5, cos},         {"tanh", 15, 2.5, tanh},
    {"sigmoid", 16, 2.5, sigmoid},  {"softplus", 17, 2.5, softplus}, {"silu", 18, 2.5, silu},      {"erf", 19, 1.5, erf},
    {"erfc", 20, 2.5, erfc},        {"gelu", 21, 2.5, gelu},        {"gelu_tanh", 22, 2.5, gelu_tanh},
    {"lgamma", 23, 2.5, lgamma},    {"digamma", 24, 2.5, digamma},  {"pow", 29, 2.5, 0},
};

/* y = one opcode of a and (for pow) b. */
static int32_t run(int opcode, int operands, int64_t n, float *a, float *b, float *y) {
    enum { WORDS = 4 + 2 * ND_MAX_RANK };
    const int64_t code[] = {10, opcode, 0, 64, operands > 1 ? 65 : 0, 0, 0, 0, 0, 0, 0, 0};
    int64_t views[3 * WORDS] = {0};
    void *data[3] = {a, operands > 1 ? b : y, y};
    for (int i = 0; i <= operands; i++) {
        int64_t *w = views + i * WORDS;
        w[0] = 1;
        w[1] = ND_F32;
        w[2] = 1;
        w[4] = n;
        w[4 + ND_MAX_RANK] = 1;
    }
    return nd_call_op("vm", operands, 1, views, data, 12, code);
}

/* |got - want| in units in the last place of a float of want's size. */
static double ulps(float got, double want) {
    int e;
    frexp(want, &e);
    if (e < -125) e = -125;
    if (e > 128) e = 128;
    return fabs((double)got - want) * ldexp(1.0, 24 - e);
}

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/* The next block of arguments from position *at; for pow, b puts the logarithm of the result between -87 and 88. */
static int fill(int two, uint64_t *at, uint64_t stride, float *x, float *b) {
    int n = 0;
    for (; n < BLOCK && *at >> 32 == 0; n++, *at += stride) {
        const uint32_t bits = (uint32_t)*at;
        x[n] = from_bits(bits);
        if (!two) continue;
        x[n] = from_bits(bits & 0x7fffffffu);
        const double size = log((double)x[n]), part = (double)((bits * 2654435761u) >> 8) * 0x1p-24;
        b[n] = (float)((part * 175.0 - 87.0) / (size == 0.0 || !isfinite(size) ? 1.0 : size));
    }
    return n;
}

/* Below 0 lgamma and digamma are sums that may cancel: where the result is below 1 the error is in ULP of 1. */
static int cancels(const char *name, float x, double want) {
    return (!strcmp(name, "lgamma") || !strcmp(name, "digamma")) && x < 0.0f && fabs(want) < 1.0;
}

static int subnormal(float x) { return x != 0.0f && fabsf(x) < 0x1p-126f; }

int main(int argc, char **argv) {
    const uint64_t stride = argc > 2 ? strtoull(argv[2], 0, 10) : 1;
    size_t k = 0;
    while (k < sizeof table / sizeof *table && (argc < 2 || strcmp(argv[1], table[k].name))) k++;
    if (k == sizeof table / sizeof *table || stride == 0) return 2;
    const int two = !table[k].truth;
    static float x[BLOCK], b[BLOCK], y[BLOCK];
    double worst = 0.0;
    float at = 0.0f;
    uint64_t total = 0, rounded = 0, wrong = 0;
    for (uint64_t position = 0; position >> 32 == 0;) {
        const int n = fill(two, &position, stride, x, b);
        if (run(table[k].opcode, two ? 2 : 1, n, x, b, y) != ND_OK) return 1;
        for (int i = 0; i < n; i++) {
            if (subnormal(x[i]) || (two && subnormal(b[i]))) continue;
            const double want = two ? pow((double)x[i], (double)b[i]) : table[k].truth((double)x[i]);
            const float nearest = (float)want;
            total++;
            if (y[i] == nearest || (isnan(y[i]) && isnan(nearest))) continue;
            if (fabs(want) < 0x1p-126) {
                wrong += !(fabsf(y[i]) <= 0x1p-126f);
                continue;
            }
            rounded++;
            if (!isfinite(y[i]) || !isfinite(nearest)) { /* the border of overflow may be 1 ULP off */
                wrong += isfinite(y[i]) ? fabsf(y[i]) < 0x1.fffffep127f : !(fabs(want) >= 0x1.fffffep127);
                continue;
            }
            const double error = cancels(table[k].name, x[i], want) ? fabs((double)y[i] - want) * 0x1p23 : ulps(y[i], want);
            if (error > worst) {
                worst = error;
                at = x[i];
            }
        }
    }
    const int failed = wrong != 0 || worst > table[k].bound;
    printf("%-9s inputs %llu  max %.4f ULP (bound %.1f) at %a (%g)  not nearest %.3f%%  wrong kind %llu%s\n",
           table[k].name, (unsigned long long)total, worst, table[k].bound, (double)at, (double)at,
           100.0 * (double)rounded / (double)total, (unsigned long long)wrong, failed ? "  FAILED" : "");
    return failed;
}
