/* Hashes of the family norm. */
static void hash_ops_norm(void) {
    const int64_t eps = bits_of(1e-5);
    static const int64_t sizes[][2] = {{5, 3}, {130, 20}, {9, 100}};
    for (int i = 0; i < 3; i++) {
        const int64_t n = sizes[i][1], one[2] = {sizes[i][0], 1};
        const operand x = in_f32(320, -2, 3, 2, sizes[i]), g = in_f32(321, -1, 1, 2, sizes[i]);
        const operand w = in_f32(322, 0.5f, 2, 1, &n), b = in_f32(323, -1, 1, 1, &n);
        const operand mean = in_f32(324, -1, 1, 2, one), rstd = in_f32(325, 0.5f, 2, 2, one);
        const operand full = out_of(ND_F32, 2, sizes[i]), m = out_of(ND_F32, 2, one), r = out_of(ND_F32, 2, one);
        const operand p = out_of(ND_F32, 1, &n), q = out_of(ND_F32, 1, &n);
        hash_op("layer_norm", "layer_norm", 3, 3, (operand[]){x, w, b, full, m, r}, 1, &eps);
        hash_op("layer_norm_bwd", "layer_norm_bwd", 5, 3, (operand[]){g, x, w, mean, rstd, full, p, q}, 1, &eps);
        hash_op("batch_norm/rows", "batch_norm", 3, 3, (operand[]){x, w, b, full, p, q}, 1, &eps);
        hash_op("batch_norm_bwd/rows", "batch_norm_bwd", 5, 3, (operand[]){g, x, w, b, w, full, p, q}, 1, &eps);
    }
    const int64_t dims[3] = {70, 3, 21};
    const operand x = in_f32(326, -2, 3, 3, dims), g = in_f32(327, -1, 1, 3, dims), full = out_of(ND_F32, 3, dims);
    const operand w = in_f32(328, 0.5f, 2, DIMS(3)), b = in_f32(329, -1, 1, DIMS(3));
    const operand p = out_of(ND_F32, DIMS(3)), q = out_of(ND_F32, DIMS(3));
    hash_op("batch_norm", "batch_norm", 3, 3, (operand[]){x, w, b, full, p, q}, 1, &eps);
    hash_op("batch_norm_bwd", "batch_norm_bwd", 5, 3, (operand[]){g, x, w, b, w, full, p, q}, 1, &eps);
}
