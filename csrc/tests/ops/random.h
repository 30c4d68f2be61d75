/* Hashes of the family random. */
static void hash_ops_random(void) {
    operand rng = in_i64(5, 1 << 30, DIMS(2));
    for (int k = 0; k < 3; k++)
        hash_op(k == 0 ? "dropout_op/0" : k == 1 ? "dropout_op/1" : "dropout_op/2", "dropout", 2, 1,
                (operand[]){in_f32(1, -1, 1, DIMS(7, 33)), rng, out_of(ND_F32, DIMS(7, 33))}, 2,
                (int64_t[]){bits_of(0.5 * k), 3 - 5 * k});
}
