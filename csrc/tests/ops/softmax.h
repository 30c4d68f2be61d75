/* Hashes of the family softmax. */
static void hash_ops_softmax(void) {
    static const int64_t sizes[][2] = {{5, 1}, {7, 3}, {40, 7}, {9, 16}, {33, 24}, {20, 45}, {3, 200}};
    for (int i = 0; i < 7; i++) {
        const operand x = in_f32(300 + (uint32_t)i, -6, 6, 2, sizes[i]);
        const operand g = in_f32(310 + (uint32_t)i, -1, 1, 2, sizes[i]);
        const operand y = out_of(ND_F32, 2, sizes[i]);
        hash_op("softmax", "softmax", 1, 1, (operand[]){x, y}, 0, 0);
        hash_op("softmax_bwd", "softmax_bwd", 2, 1, (operand[]){g, x, y}, 0, 0);
        hash_op("log_softmax", "log_softmax", 1, 1, (operand[]){x, y}, 0, 0);
        hash_op("log_softmax_bwd", "log_softmax_bwd", 2, 1, (operand[]){g, x, y}, 0, 0);
    }
}
