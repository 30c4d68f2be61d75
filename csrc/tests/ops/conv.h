/* Hashes of the family conv. */
static void hash_conv(const char *label, int axes, const int64_t *xd, const int64_t *wd, const int64_t *yd,
                      const int64_t *attr) {
    int64_t more[32];
    const int n = 4 * axes + 4;
    char name[64];
    memcpy(more, attr, (size_t)n * sizeof *more);
    more[n] = axes;
    const operand x = in_f32(360, -1, 1, axes + 2, xd), w = in_f32(361, -1, 1, axes + 2, wd);
    const operand g = in_f32(362, -1, 1, axes + 2, yd);
    snprintf(name, sizeof name, "conv/%s", label);
    hash_op(name, "conv", 2, 1, (operand[]){x, w, out_of(ND_F32, axes + 2, yd)}, n, attr);
    snprintf(name, sizeof name, "conv_grad_input/%s", label);
    memcpy(more + n + 1, xd + 2, (size_t)axes * sizeof *more);
    hash_op(name, "conv_grad_input", 2, 1, (operand[]){g, w, out_of(ND_F32, axes + 2, xd)}, n + 1 + axes, more);
    snprintf(name, sizeof name, "conv_grad_weight/%s", label);
    memcpy(more + n + 1, wd + 2, (size_t)axes * sizeof *more);
    hash_op(name, "conv_grad_weight", 2, 1, (operand[]){x, g, out_of(ND_F32, axes + 2, wd)}, n + 1 + axes, more);
}

#define L (const int64_t[])

static void hash_ops_conv(void) {
    hash_conv("causal", 1, L{3, 5, 50}, L{11, 5, 3}, L{3, 11, 50}, L{1, 1, 2, 8, 0, 1, 4, 1});
    hash_conv("stride", 1, L{2, 6, 47}, L{8, 3, 4}, L{2, 8, 16}, L{1, 3, 2, 1, 2, 1, 1, 2});
    hash_conv("sparse", 1, L{2, 3, 40}, L{3, 3, 2}, L{2, 3, 8}, L{1, 5, 2, 0, 2, 1, 3, 1});
    hash_conv("depthwise", 1, L{2, 7, 33}, L{7, 1, 5}, L{2, 7, 33}, L{1, 1, 2, 2, 2, 1, 1, 7});
    hash_conv("batch", 1, L{40, 9, 12}, L{10, 9, 3}, L{40, 10, 10}, L{1, 1, 2, 0, 0, 1, 1, 1});
    hash_conv("image", 2, L{2, 4, 9, 21}, L{6, 4, 3, 5}, L{2, 6, 9, 21}, L{2, 1, 1, 4, 1, 1, 2, 2, 2, 1, 1, 1});
    hash_conv("narrow", 2, L{9, 3, 20, 3}, L{6, 3, 5, 3}, L{9, 6, 20, 3}, L{2, 1, 1, 4, 2, 2, 1, 1, 2, 1, 1, 1});
    hash_conv("wide", 2, L{2, 3, 8, 24}, L{5, 3, 11, 11}, L{2, 5, 8, 24}, L{2, 1, 1, 4, 5, 5, 5, 5, 2, 1, 1, 1});
    hash_conv("strides", 2, L{2, 4, 11, 13}, L{6, 2, 3, 2}, L{2, 6, 5, 5}, L{2, 2, 3, 4, 1, 2, 1, 1, 2, 2, 1, 2});
}
#undef L
