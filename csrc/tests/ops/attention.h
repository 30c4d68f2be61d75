/* Hashes of the family attention. */

enum { ATT_LEAD = 3 };

/* Forward and backward on [2, ATT_LEAD, lq, d] [.., lk, d] [.., lk, dv], heads and time swapped in memory. kind of
   mask: 0 none, 1 boolean [lq, lk], 2 float [ATT_LEAD, 1, lk]. */
static void hash_attention(const char *label, int64_t lq, int64_t lk, int64_t d, int64_t dv, int mask, int causal,
                           double p) {
    const int64_t attr[] = {causal, bits_of(0.4), bits_of(p), 5};
    const operand q = swapped(in_f32(1, -2, 2, DIMS(2, lq, ATT_LEAD, d)), 1, 2);
    const operand k = swapped(in_f32(2, -2, 2, DIMS(2, lk, ATT_LEAD, d)), 1, 2);
    const operand v = in_f32(3, -2, 2, DIMS(ATT_LEAD, lk, dv)), g = in_f32(4, -2, 2, DIMS(2, ATT_LEAD, lq, dv));
    operand m = mask == 2 ? in_f32(5, -2, 2, DIMS(ATT_LEAD, 1, lk)) : absent();
    if (mask == 1) {
        m = out_of(ND_BOOL, DIMS(lq, lk));
        const operand bits = in_i64(6, 3, DIMS(lq, lk));
        for (int64_t i = 0; i < m.count; i++) ((uint8_t *)m.data)[i] = ((int64_t *)bits.data)[i] > 0;
    }
    const operand rng = in_i64(7, 1000, DIMS(2)), delta = in_f32(8, -1, 1, DIMS(2, ATT_LEAD, lq, 1));
    const operand out = out_of(ND_F32, DIMS(2, ATT_LEAD, lq, dv)), lse = out_of(ND_F32, DIMS(2, ATT_LEAD, lq, 1));
    char name[64];
    snprintf(name, sizeof name, "attention/%s", label);
    hash_op(name, "attention", 5, 2, (operand[]){q, k, v, m, rng, out, lse}, 4, attr);
    snprintf(name, sizeof name, "attention_bwd/%s", label);
    const operand gq = out_of(ND_F32, DIMS(2, ATT_LEAD, lq, d)), gk = out_of(ND_F32, DIMS(2, ATT_LEAD, lk, d));
    const operand gv = out_of(ND_F32, DIMS(2, ATT_LEAD, lk, dv));
    hash_op(name, "attention_bwd", 8, 3, (operand[]){g, q, k, v, m, lse, delta, rng, gq, gk, gv}, 4, attr);
}

static void hash_ops_attention(void) {
    hash_attention("short", 12, 12, 16, 16, 0, 0, 0.0);
    hash_attention("narrow", 7, 9, 5, 3, 1, 0, 0.0);
    hash_attention("causal", 61, 61, 32, 48, 0, 1, 0.0);
    hash_attention("bias", 50, 70, 20, 64, 2, 1, 0.0);
    hash_attention("dropout", 13, 83, 16, 17, 1, 0, 0.3);
    hash_attention("blocks", 53, 1100, 8, 16, 0, 0, 0.0);
    hash_attention("masked_blocks", 52, 600, 16, 8, 1, 0, 0.25);
}
