/* Hashes of the family spectral. */
static void hash_ops_spectral(void) {
    static const int64_t lengths[] = {1, 2, 3, 8, 15, 35, 96, 97, 100, 121, 336, 500, 720};
    for (int i = 0; i < 13; i++) {
        const int64_t n = lengths[i], bins = n / 2 + 1, last[2] = {n, 1}, first[2] = {n, 0};
        const operand x = in_f32(380, -1, 1, DIMS(19, n)), z = in_f32(381, -1, 1, DIMS(19, bins, 2));
        const operand u = in_f32(382, -1, 1, DIMS(n, 18)), v = in_f32(383, -1, 1, DIMS(bins, 18, 2));
        hash_op("rfft", "rfft", 1, 1, (operand[]){x, out_of(ND_F32, DIMS(19, bins, 2))}, 2, last);
        hash_op("irfft", "irfft", 1, 1, (operand[]){z, out_of(ND_F32, DIMS(19, n))}, 2, last);
        hash_op("rfft/first", "rfft", 1, 1, (operand[]){u, out_of(ND_F32, DIMS(bins, 18, 2))}, 2, first);
        hash_op("irfft/first", "irfft", 1, 1, (operand[]){v, out_of(ND_F32, DIMS(n, 18))}, 2, first);
    }
}
