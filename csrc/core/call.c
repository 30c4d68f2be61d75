/* nd_call_op: one plan operation by name, outside a plan, for tests and benchmarks. It allocates what a plan would have
   allocated at load, and prepares, packs and runs in one go, in the floating-point state of plans. The views must describe
   memory that is there. */
#include <stdlib.h>

#include "fp.h"
#include "pool.h"
#include "table.h"

enum { MAX_OPERANDS = 1024 };

static const nd_op *find(const char *name) {
    for (const nd_op *op = nd_table_active()->ops; op->name; op++)
        if (strcmp(op->name, name) == 0) return op;
    return 0;
}

static void *aligned(void *block) { return (void *)(((uintptr_t)block + 63) & ~(uintptr_t)63); }

/* Packs and runs what was prepared. */
static int32_t run(const nd_op *op, const nd_call *call, void *const *data) {
    void *scratch = malloc((size_t)call->scratch + 64), *persist = malloc((size_t)call->persist + 64);
    int32_t status = scratch && persist ? ND_OK : ND_EMEMORY;
    const uint64_t fp = nd_fp_enter();
    const int limit = nd_parallel_limit(call->threads);
    if (status == ND_OK && call->persist) status = op->pack(call, data, aligned(persist));
    if (status == ND_OK) status = op->run(call, data, aligned(scratch), aligned(persist));
    nd_parallel_limit(limit);
    nd_fp_set(fp);
    free(scratch);
    free(persist);
    return status;
}

int32_t nd_call_op(const char *name, int32_t n_in, int32_t n_out, const int64_t *views, void *const *data, int32_t n_attr,
                   const int64_t *attr) {
    enum { WORDS = 4 + 2 * ND_MAX_RANK }; /* present, dtype, rank, flags, dims, strides */
    const nd_op *op = name ? find(name) : 0;
    if (!op || n_in < 0 || n_out < 0 || n_in + n_out > MAX_OPERANDS) return ND_EVALUE;
    const int32_t n = n_in + n_out;
    nd_view *view = calloc((size_t)n + 1, sizeof *view);
    const nd_view **pointer = calloc((size_t)n + 1, sizeof *pointer);
    if (!view || !pointer) {
        free(view);
        free(pointer);
        return ND_EMEMORY;
    }
    for (int32_t i = 0; i < n; i++) {
        const int64_t *w = views + (int64_t)i * WORDS;
        if (!w[0]) continue;
        view[i].dtype = (int32_t)w[1];
        view[i].rank = (int32_t)w[2];
        view[i].flags = (int32_t)w[3];
        memcpy(view[i].dims, w + 4, sizeof view[i].dims);
        memcpy(view[i].strides, w + 4 + ND_MAX_RANK, sizeof view[i].strides);
        pointer[i] = &view[i];
    }
    nd_call call = {n_in, n_out, n_attr, nd_threads(), pointer, attr, 0, 0, {0}};
    int32_t status = op->prepare(&call);
    if (status == ND_OK) status = run(op, &call, data);
    free(view);
    free(pointer);
    return status;
}
