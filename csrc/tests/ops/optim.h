/* Hashes of the family optim. */

static operand optim_numbers(int64_t n, const double *values) {
    operand o = out_of(ND_F64, 1, &n);
    memcpy(o.data, values, (size_t)n * 8);
    return o;
}

/* Arrays 1 .. count (p, g and the state; those that `left_out` names by a bit absent), hyper and control, and the outputs. */
static void hash_step(const char *label, const char *op, int arrays, uint32_t left_out, int numbers, const double *hyper,
                      int64_t flag) {
    operand o[16];
    int n = 0;
    for (int k = 1; k <= arrays; k++)
        o[n++] = left_out >> k & 1 ? absent() : in_f32((uint32_t)k, k < 3 ? -1.0f : 0.0f, 1.0f, DIMS(211));
    o[n++] = optim_numbers(numbers, hyper);
    o[n++] = flag ? absent() : optim_numbers(2, (const double[]){3.0, 0.25});
    for (int k = 1; k <= arrays; k++)
        if (k != 2) o[n++] = left_out >> k & 1 ? absent() : out_of(ND_F32, DIMS(211));
    hash_op(label, op, arrays + 2, arrays - 1, o, 1, &flag);
}

static void hash_ops_optim(void) {
    static const double adam[] = {0.01, 0.9, 0.999, 1e-8, 0.05, 0.19, 0.002, -1.0};
    static const double sgd[] = {0.1, 0.9, 0.2, 0.05, 0.0, 1.0}, rmsprop[] = {0.01, 0.9, 1e-6, 0.05, 0.8, 1.0};
    hash_step("adamw_op/0", "adamw", 4, 0, 8, adam, 0);
    hash_step("adamw_op/1", "adamw", 4, 0, 8, adam, 1);
    hash_step("adamw_amsgrad/0", "adamw_amsgrad", 5, 0, 8, adam, 0);
    hash_step("adamw_amsgrad/1", "adamw_amsgrad", 5, 0, 8, adam, 1);
    hash_step("sgd/0", "sgd", 3, 0, 6, sgd, 0);
    hash_step("sgd/1", "sgd", 3, 0, 6, sgd, 1);
    hash_step("rmsprop/0", "rmsprop", 5, 1u << 4, 6, rmsprop, 0);
    hash_step("rmsprop/1", "rmsprop", 5, 0, 6, rmsprop, 1);
}
