/* Counts the allocations of the process it is preloaded into, and runs a plan many times in between (glibc). */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static atomic_long made;

void *malloc(size_t n) {
    atomic_fetch_add(&made, 1);
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size) {
    atomic_fetch_add(&made, 1);
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n) {
    atomic_fetch_add(&made, 1);
    return __libc_realloc(p, n);
}

void *memalign(size_t align, size_t n) {
    atomic_fetch_add(&made, 1);
    return __libc_memalign(align, n);
}

void *aligned_alloc(size_t align, size_t n) { return memalign(align, n); }

int posix_memalign(void **p, size_t align, size_t n) {
    *p = memalign(align, n);
    return *p ? 0 : 12; /* ENOMEM */
}

long allocations(void) { return atomic_load(&made); }

/* How many allocations `times` runs of a plan make, on all threads; -1 where a run fails. */
long allocations_of(int32_t (*run)(void *, void *const *, int64_t *), void *plan, void *const *slots, int64_t times) {
    const long before = atomic_load(&made);
    int64_t where;
    for (int64_t i = 0; i < times; i++)
        if (run(plan, slots, &where)) return -1;
    return atomic_load(&made) - before;
}
