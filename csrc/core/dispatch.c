/* Chooses a table of kernels once and forwards every public kernel to it. The choice is one pointer, read and written
   atomically: a race on first use ends with the same pointer whoever wins. */
#include <string.h>

#include "cpu.h"
#include "table.h"

#ifdef _MSC_VER
#include <intrin.h>
static void *volatile active_slot;
static const nd_table *load_active(void) { return (const nd_table *)active_slot; }
static void store_active(const nd_table *t) { _InterlockedExchangePointer(&active_slot, (void *)t); }
#else
static const nd_table *active_slot;
static const nd_table *load_active(void) { return __atomic_load_n(&active_slot, __ATOMIC_ACQUIRE); }
static void store_active(const nd_table *t) { __atomic_store_n(&active_slot, t, __ATOMIC_RELEASE); }
#endif

/* The n-th table that this machine can run, best first; NULL past the last. */
static const nd_table *runnable(int n) {
    const nd_table *list[4];
    int count = 0;
#if ND_HAVE_AVX512
    if (nd_cpu_has_avx512()) list[count++] = &nd_table_avx512;
#endif
#if ND_HAVE_AVX2
    if (nd_cpu_has_avx2()) list[count++] = &nd_table_avx2;
#endif
#if ND_HAVE_NEON
    list[count++] = &nd_table_neon; /* part of the aarch64 baseline */
#endif
    list[count++] = &nd_table_scalar;
    return n < count ? list[n] : 0;
}

static const nd_table *find(const char *name) {
    const nd_table *t;
    for (int n = 0; (t = runnable(n)) != 0; n++)
        if (!name || strcmp(name, t->isa) == 0) return t;
    return 0;
}

const nd_table *nd_table_active(void) {
    const nd_table *t = load_active();
    if (!t) {
        t = find(0);
        store_active(t);
    }
    return t;
}

int32_t nd_isa_available(const char *name) { return name && find(name) ? 1 : 0; }

int32_t nd_isa_select(const char *name) {
    const nd_table *t = find(name);
    if (!t) return ND_EISA;
    store_active(t);
    return ND_OK;
}

const char *nd_isa_current(void) { return nd_table_active()->isa; }

int32_t nd_abi_version(void) { return ND_ABI_VERSION; }

#define ND_KERNEL(name, params, args) \
    int32_t name params { return nd_table_active()->name args; }
#include "../kernels.def"
#undef ND_KERNEL
