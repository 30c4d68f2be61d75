/* Hashes of the family data. */

static operand data_flipped(operand o, int axis) { /* read backwards along an axis, without moving data */
    const int64_t item = nd_item_size((int32_t)o.word[1]);
    o.data = (char *)o.data + (o.word[4 + axis] - 1) * o.word[4 + ND_MAX_RANK + axis] * item;
    o.word[4 + ND_MAX_RANK + axis] *= -1;
    return o;
}

static void hash_ops_data(void) {
    const int64_t dim0[] = {0}, dim1[] = {1};
    hash_op("cat/0", "cat", 3, 1, (operand[]){in_f32(1, -1, 1, DIMS(3, 5)), swapped(in_f32(2, -1, 1, DIMS(4, 3)), 0, 1),
            in_f32(3, -1, 1, DIMS(3, 1)), out_of(ND_F32, DIMS(3, 10))}, 1, dim1);
    hash_op("put_slice/0", "put_slice", 1, 1, (operand[]){in_f32(1, -1, 1, DIMS(2, 5)), out_of(ND_F32, DIMS(4, 17))}, 9,
            (int64_t[]){2, 1, 14, 2, 2, -3, 2, 4, 17});
    hash_op("fill/0", "fill", 0, 1, (operand[]){out_of(ND_F32, DIMS(37))}, 4, (int64_t[]){1, 37, bits_of(0.1), ND_F32});
    hash_op("take/0", "take", 2, 1, (operand[]){in_f32(1, -1, 1, DIMS(3, 9, 5)), in_i64(2, 7, DIMS(4)),
            out_of(ND_F32, DIMS(3, 4, 3, 5))}, 8, (int64_t[]){9, 5, 3, 4, 3, 4, 3, 5});
    hash_op("take_add/0", "take_add", 2, 1, (operand[]){in_f32(1, -1, 1, DIMS(3, 40, 2, 19)), in_i64(2, 8, DIMS(40)),
            out_of(ND_F32, DIMS(3, 9, 19))}, 7, (int64_t[]){9, 19, 2, 3, 3, 9, 19});
    hash_op("gather/0", "gather", 2, 1, (operand[]){in_f32(1, -1, 1, DIMS(4, 6, 5)), in_i64(2, 6, DIMS(4, 9, 5)),
            out_of(ND_F32, DIMS(4, 9, 5))}, 1, dim1);
    hash_op("scatter_add/0", "scatter_add", 2, 1, (operand[]){in_f32(1, -1, 1, DIMS(4, 50)), in_i64(2, 6, DIMS(4, 50)),
            out_of(ND_F32, DIMS(4, 6))}, 2, (int64_t[]){1, 6});
    for (int axis = 0; axis < 2; axis++)
        hash_op(axis ? "cumsum/1" : "cumsum/0", "cumsum", 1, 1, (operand[]){data_flipped(in_f32(1, -1, 1, DIMS(29, 43)), axis),
                out_of(ND_F32, DIMS(29, 43))}, 1, axis ? dim1 : dim0);
    hash_op("argsort/0", "argsort", 1, 1, (operand[]){in_f32(1, -1, 1, DIMS(3, 77)), out_of(ND_I64, DIMS(3, 77))}, 1, dim1);
    hash_op("argsort/1", "argsort", 1, 1, (operand[]){in_f32(1, -1, 1, DIMS(900, 2)), out_of(ND_I64, DIMS(900, 2))}, 1, dim0);
    hash_op("picks/0", "picks", 3, 1, (operand[]){swapped(in_f32(1, -1, 1, DIMS(2, 9, 3, 21)), 1, 2),
            swapped(in_f32(2, -1, 1, DIMS(2, 3, 13, 21)), 2, 3), in_i64(3, 12, DIMS(9, 19)), out_of(ND_F32, DIMS(2, 3, 9, 19))},
            0, (int64_t[]){0});
}
