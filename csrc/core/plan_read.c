/* The form of plan bytes: where the sections are, and whether every number in them that counts or points does so within
   bounds. Contract: plan.h. Nothing is allocated and nothing outside `bytes` is read. */
#include "plan.h"

/* zlib's crc32, four bits at a time: small, and quick enough for what a plan weighs. */
static uint32_t crc32(const uint8_t *p, uint64_t n) {
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                       0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t c = 0xffffffffu;
    for (uint64_t i = 0; i < n; i++) {
        c = table[(c ^ p[i]) & 15] ^ c >> 4;
        c = table[(c ^ (uint32_t)p[i] >> 4) & 15] ^ c >> 4;
    }
    return ~c;
}

static int32_t refuse(const char *why) { return nd_plan_refuse(ND_EPLAN, why); }

static int32_t read_header(const uint8_t *bytes, uint64_t size, plan_bytes *b) {
    if (!bytes || size < ND_HEADER) return refuse("there are fewer bytes than a header has");
    if (memcmp(bytes, "NDIVPLAN", 8) != 0) return refuse("these bytes do not begin as a plan does");
    if (nd_u32(bytes + 8) != 1) return refuse("the plan is of another version");
    if (nd_u32(bytes + 12) != 0) return refuse("the plan has flags that are not known");
    if (nd_u64(bytes + 16) != size || size > ND_PLAN_SIZE) return refuse("the size is not the one in the header");
    if (nd_u64(bytes + 24) != crc32(bytes + ND_HEADER, size - ND_HEADER)) return refuse("the checksum does not agree");
    b->arena = nd_i64(bytes + 32);
    if (b->arena < 0 || b->arena > ND_PLAN_BYTES) return refuse("the arena is too large");
    b->n_ops = nd_u32(bytes + 40);
    b->n_slots = nd_u32(bytes + 44);
    b->n_values = nd_u32(bytes + 48);
    b->n_instr = nd_u32(bytes + 52);
    b->n_operands = nd_u32(bytes + 56);
    b->n_attrs = nd_u32(bytes + 60);
    return ND_OK;
}

/* Names end with NUL, have something before it and nothing but NUL after it. */
static int32_t check_names(const plan_bytes *b) {
    for (uint32_t i = 0; i < b->n_ops; i++) {
        const uint8_t *name = b->ops + (uint64_t)i * ND_NAME;
        int length = 0;
        while (length < ND_NAME && name[length]) length++;
        if (length == 0 || length == ND_NAME) return refuse("a name of an operation is empty or too long");
        for (int k = length; k < ND_NAME; k++)
            if (name[k]) return refuse("a name of an operation is not padded with zeros");
    }
    return ND_OK;
}

/* Every operand and attribute belongs to one instruction, in order. */
static int32_t check_instructions(const plan_bytes *b, int64_t *where) {
    uint64_t operands = 0, attrs = 0;
    for (uint32_t i = 0; i < b->n_instr; i++) {
        const uint8_t *p = b->instr + (uint64_t)i * ND_INSTR_SIZE;
        const uint64_t n = (uint64_t)nd_u32(p + 4) + nd_u32(p + 8);
        *where = i;
        if (nd_u32(p) >= b->n_ops) return refuse("the operation's number is out of range");
        if (n > ND_PLAN_OPERANDS) return refuse("there are too many operands");
        if (nd_u32(p + 12) != operands || (operands += n) > b->n_operands)
            return refuse("the operands do not follow those of the instruction before");
        if (nd_u32(p + 16) != attrs || (attrs += nd_u32(p + 20)) > b->n_attrs)
            return refuse("the attributes do not follow those of the instruction before");
        if (nd_u32(p + 28) != 0) return refuse("a reserved field is not zero");
    }
    *where = -1;
    if (operands != b->n_operands || attrs != b->n_attrs) return refuse("operands or attributes belong to no instruction");
    return ND_OK;
}

int32_t nd_plan_read(const uint8_t *bytes, uint64_t size, plan_bytes *b, int64_t *where) {
    int32_t status = read_header(bytes, size, b);
    if (status != ND_OK) return status;
    /* counts are 32 bits and sections at most 160 bytes an item: no sum here comes near 2^64 */
    const uint64_t slots = ND_HEADER + (uint64_t)b->n_ops * ND_NAME;
    const uint64_t values = slots + (uint64_t)b->n_slots * ND_SLOT_SIZE;
    const uint64_t instr = values + (uint64_t)b->n_values * ND_VALUE_SIZE;
    const uint64_t operands = instr + (uint64_t)b->n_instr * ND_INSTR_SIZE;
    const uint64_t attrs = operands + ((uint64_t)b->n_operands * 4 + 7) / 8 * 8;
    if (attrs + (uint64_t)b->n_attrs * 8 != size) return refuse("the sections do not add up to the size");
    b->ops = bytes + ND_HEADER;
    b->slots = bytes + slots;
    b->values = bytes + values;
    b->instr = bytes + instr;
    b->operands = bytes + operands;
    b->attrs = bytes + attrs;
    if (b->n_operands % 2 && nd_u32(bytes + attrs - 4) != 0) return refuse("the operands are not padded with zeros");
    for (uint32_t k = 0; k < b->n_operands; k++) {
        const uint32_t v = nd_u32(b->operands + (uint64_t)k * 4);
        if (v != ND_ABSENT && v >= b->n_values) return refuse("an operand's number is out of range");
    }
    status = check_names(b);
    return status == ND_OK ? check_instructions(b, where) : status;
}
