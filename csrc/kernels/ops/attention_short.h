/* Forward for one block of keys, no mask and no dropout: the scores lie transposed, [keys, queries], so that the
   softmax runs along registers and never across them. The same bits as attention_fwd.h: only the order of independent
   operations differs. */

/* to [n, d] = factor x */
static void att_scaled_rows(int64_t n, int64_t d, const float *x, int64_t rs, int64_t cs, float factor, float *to) {
    const vf f = vf_set1(factor);
    for (int64_t i = 0; i < n; i++, x += rs, to += d) {
        for (int64_t j = 0; cs == 1 && j < d; j += ND_W) {
            const int left = d - j < ND_W ? (int)(d - j) : ND_W;
            store_left(to + j, vf_mul(load_left(x + j, left), f), left);
        }
        for (int64_t j = 0; cs != 1 && j < d; j++) to[j] = x[j * cs] * factor;
    }
}

/* The sum of the 16 lanes of each query: lanes_sum, one register per lane. */
static inline vf att_lane_tree(vf lane[ND_LANES]) {
    ND_UNROLL
    for (int h = ND_LANES / 2; h > 0; h /= 2) {
        ND_UNROLL
        for (int l = 0; l < h; l++) lane[l] = vf_add(lane[l], lane[l + h]);
    }
    return lane[0];
}

/* Probabilities before the division of ND_W queries, in place: n keys, rows of s `ld` apart. With `causal` >= 0 the
   first query is number `causal` and sees the keys up to its own. Gives the largest score, and the sum. */
static inline void att_short_column(float *s, int64_t ld, int64_t n, int64_t causal, vf *top, vf *sum) {
    const vf low = vf_set1(-INFINITY), zero = vf_set1(0.0f);
    vf most = low, lane[ND_LANES];
    for (int64_t j = 0; j < n; j++) {
        vf x = vf_load(s + j * ld);
        if (causal >= 0 && j > causal) {
            const vm sees = vi_ltu(vi_set1((uint32_t)(j - causal - 1)), vi_iota());
            x = vf_blend(sees, x, low);
            vf_store(s + j * ld, x);
        }
        most = vf_max(x, most);
    }
    const vf base = vf_blend(vf_eq(most, low), zero, most);
    ND_UNROLL
    for (int l = 0; l < ND_LANES; l++) lane[l] = zero;
    for (int64_t first = 0; first < n; first += ND_LANES) {
        float *at = s + first * ld;
        ND_UNROLL
        for (int l = 0; l < ND_LANES; l++, at += ld) {
            if (first + l >= n) continue;
            const vf e = att_exp2(vf_sub(vf_load(at), base));
            lane[l] = vf_add(lane[l], e);
            vf_store(at, e);
        }
    }
    *top = most;
    *sum = att_lane_tree(lane);
}

/* Queries r0 .. r1 - 1 of one head. */
static void att_short_range(const att_fwd_head *h, int64_t r0, int64_t r1) {
    const att_problem *a = h->a;
    float *keys = h->scratch + h->p->packed_k, *queries = h->scratch + h->p->queries, *s = h->scratch + h->p->s;
    float after[ND_ATT_PANEL], lse[ND_ATT_PANEL], ones[ND_ATT_PANEL];
    const int64_t wide = att_round16(a->dv);
    att_scaled_rows(a->lk, a->d, h->k, a->k.rs, a->k.cs, (float)((double)a->scale * nd_att_log2_e), keys);
    const att_rows values = att_padded(a->lk, a->dv, h->v, a->v.rs, a->v.cs, h->scratch + h->p->packed_v);
    for (int i = 0; a->lk > ND_ATT_STEP && i < ND_ATT_PANEL; i++) ones[i] = 1.0f;
    for (int64_t first = r0; first < r1; first += ND_ATT_PANEL) {
        const int64_t rows = r1 - first < ND_ATT_PANEL ? r1 - first : ND_ATT_PANEL, cols = att_round16(rows);
        const int64_t n = a->causal && first + rows < a->lk ? first + rows : a->lk;
        att_pack_transposed(rows, a->d, h->q + first * a->q.rs, a->q.rs, a->q.cs, 1.0f, queries);
        att_mm(n, cols, a->d, keys, a->d, 1, queries, cols, s, cols, 0, 0);
        for (int64_t i = 0; i < rows; i += ND_W) {
            vf top, sum;
            att_short_column(s + i, cols, n, a->causal ? first + i : -1, &top, &sum);
            const vm none = vf_eq(sum, vf_set1(0.0f));
            vf_store(after + i, vf_div(vf_set1(1.0f), vf_blend(none, vf_set1(1.0f), sum)));
            if (h->lse) vf_store(lse + i, att_lse(top, sum));
        }
        float *out = h->out + first * a->dv, *o = a->dv % 16 ? h->scratch + h->p->o : out;
        att_product(rows, wide, n, ND_ATT_STEP, s, 1, cols, values, o, wide, 0, after, ones);
        if (o != out) att_copy_rows(rows, a->dv, o, wide, out, a->dv);
        if (h->lse) memcpy(h->lse + first, lse, (size_t)rows * sizeof *lse);
    }
}
