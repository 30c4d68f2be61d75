/* Runs whole plans of models and prints a hash of what they leave behind, for the instruction set named by the argument.
 *
 *     model ISA THREADS FILE...    # lines "file 0123456789abcdef"; exit status 2: not available here, 1: a plan failed
 *
 * A file, written by write_models.py: the plan's size and bytes, the number of runs and of slots, and each slot's size and
 * first contents (sizes are 64-bit, little-endian). The promise under test: the lines are the same for every instruction set,
 * processor and number of threads. NaNs hash alike whatever their sign and payload. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../include/ndiv.h"

enum { MAX_SLOTS = 4096 };

static int64_t read_number(FILE *file) {
    int64_t n = -1;
    if (fread(&n, sizeof n, 1, file) != 1 || n < 0) {
        fprintf(stderr, "the file ends early\n");
        exit(1);
    }
    return n;
}

static void *read_block(FILE *file, int64_t size) {
    void *block = aligned_alloc(64, (size_t)((size + 127) & ~(int64_t)63));
    if (!block || (size && fread(block, (size_t)size, 1, file) != 1)) {
        fprintf(stderr, "the file ends early\n");
        exit(1);
    }
    return block;
}

static uint64_t hash_block(uint64_t hash, const void *block, int64_t size) {
    for (int64_t i = 0; i + 4 <= size; i += 4) {
        uint32_t bits;
        memcpy(&bits, (const char *)block + i, 4);
        hash = (hash ^ ((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc00000u : bits)) * 1099511628211u;
    }
    return hash;
}

static int run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    void *slots[MAX_SLOTS];
    int64_t sizes[MAX_SLOTS], where = -1;
    nd_plan *plan = 0;
    if (!file) {
        fprintf(stderr, "%s cannot be opened\n", path);
        return 1;
    }
    const int64_t size = read_number(file);
    void *bytes = read_block(file, size);
    const int64_t runs = read_number(file), count = read_number(file);
    if (count > MAX_SLOTS) return 1;
    for (int64_t i = 0; i < count; i++) {
        sizes[i] = read_number(file);
        slots[i] = read_block(file, sizes[i]);
    }
    fclose(file);
    int32_t status = nd_plan_load(bytes, (uint64_t)size, (const void *const *)slots, &plan, &where);
    for (int64_t r = 0; r < runs && status == ND_OK; r++) status = nd_plan_run(plan, slots, &where);
    if (status != ND_OK) {
        fprintf(stderr, "%s: status %d at instruction %d\n", path, (int)status, (int)where);
        return 1;
    }
    uint64_t hash = 14695981039346656037u;
    for (int64_t i = 0; i < count; i++) {
        hash = hash_block(hash, slots[i], sizes[i]);
        free(slots[i]);
    }
    nd_plan_free(plan);
    free(bytes);
    const char *name = strrchr(path, '/');
    printf("%s %08x%08x\n", name ? name + 1 : path, (unsigned)(hash >> 32), (unsigned)hash);
    return 0;
}

int main(int argc, char **argv) {
    int failed = 0;
    if (argc < 3 || nd_isa_select(argv[1]) != ND_OK) return 2;
    if (nd_set_threads(atoi(argv[2])) != ND_OK) return 2;
    for (int i = 3; i < argc; i++) failed |= run_file(argv[i]);
    return failed;
}
