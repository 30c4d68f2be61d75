/* Hashes of the family recurrent: whole and partial vectors, several groups and stretches, lengths, both directions;
   gradients that fade to zeros on the way back (gy: the size of those of y). */
static void hash_recurrent_layer(const char *name, int gates, const char *label, int64_t t, int64_t b, int64_t i, int64_t h,
                                 int lengths, int reverse, float gy) {
    const int states = gates == 4 ? 2 : 1, kept = gates > 1, n_out = 2 * states + kept;
    char text[64], back[16];
    const int64_t attr[2] = {0, reverse}, *attrs = gates == 1 ? attr : attr + 1;
    operand o[24], layer[8], made[5];
    int n = 0, m = 0;
    layer[n++] = in_f32(1, -1.0f, 1.0f, DIMS(t, b, i));
    for (int k = 0; k < states; k++) layer[n++] = in_f32(2 + (uint32_t)k, -1.0f, 1.0f, DIMS(b, h));
    layer[n++] = in_f32(4, -0.5f, 0.5f, DIMS(gates * h, i));
    layer[n++] = in_f32(5, -0.3f, 0.3f, DIMS(gates * h, h));
    layer[n++] = in_f32(6, -0.5f, 0.5f, DIMS(gates * h));
    layer[n++] = in_f32(7, -0.5f, 0.5f, DIMS(gates * h));
    layer[n++] = lengths ? in_i64(8, t + 1, DIMS(b)) : absent();
    made[m++] = out_of(ND_F32, DIMS(t, b, h));
    for (int k = 0; k < states; k++) made[m++] = out_of(ND_F32, DIMS(b, h));
    if (kept) made[m++] = out_of(ND_F32, DIMS(t, b, 4 * h));
    if (states == 2) made[m++] = out_of(ND_F32, DIMS(t, b, h));
    memcpy(o, layer, sizeof *o * (size_t)n);
    memcpy(o + n, made, sizeof *o * (size_t)m);
    snprintf(text, sizeof text, "op_%s_%s", name, label);
    hash_op(text, name, n, n_out, o, gates == 1 ? 2 : 1, attrs);
    m = 0;
    o[m++] = in_f32(9, -gy, gy, DIMS(t, b, h));
    for (int k = 0; k < states; k++) o[m++] = in_f32(10 + (uint32_t)k, -1.0f, 1.0f, DIMS(b, h));
    memcpy(o + m, layer, sizeof *o * (size_t)n);
    m += n;
    o[m++] = made[0];
    for (int k = 1 + states; k < n_out; k++) o[m++] = made[k];
    for (int k = 0; k < n - 1; k++) {
        int64_t dims[3];
        memcpy(dims, layer[k].word + 4, sizeof dims);
        o[m + k] = out_of(ND_F32, (int)layer[k].word[2], dims);
    }
    snprintf(text, sizeof text, "op_%s_bwd_%s", name, label);
    snprintf(back, sizeof back, "%s_bwd", name);
    hash_op(text, back, m, n - 1, o, gates == 1 ? 2 : 1, attrs);
}

static void hash_ops_recurrent(void) {
    static const char *const names[3] = {"rnn", "gru", "lstm"};
    static const int gates[3] = {1, 3, 4};
    for (int k = 0; k < 3; k++) {
        hash_recurrent_layer(names[k], gates[k], "one", 3, 1, 1, 5, 0, 0, 1.0f);
        hash_recurrent_layer(names[k], gates[k], "whole", 7, 6, 4, 32, 0, 0, 1.0f);
        hash_recurrent_layer(names[k], gates[k], "lengths", 9, 7, 3, 21, 1, 0, 1.0f);
        hash_recurrent_layer(names[k], gates[k], "reverse", 6, 50, 5, 18, 1, 1, 1.0f);
        hash_recurrent_layer(names[k], gates[k], "long", 140, 2, 2, 67, 0, 0, 1.0f);
        hash_recurrent_layer(names[k], gates[k], "faded", 300, 3, 2, 19, 0, 0, 0.0f);
    }
}
