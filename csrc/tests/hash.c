/* Prints one hash per kernel of its outputs on fixed inputs, for the instruction set named by the argument.
 *
 *     hash scalar      # lines "kernel 0123456789abcdef"; exit status 2: not available here, 1: a kernel failed
 *
 * The promise under test: the lines are the same for every instruction set and processor. NaNs hash alike whatever
 * their sign and payload. No Python: runs under an emulator. See run_hash.sh.
 */
#include <stdio.h>
#include <string.h>

#include "../include/ndiv.h"
#include "ops.h"
#include "ops/vm.h"
#include "ops/gemm.h"
#include "ops/data.h"
#include "ops/reduce.h"
#include "ops/norm.h"
#include "ops/softmax.h"
#include "ops/pool.h"
#include "ops/conv.h"
#include "ops/recurrent.h"
#include "ops/attention.h"
#include "ops/spectral.h"
#include "ops/random.h"
#include "ops/optim.h"

enum { ROWS = 131, COLS = 77, N = ROWS * COLS, SWEEP = 1 << 16 };

static float wild[SWEEP], x[N], g[N], gamma_[COLS], beta_[COLS];
static float out[SWEEP], aux[N], mean[ROWS], rstd[ROWS], col0[COLS], col1[COLS];
static uint32_t words[SWEEP];
static int failures;

static uint64_t mix(uint64_t hash, uint32_t bits) { /* FNV-1a on 32-bit words */
    return (hash ^ bits) * 1099511628211u;
}

static uint64_t hash_floats(uint64_t hash, const float *a, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, a + i, 4);
        hash = mix(hash, (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc00000u : bits);
    }
    return hash;
}

static void run(int32_t status, const char *name) {
    if (status == ND_OK) return;
    fprintf(stderr, "%s: status %d\n", name, (int)status);
    failures++;
}

static void print(const char *name, int code, uint64_t hash) {
    printf("%s/%d %08x%08x\n", name, code, (unsigned)(hash >> 32), (unsigned)hash);
}

#define START 14695981039346656037u

/* Values in (-4, 4) whose exponents vary: a uniform number times a uniform number. */
static void fill(float *a, int64_t n, uint64_t stream) {
    run(nd_philox_u32(1, stream, 0, 2 * n, words), "philox"); /* 2 n <= SWEEP */
    for (int64_t i = 0; i < n; i++) {
        const float u = (float)(words[2 * i] >> 8) * 0x1p-23f - 1.0f, v = (float)(words[2 * i + 1] >> 8) * 0x1p-24f;
        a[i] = 4.0f * u * v;
    }
}

static void hash_random(void) {
    uint64_t h = START;
    for (int64_t n = 0; n < 70; n++) {
        run(nd_philox_u32(0x123456789abcdefu, 1u << 20, UINT64_MAX - 3, n, words), "philox");
        for (int64_t i = 0; i < n; i++) h = mix(h, words[i]);
    }
    print("philox", 0, h);
    h = START;
    for (int64_t n = 0; n < 70; n++) {
        run(nd_dropout_f32(n, wild, 0.37, 5, 9, out), "dropout");
        h = hash_floats(h, out, n);
    }
    print("dropout", 0, h);
}

static void hash_elementwise(void) {
    for (int32_t fn = 0; fn < ND_FN_COUNT; fn++) {
        run(nd_unary_f32(SWEEP, fn, wild, out), "unary");
        uint64_t h = hash_floats(START, out, SWEEP);
        run(nd_unary_f32(N, fn, x, out), "unary");
        print("unary", fn, hash_floats(h, out, N));
    }
    for (int32_t act = 0; act < ND_ACT_COUNT; act++) {
        uint64_t h = START;
        run(nd_bias_act_f32(ROWS, COLS, x, beta_, act, out, aux), "bias_act");
        h = hash_floats(hash_floats(h, out, N), aux, N);
        const int from_pre = act == ND_ACT_SILU || act == ND_ACT_SOFTPLUS || act == ND_ACT_GELU ||
                             act == ND_ACT_GELU_TANH;
        if (!from_pre) memcpy(aux, out, sizeof aux);
        run(nd_bias_act_bwd_f32(ROWS, COLS, g, aux, act, out, col0), "bias_act_bwd");
        print("bias_act", act, hash_floats(hash_floats(h, out, N), col0, COLS));
    }
    for (int32_t act = 0; act < ND_ACT_COUNT; act++) {
        run(nd_bias_act_f32(1, SWEEP, wild, 0, act, out, 0), "bias_act");
        print("act_wild", act, hash_floats(START, out, SWEEP));
    }
}

static void hash_reductions(void) {
    double total;
    uint64_t h = START;
    for (int64_t n = 0; n < 70; n++) {
        uint32_t bits[2];
        run(nd_sumsq_f32(n, x, &total), "sumsq");
        memcpy(bits, &total, 8);
        h = mix(mix(h, bits[0]), bits[1]); /* little-endian machines */
    }
    print("sumsq", 0, h);
    for (int code = 0; code < 2; code++) {
        const float *w = code ? gamma_ : 0, *b = code ? beta_ : 0;
        run(nd_layer_norm_f32(ROWS, COLS, x, w, b, 1e-5, out, mean, rstd), "layer_norm");
        h = hash_floats(hash_floats(hash_floats(START, out, N), mean, ROWS), rstd, ROWS);
        run(nd_layer_norm_bwd_f32(ROWS, COLS, g, x, w, mean, rstd, out, col0, col1), "layer_norm_bwd");
        print("layer_norm", code, hash_floats(hash_floats(hash_floats(h, out, N), col0, COLS), col1, COLS));
    }
}

static void hash_adamw(void) {
    static float p[N], m[N], v[N];
    double power1 = 1.0, power2 = 1.0;
    fill(p, N, 6);
    for (int step = 0; step < 5; step++) {
        power1 *= 0.9;
        power2 *= 0.999;
        run(nd_adamw_f32(N, p, g, m, v, 1e-3, 0.9, 0.999, 1e-8, 1e-2, 1.0 - power1, 1.0 - power2, 0.5), "adamw");
    }
    print("adamw", 0, hash_floats(hash_floats(hash_floats(START, p, N), m, N), v, N));
}

int main(int argc, char **argv) {
    if (argc != 2 || nd_isa_select(argv[1]) != ND_OK) return 2;
    fill(x, N, 2);
    fill(g, N, 3);
    fill(gamma_, COLS, 4);
    fill(beta_, COLS, 5);
    run(nd_philox_u32(2, 0, 0, SWEEP, words), "philox");
    memcpy(wild, words, sizeof wild); /* every exponent, both signs, inf and NaN among them */
    hash_random();
    hash_elementwise();
    hash_reductions();
    hash_adamw();
    hash_ops_vm();
    hash_ops_gemm();
    hash_ops_data();
    hash_ops_reduce();
    hash_ops_norm();
    hash_ops_softmax();
    hash_ops_pool();
    hash_ops_conv();
    hash_ops_recurrent();
    hash_ops_attention();
    hash_ops_spectral();
    hash_ops_random();
    hash_ops_optim();
    return failures + ops_failed != 0;
}
