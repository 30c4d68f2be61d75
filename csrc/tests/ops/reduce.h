/* Hashes of the family reduce. */
static void hash_ops_reduce(void) {
    static const char *const names[] = {"sum", "mean", "prod", "amax", "amin"};
    const int64_t rows[] = {1, 1, 0}, cols[] = {1, 0, 0}, ends[] = {2, 0, 2, 1}, all[] = {3, 0, 1, 2, 0}, middle[] = {1, 1, 0};
    for (int k = 0; k < 5; k++) {
        char label[32];
        const float low = k == 2 ? 0.9f : -1.0f;
#define REDUCE_HASH(part, n_attr, attr, out, ...) \
    snprintf(label, sizeof label, "%s/" part, names[k]); \
    hash_op(label, names[k], 1, 1, (operand[]){__VA_ARGS__, out}, n_attr, attr)
        REDUCE_HASH("rows", 3, rows, out_of(ND_F32, DIMS(5)), in_f32(1, low, 1.1f, DIMS(5, 333)));
        REDUCE_HASH("columns", 3, cols, out_of(ND_F32, DIMS(37)), in_f32(2, low, 1.1f, DIMS(201, 37)));
        REDUCE_HASH("ends", 4, ends, out_of(ND_F32, DIMS(1, 7, 1)), in_f32(3, low, 1.1f, DIMS(6, 7, 21)));
        REDUCE_HASH("middle", 3, middle, out_of(ND_F32, DIMS(3, 21)), in_f32(3, low, 1.1f, DIMS(3, 70, 21)));
        REDUCE_HASH("turned", 3, rows, out_of(ND_F32, DIMS(61)), swapped(in_f32(4, low, 1.1f, DIMS(130, 61)), 0, 1));
        REDUCE_HASH("all", 5, all, out_of(ND_F32, 0, 0), in_f32(5, low, 1.1f, DIMS(3, 41, 77)));
        if (k == 2) continue; /* a product of so many says nothing */
        REDUCE_HASH("long", 3, cols, out_of(ND_F32, DIMS(3)), in_f32(6, low, 1.1f, DIMS(2500, 3)));
        REDUCE_HASH("very_long", 5, all, out_of(ND_F32, 0, 0), in_f32(7, low, 1.1f, DIMS(5, 10, 1003)));
#undef REDUCE_HASH
    }
    hash_op("argmax/0", "argmax", 1, 1, (operand[]){in_f32(1, -1, 1, DIMS(5, 333)), out_of(ND_I64, DIMS(5))}, 1, rows + 1);
    hash_op("argmax/1", "argmax", 1, 1, (operand[]){in_f32(1, -1, 1, DIMS(333, 21)), out_of(ND_I64, DIMS(21))}, 1, cols + 1);
    hash_op("sumsq_scale/0", "sumsq_scale", 4, 1,
            (operand[]){absent(), in_f32(1, -1, 1, DIMS(19)), in_f32(2, -1, 1, DIMS(40000)), in_f32(3, -1, 1, DIMS(7, 7)),
                        out_of(ND_F64, DIMS(2))}, 1, (int64_t[]){bits_of(0.5)});
}
