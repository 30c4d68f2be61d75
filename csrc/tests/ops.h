/* Helpers for the hashes of plan operations (ops/<family>.h): operands with fixed contents, one call, one line printed. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/op.h"

typedef struct {
    int64_t word[4 + 2 * ND_MAX_RANK]; /* as nd_call_op reads it */
    void *data;
    int64_t count;
} operand;

static int ops_failed;

static operand dense(int32_t dtype, int rank, const int64_t *dims) {
    operand o;
    memset(&o, 0, sizeof o);
    o.word[0] = 1;
    o.word[1] = dtype;
    o.word[2] = rank;
    o.count = 1;
    for (int i = rank - 1; i >= 0; i--) {
        o.word[4 + i] = dims[i];
        o.word[4 + ND_MAX_RANK + i] = o.count;
        o.count *= dims[i];
    }
    o.data = calloc((size_t)(o.count + 1), (size_t)nd_item_size(dtype));
    if (!o.data) abort();
    return o;
}

#define DIMS(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]){__VA_ARGS__}

/* A float32 input, values uniform in (low, high); the same for the same seed everywhere. in_f32(1, 0, 1, DIMS(3, 4)) */
static inline operand in_f32(uint32_t seed, float low, float high, int rank, const int64_t *dims) {
    operand o = dense(ND_F32, rank, dims);
    uint32_t *words = malloc((size_t)(o.count + 1) * 4);
    if (!words || nd_philox_u32(seed, 0, 0, o.count, words) != ND_OK) abort();
    for (int64_t i = 0; i < o.count; i++)
        ((float *)o.data)[i] = low + (high - low) * ((float)(words[i] >> 8) * 0x1p-24f);
    free(words);
    return o;
}

/* An int64 input with values 0 .. below - 1. */
static inline operand in_i64(uint32_t seed, int64_t below, int rank, const int64_t *dims) {
    operand o = dense(ND_I64, rank, dims);
    uint32_t *words = malloc((size_t)(o.count + 1) * 4);
    if (!words || nd_philox_u32(seed, 1, 0, o.count, words) != ND_OK) abort();
    for (int64_t i = 0; i < o.count; i++) ((int64_t *)o.data)[i] = (int64_t)(words[i] % (uint64_t)below);
    free(words);
    return o;
}

static inline operand out_of(int32_t dtype, int rank, const int64_t *dims) { return dense(dtype, rank, dims); }

static inline operand absent(void) {
    operand o;
    memset(&o, 0, sizeof o);
    return o;
}

static inline int64_t bits_of(double value) {
    int64_t bits;
    memcpy(&bits, &value, 8);
    return bits;
}

/* Axes a and b exchanged, without moving data. */
static inline operand swapped(operand o, int a, int b) {
    for (int base = 4; base <= 4 + ND_MAX_RANK; base += ND_MAX_RANK) {
        const int64_t keep = o.word[base + a];
        o.word[base + a] = o.word[base + b];
        o.word[base + b] = keep;
    }
    return o;
}

/* Runs one operation and prints "label 0123456789abcdef", the hash of all its outputs; NaNs hash alike. */
static inline void hash_op(const char *label, const char *op, int n_in, int n_out, const operand *o, int n_attr,
                    const int64_t *attr) {
    int64_t words[64 * (4 + 2 * ND_MAX_RANK)];
    void *data[64];
    const int n = n_in + n_out;
    if (n > 64) abort();
    for (int i = 0; i < n; i++) {
        memcpy(words + i * (4 + 2 * ND_MAX_RANK), o[i].word, sizeof o[i].word);
        data[i] = o[i].data;
    }
    const int32_t status = nd_call_op(op, n_in, n_out, words, data, n_attr, attr);
    if (status != ND_OK) {
        fprintf(stderr, "%s: status %d\n", label, (int)status);
        ops_failed++;
        return;
    }
    uint64_t hash = 14695981039346656037u;
    for (int i = n_in; i < n; i++) {
        if (!o[i].data) continue;
        const uint8_t *bytes = o[i].data;
        const int64_t size = o[i].count * nd_item_size((int32_t)o[i].word[1]);
        for (int64_t at = 0; at < size; at++) {
            uint8_t byte = bytes[at];
            if (o[i].word[1] == ND_F32) {
                uint32_t bits;
                memcpy(&bits, bytes + (at & ~(int64_t)3), 4);
                if ((bits & 0x7fffffffu) > 0x7f800000u) bits = 0x7fc00000u;
                byte = (uint8_t)(bits >> (8 * (at & 3)));
            }
            hash = (hash ^ byte) * 1099511628211u;
        }
    }
    printf("%s %08x%08x\n", label, (unsigned)(hash >> 32), (unsigned)hash);
}
