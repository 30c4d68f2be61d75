/* Plan operations: what one instruction of a plan runs.
 *
 * An operation is three functions over one call:
 *   prepare  once, when a plan is loaded: checks everything that `run` relies on (number of operands, dtypes, shapes,
 *            strides, ranges of attributes) and refuses by a negative ND_E* status; sets `scratch`, `persist` and `k`.
 *            It sees no data. It is the verifier of untrusted files: what it lets through must be safe to run.
 *   pack     once, after constants are bound (may be NULL): rearranges constant operands into `persist`.
 *   run      every time. No allocation, no lock, no Python, no global state; reads inputs, writes outputs. Returns
 *            ND_OK, or a negative status where the data themselves are bad (an index out of range).
 *
 * Operands are views: base address plus dims and strides in elements (a stride may be 0 or negative); the address is
 * that of the element with index 0 in every axis. Operands are inputs first, then outputs. An absent optional operand
 * has a NULL view. Outputs never overlap inputs, except that an output may have exactly the memory and the layout of
 * one input of the same dtype where the operation's `inplace` says so (bit i: input i may be output 0's memory, or,
 * for operations with several outputs, the memory of any output that has its shape).
 *
 * The caller guarantees that all extents lie inside memory and that dims >= 0; sizes in bytes fit int64_t.
 * Float arithmetic is float32 in the default rounding mode with subnormals flushed (set by the executor, also in
 * worker threads). Sums run on 16 virtual lanes or sequentially over the summed axis: the result may depend neither on the
 * number of threads nor on the instruction set.
 */
#ifndef ND_OP_H
#define ND_OP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../include/ndiv.h"

#define ND_MAX_RANK 8
#define ND_CALL_WORDS 24

/* Element types of a view. */
enum { ND_F32 = 0, ND_F64 = 1, ND_I64 = 2, ND_I32 = 3, ND_BOOL = 4 /* one byte, 0 or 1 */, ND_DTYPES = 5 };

enum { ND_CONSTANT = 1 /* nd_view.flags: the values never change while the plan lives */ };

typedef struct {
    int32_t dtype, rank, flags, unused;
    int64_t dims[ND_MAX_RANK];
    int64_t strides[ND_MAX_RANK]; /* in elements */
} nd_view;

typedef struct {
    int32_t n_in, n_out, n_attr, threads; /* threads: the most workers that nd_parallel can use */
    const nd_view *const *view;           /* n_in + n_out entries */
    const int64_t *attr;                  /* whole numbers; doubles as their bits (nd_attr_f64) */
    int64_t scratch;                      /* prepare sets: bytes of temporary memory for run, 64-byte aligned */
    int64_t persist;                      /* prepare sets: bytes kept between runs, filled by pack */
    int64_t k[ND_CALL_WORDS];             /* prepare's numbers for run */
} nd_call;

typedef struct {
    const char *name;
    uint32_t inplace;
    int32_t (*prepare)(nd_call *);
    int32_t (*pack)(const nd_call *, void *const *data, void *persist);
    int32_t (*run)(const nd_call *, void *const *data, void *scratch, const void *persist);
} nd_op;

/* Threads (core/pool.c). fn runs once for each task in 0 .. tasks - 1, on any worker in 0 .. nd_threads() - 1; tasks
   may run in any order and at once. Returns when all are done. Inside a task, nd_parallel runs its tasks in place. */
void nd_parallel(int64_t tasks, void (*fn)(void *context, int64_t task, int worker), void *context);
int nd_threads(void);

static inline int64_t nd_item_size(int32_t dtype) {
    return dtype == ND_F64 || dtype == ND_I64 ? 8 : dtype == ND_BOOL ? 1 : 4;
}

static inline int64_t nd_size(const nd_view *v) {
    int64_t n = 1;
    for (int i = 0; i < v->rank; i++) n *= v->dims[i];
    return n;
}

/* Row-major without gaps (axes of length 1 may have any stride; so may anything in an empty view). */
static inline int nd_dense(const nd_view *v) {
    int64_t expect = 1;
    if (nd_size(v) == 0) return 1;
    for (int i = v->rank - 1; i >= 0; i--) {
        if (v->dims[i] != 1 && v->strides[i] != expect) return 0;
        expect *= v->dims[i];
    }
    return 1;
}

static inline int nd_same_dims(const nd_view *a, const nd_view *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

/* Present, of this dtype, dense. */
static inline int nd_is(const nd_view *v, int32_t dtype) { return v && v->dtype == dtype && nd_dense(v); }

static inline double nd_attr_f64(const nd_call *c, int i) {
    double value;
    memcpy(&value, &c->attr[i], sizeof value);
    return value;
}

static inline int64_t nd_align64(int64_t bytes) { return (bytes + 63) & ~(int64_t)63; }

#endif
