/* Hashes of the family vm: every opcode on wild and on tame arguments, then layouts and types. */

/* Any bits, so every exponent, infinities and NaNs among them; but subnormals, which some instructions flush, are 0. */
static operand wild_f32(uint32_t seed, int64_t n) {
    operand o = dense(ND_F32, 1, &n);
    if (nd_philox_u32(seed, 3, 0, n, o.data) != ND_OK) abort();
    for (int64_t i = 0; i < n; i++)
        if ((((uint32_t *)o.data)[i] & 0x7f800000u) == 0) ((uint32_t *)o.data)[i] &= 0x80000000u;
    return o;
}

static operand expanded(operand o, int axis, int64_t n) { /* axis of length 1 */
    o.word[4 + axis] = n;
    o.word[4 + ND_MAX_RANK + axis] = 0;
    return o;
}

static void hash_vm_opcodes(void) {
    enum { BINARY = 25, TERNARY = 38, N = 4099 };
    char label[32];
    for (int op = 1; op <= TERNARY; op++) {
        const int operands = op < BINARY ? 1 : op < TERNARY ? 2 : 3;
        const int64_t code[] = {10, op, 0, 64, operands > 1 ? 65 : 0, operands > 2 ? 66 : 0, 0, 0, 0, 0, 0, 0};
        for (int tame = 0; tame < 2; tame++) {
            operand o[4];
            for (int i = 0; i < operands; i++)
                o[i] = tame ? in_f32((uint32_t)(40 + i), -4.0f, 9.0f, DIMS(N)) : wild_f32((uint32_t)(50 + i), N);
            o[operands] = out_of(ND_F32, DIMS(N));
            snprintf(label, sizeof label, "vm_op/%d/%d", op, tame);
            hash_op(label, "vm", operands, 1, o, 12, code);
        }
    }
}

static void hash_ops_vm(void) {
    hash_vm_opcodes();
    /* where(a > c, a b + tanh(c), b), and a > c as truth */
    const int64_t chain[] = {35, 32, 0, 64, 66, 0, 27, 1, 64, 65, 0, 15, 2, 66, 0, 0, 25, 1, 1, 2, 0,
                             38, 1, 0, 1, 65, 0, 0, 1, 0, 0, 0, 1, 0, 4, 0, 0};
    const operand rows[] = {in_f32(1, -2, 2, DIMS(37, 53)), expanded(in_f32(2, -2, 2, DIMS(1, 53)), 0, 37),
                            expanded(in_f32(3, -2, 2, DIMS(37, 1)), 1, 53), out_of(ND_F32, DIMS(37, 53)),
                            out_of(ND_BOOL, DIMS(37, 53))};
    hash_op("vm/broadcast", "vm", 3, 2, rows, 37, chain);
    const operand turned[] = {swapped(in_f32(1, -2, 2, DIMS(53, 37)), 0, 1), in_f32(2, -2, 2, DIMS(37, 53)),
                              expanded(in_f32(3, -2, 2, DIMS(37, 1)), 1, 53), out_of(ND_F32, DIMS(37, 53)),
                              out_of(ND_BOOL, DIMS(37, 53))};
    hash_op("vm/transposed", "vm", 3, 2, turned, 37, chain);
    const int64_t copy[] = {5, 0, 0, 64, 0, 0, 0};
    const operand moved[] = {swapped(in_f32(4, -2, 2, DIMS(5, 71, 67)), 1, 2), out_of(ND_F32, DIMS(5, 67, 71))};
    hash_op("vm/copy", "vm", 1, 1, moved, 7, copy);
    const int64_t mixed[] = {20, 25, 0, 64, 65, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 2, 0, 1, 0, 0};
    const operand types[] = {in_i64(5, 1000, DIMS(13, 11)), in_f32(6, -50, 50, DIMS(13, 11)), out_of(ND_F32, DIMS(13, 11)),
                             out_of(ND_I64, DIMS(13, 11)), out_of(ND_F64, DIMS(13, 11))};
    hash_op("vm/types", "vm", 2, 3, types, 22, mixed);
}
