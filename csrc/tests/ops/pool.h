/* Hashes of the family pool. */
static void hash_pool_line(int64_t n, int64_t kernel, int64_t stride) {
    const int64_t m = (n - kernel) / stride + 1, up = (n - kernel + stride - 1) / stride + 1;
    const int64_t ceil_m = (up - 1) * stride >= n ? up - 1 : up;
    const operand x = in_f32(340, -3, 3, DIMS(6, n)), y = out_of(ND_F32, DIMS(6, m)), gx = out_of(ND_F32, DIMS(6, n));
    const operand top = out_of(ND_F32, DIMS(6, ceil_m)), g = in_f32(341, -1, 1, DIMS(6, ceil_m));
    const operand u = in_f32(342, -1, 1, DIMS(6, m));
    const int64_t attr[3] = {kernel, stride, 1}, spread[3] = {kernel, stride, n};
    hash_op("max_pool1d", "max_pool1d", 1, 1, (operand[]){x, top}, 3, attr);
    hash_op("max_pool1d_bwd", "max_pool1d_bwd", 2, 1, (operand[]){g, x, gx}, 3, attr);
    hash_op("avg_pool1d", "avg_pool1d", 1, 1, (operand[]){x, y}, 2, attr);
    hash_op("avg_unpool1d", "avg_unpool1d", 1, 1, (operand[]){u, gx}, 3, spread);
}

static void hash_ops_pool(void) {
    static const int64_t lines[][3] = {{96, 2, 2}, {97, 2, 2}, {100, 4, 4}, {133, 8, 8}, {300, 16, 16}, {60, 3, 3},
                                       {60, 5, 2}, {120, 25, 1}};
    for (int i = 0; i < 8; i++) hash_pool_line(lines[i][0], lines[i][1], lines[i][2]);
    const operand x = in_f32(343, -3, 3, DIMS(2, 3, 9, 50));
    const operand y = out_of(ND_F32, DIMS(2, 3, 5, 25)), index = out_of(ND_I64, DIMS(2, 3, 5, 25));
    const int64_t max_attr[] = {2, 3, 3, 2, 2, 2, 2, 1, 1, 2, 1, 1, 0}, avg_attr[] = {2, 3, 3, 2, 2, 2, 2, 1, 1, 0, 0};
    hash_op("max_pool/2", "max_pool", 1, 2, (operand[]){x, y, index}, 13, max_attr);
    hash_op("avg_pool/2", "avg_pool", 1, 1, (operand[]){x, y}, 11, avg_attr);
    const operand z = out_of(ND_F32, DIMS(2, 3, 9, 25)), places = out_of(ND_I64, DIMS(2, 3, 9, 25));
    const int64_t line[] = {1, 3, 1, 2, 1, 1, 1, 1, 0}, whole[] = {1, 3, 1, 2, 1, 1, 0, 1};
    hash_op("max_pool/1", "max_pool", 1, 2, (operand[]){x, z, places}, 9, line);
    hash_op("avg_pool/1", "avg_pool", 1, 1, (operand[]){x, z}, 8, whole);
}
