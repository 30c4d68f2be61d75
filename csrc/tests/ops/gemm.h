/* Hashes of the family gemm: one product of each path, forward and turned, with and without an epilogue. */
static void hash_gemm(const char *label, operand a, operand b, operand bias, operand addend, operand out, operand pre,
                      int64_t act, double alpha) {
    const operand o[] = {a, b, bias, addend, out, pre};
    hash_op(label, "gemm", 4, 2, o, 2, (const int64_t[]){act, bits_of(alpha)});
}

static void hash_ops_gemm(void) {
    const operand none = absent();
    hash_gemm("gemm tiles", in_f32(1, -1, 1, DIMS(61, 37)), in_f32(2, -1, 1, DIMS(37, 75)), in_f32(3, -1, 1, DIMS(75)),
              in_f32(4, -1, 1, DIMS(61, 75)), out_of(ND_F32, DIMS(61, 75)), out_of(ND_F32, DIMS(61, 75)), ND_ACT_GELU, 0.7);
    hash_gemm("gemm weight", in_f32(1, -1, 1, DIMS(9, 70)), swapped(in_f32(2, -1, 1, DIMS(45, 70)), 0, 1),
              in_f32(3, -1, 1, DIMS(45)), none, out_of(ND_F32, DIMS(9, 45)), none, ND_ACT_TANH, 1.0);
    hash_gemm("gemm gradient", swapped(in_f32(1, -1, 1, DIMS(50, 33)), 0, 1), in_f32(2, -1, 1, DIMS(50, 41)), none, none,
              out_of(ND_F32, DIMS(33, 41)), none, ND_ACT_IDENTITY, 1.0);
    hash_gemm("gemm long", swapped(in_f32(1, -1, 1, DIMS(700, 19)), 0, 1), swapped(in_f32(2, -1, 1, DIMS(26, 700)), 0, 1),
              none, none, out_of(ND_F32, DIMS(19, 26)), none, ND_ACT_RELU, 1.0);
    hash_gemm("gemm row", in_f32(1, -1, 1, DIMS(1, 90)), in_f32(2, -1, 1, DIMS(90, 77)), in_f32(3, -1, 1, DIMS(77)), none,
              out_of(ND_F32, DIMS(1, 77)), none, ND_ACT_SILU, 1.0);
    hash_gemm("gemm row weight", in_f32(1, -1, 1, DIMS(1, 90)), swapped(in_f32(2, -1, 1, DIMS(77, 90)), 0, 1), none, none,
              out_of(ND_F32, DIMS(1, 77)), none, ND_ACT_IDENTITY, 1.0);
    hash_gemm("gemm column", in_f32(1, -1, 1, DIMS(35, 90)), in_f32(2, -1, 1, DIMS(90, 1)), in_f32(3, -1, 1, DIMS(1)), none,
              out_of(ND_F32, DIMS(35, 1)), none, ND_ACT_ELU, 1.0);
    hash_gemm("gemm batch", in_f32(1, -1, 1, DIMS(3, 14, 20)), swapped(in_f32(2, -1, 1, DIMS(3, 22, 20)), 1, 2), none, none,
              out_of(ND_F32, DIMS(3, 14, 22)), none, ND_ACT_IDENTITY, 0.25);
    const operand act[] = {in_f32(1, -4, 4, DIMS(70, 21)), in_f32(2, -1, 1, DIMS(21)), out_of(ND_F32, DIMS(70, 21)),
                           out_of(ND_F32, DIMS(70, 21))};
    hash_op("bias_act", "bias_act", 2, 2, act, 1, (const int64_t[]){ND_ACT_GELU_TANH});
    const operand grad[] = {in_f32(1, -4, 4, DIMS(140, 21)), in_f32(2, -1, 1, DIMS(140, 21)), none,
                            out_of(ND_F32, DIMS(140, 21)), out_of(ND_F32, DIMS(21))};
    hash_op("bias_act_bwd", "bias_act_bwd", 3, 2, grad, 1, (const int64_t[]){ND_ACT_SOFTPLUS});
}
