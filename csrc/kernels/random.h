/* nd_philox_u32: out[i] = word i % 4 of Philox4x32-10 at counter (block + i / 4, stream) under `key`.
 *
 * nd_dropout_f32: out[i] = x[i] * (float)(1 / (1 - p)) where u[i] >= (uint32)(p 2^32), else +0, with u the words of
 * (key, stream) from block 0. 0 <= p <= 1; p = 1 gives zeros. The backward pass is the same call on the gradient.
 * ND_EVALUE for another p. out may be x.
 */

static int32_t k_nd_philox_u32(uint64_t key, uint64_t stream, uint64_t block, int64_t n, uint32_t *out) {
    ND_REQUIRE(n >= 0, ND_ESIZE);
    ND_REQUIRE(n == 0 || out, ND_ENULL);
    const philox p = philox_make(key, stream);
    for (int64_t i = 0; i < n; i += 4 * ND_W, block += ND_W) {
        vi words[4];
        philox_words(&p, block, words);
        for (int k = 0; k < 4; k++) {
            const int64_t at = i + k * ND_W, left = n - at;
            if (left >= ND_W) vi_store(out + at, words[k]);
            else if (left > 0) vi_store_part(out + at, words[k], (int)left);
        }
    }
    return ND_OK;
}

static inline vf dropout_keep(vf x, vi word, vi threshold, vf scale) {
    return vf_blend(vi_ltu(word, threshold), vf_set1(0.0f), vf_mul(x, scale));
}

/* The n elements that begin at `block`. */
static void dropout_blocks(const philox *gen, double p, uint64_t block, int64_t n, const float *x, float *out) {
    const vi threshold = vi_set1((uint32_t)(p * 4294967296.0));
    const vf scale = vf_set1((float)(1.0 / (1.0 - p)));
    for (int64_t i = 0; i < n; i += 4 * ND_W, block += ND_W) {
        vi words[4];
        philox_words(gen, block, words);
        for (int k = 0; k < 4; k++) {
            const int64_t at = i + k * ND_W, left = n - at;
            if (left >= ND_W) {
                vf_store(out + at, dropout_keep(vf_load(x + at), words[k], threshold, scale));
            } else if (left > 0) {
                const vf part = vf_load_part(x + at, (int)left);
                vf_store_part(out + at, dropout_keep(part, words[k], threshold, scale), (int)left);
            }
        }
    }
}

static int32_t k_nd_dropout_f32(int64_t n, const float *x, double p, uint64_t key, uint64_t stream, float *out) {
    ND_REQUIRE(n >= 0, ND_ESIZE);
    ND_REQUIRE(n == 0 || (x && out), ND_ENULL);
    ND_REQUIRE(p >= 0.0 && p <= 1.0, ND_EVALUE);
    if (p == 1.0) {
        if (n) memset(out, 0, (size_t)n * sizeof *out);
        return ND_OK;
    }
    const philox gen = philox_make(key, stream);
    dropout_blocks(&gen, p, 0, n, x, out);
    return ND_OK;
}
