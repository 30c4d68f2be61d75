/* Plans inside: the format of the bytes, and the tables that a loaded plan consists of.
 *
 * Bytes (little-endian; sections in this order, each a multiple of 8 bytes long, nothing before, between or after):
 *   header    char magic[8] "NDIVPLAN"; u32 version 1, flags 0; u64 size of everything; u64 crc32 (zlib's) of all that
 *             follows the header; u64 arena bytes; u32 n_ops, n_slots, n_values, n_instr, n_operands, n_attrs
 *   ops       n_ops names of plan operations, char[32] padded with NUL
 *   slots     u32 kind, dtype; u64 bytes
 *   values    u32 region (0 arena, 1 slot), slot, dtype, rank; i64 offset, step (bytes), dims[8], strides[8] (elements)
 *   instr     u32 op, n_in, n_out, first_operand, first_attr, n_attr, line, 0
 *   operands  u32 numbers of values, ND_ABSENT for none; padded with zeros to 8 bytes
 *   attrs     i64
 * Instructions own their operands and attributes in order and without gaps. What is not used (the slot of a value in the
 * arena, dims and strides past the rank) is zero. "scan" is an operation of the executor: attributes steps, count, no
 * operands; the next `count` instructions run `steps` times, and values with a step move by it each time.
 *
 * Rules that are checked at load (plan_read.c the form, plan_check.c the values, plan.c the operations):
 *   - every view lies inside its region, in every iteration; offsets and steps keep elements aligned; a view of a slot
 *     has the slot's dtype; a view with a step is used inside scans only
 *   - outputs are dense, and in the arena, an output slot or a state; those of one instruction do not overlap each other,
 *     nor an input, unless it is the same dense view and the operation may work in place on it
 *   - the operation's prepare accepts its operands
 */
#ifndef ND_PLAN_H
#define ND_PLAN_H

#include "op.h"
#include "pool.h"

#define ND_ABSENT 0xffffffffu

enum { ND_SLOT_INPUT = 0, ND_SLOT_OUTPUT = 1, ND_SLOT_STATE = 2, ND_SLOT_CONSTANT = 3, ND_SLOT_KINDS = 4 };

/* Limits that keep every later sum and product inside int64_t. */
#define ND_PLAN_SIZE ((uint64_t)1 << 31) /* bytes of a plan */
#define ND_PLAN_BYTES ((int64_t)1 << 40) /* of a region, an offset, a step, a stride, a view written out in full */
enum { ND_PLAN_OPERANDS = 1024 /* of one instruction */ };

typedef struct {
    uint32_t kind, dtype;
    int64_t bytes;
} plan_slot;

typedef struct {
    uint32_t region, slot;
    int64_t offset, step;
    int64_t low, high; /* the bytes it spans in its region, in the first iteration; low == high when it is empty */
    nd_view view;
} plan_value;

/* Where everything is in the bytes. */
typedef struct {
    const uint8_t *ops, *slots, *values, *instr, *operands, *attrs;
    int64_t arena;
    uint32_t n_ops, n_slots, n_values, n_instr, n_operands, n_attrs;
} plan_bytes;

typedef struct {
    int32_t (*run)(const nd_call *, void *const *data, void *scratch, const void *persist);
    void *persist;
    int64_t packed;   /* the offset of `persist` */
    uint32_t operand; /* the first */
    nd_call call;
} plan_instr;

/* Instructions begin .. end - 1, run `steps` times; between times the operands in moves first_move .. end_move - 1 move. */
typedef struct {
    uint32_t begin, end, first_move, end_move;
    int64_t steps;
} plan_segment;

typedef struct {
    uint32_t operand;
    int64_t step;
} plan_move;

/* An operand whose address comes from a slot that each run gives. */
typedef struct {
    uint32_t operand;
    int64_t offset;
} plan_patch;

/* What one run works in. The addresses of operands in the arena and in constants are set once. */
typedef struct plan_context {
    struct plan_context *next;
    void *block; /* what to free: the context itself is aligned */
    int busy; /* taken and given back atomically */
    uint8_t *arena, *scratch;
    void **data;        /* by operand */
    const void **given; /* by slot: the address that data holds now */
} plan_context;

struct nd_plan {
    int64_t arena, scratch, persist, fixed; /* bytes; fixed: of the plan's own block */
    int threads;                            /* that operations were prepared for */
    uint32_t n_slots, n_values, n_instr, n_operands, n_attrs, n_segments, n_moves;
    plan_slot *slots;
    plan_value *values;
    plan_instr *instr;
    plan_segment *segments;
    plan_move *moves;
    plan_patch *patches;    /* grouped by slot */
    uint32_t *first_patch;  /* by slot, n_slots + 1 */
    uint32_t *operands;     /* numbers of values */
    const nd_view **views;  /* by operand */
    const void **constants; /* by slot */
    int64_t *attrs;
    plan_context *contexts; /* a list that only grows */
    void *block, *packed_block; /* what to free */
};

/* Keeps the reason for nd_plan_why and returns the status. */
int32_t nd_plan_refuse(int32_t status, const char *why);

/* Zeroed memory with room for nd_plan_aligned, which gives its first address that is a multiple of 64; NULL: none is left. */
void *nd_plan_zeroed(int64_t bytes);
void *nd_plan_aligned(void *block);

/* Under the address sanitizer: bytes from .. to - 1 of a block are not to be touched, and ND_GUARD bytes more are there for
   that after each area. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ND_GUARDED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(ND_GUARDED)
#include <sanitizer/asan_interface.h>
enum { ND_GUARD = 64 };
static inline void nd_plan_guard(void *from, void *to) { __asan_poison_memory_region(from, (size_t)((char *)to - (char *)from)); }
#else
enum { ND_GUARD = 0 };
static inline void nd_plan_guard(void *from, void *to) { (void)from, (void)to; }
#endif

/* base + offset; also for the NULL of an empty slot. */
static inline void *nd_plan_address(const void *base, int64_t offset) {
    return (void *)((uintptr_t)base + (uintptr_t)offset);
}

static inline uint32_t nd_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t nd_u64(const uint8_t *p) { return nd_u32(p) | (uint64_t)nd_u32(p + 4) << 32; }
static inline int64_t nd_i64(const uint8_t *p) {
    const uint64_t u = nd_u64(p);
    int64_t i;
    memcpy(&i, &u, sizeof i);
    return i;
}

enum { ND_HEADER = 64, ND_NAME = 32, ND_SLOT_SIZE = 16, ND_VALUE_SIZE = 32 + 16 * ND_MAX_RANK, ND_INSTR_SIZE = 32 };

/* All return ND_OK or ND_EPLAN. */

/* plan_read.c: finds the sections; checks sizes, checksum, names, and the fields of instructions. */
int32_t nd_plan_read(const uint8_t *bytes, uint64_t size, plan_bytes *b, int64_t *where);
/* plan_check.c: fills the slots and values of the plan and checks that the views lie inside. */
int32_t nd_plan_values(const plan_bytes *b, nd_plan *plan);
/* plan_check.c: operands first .. of one instruction (n_in inputs, n_out outputs, the operation's mask), run `steps` times
   by a scan, or by none (0). */
int32_t nd_plan_operands(const nd_plan *plan, uint32_t first, uint32_t n_in, uint32_t n_out, uint32_t inplace,
                         int64_t steps);

#endif
