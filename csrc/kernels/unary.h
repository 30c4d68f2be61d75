/* nd_unary_f32: out[i] = fn(x[i]) for an ND_FN_* code; the way in for tests and for large arrays. out may be x.
   ND_EVALUE for an unknown code. Functions and their accuracy: math.h. */

#define ND_UNARY(name)                                                                       \
    static void unary_##name(int64_t n, const float *x, float *out) {                        \
        int64_t i = 0;                                                                       \
        for (; i + ND_W <= n; i += ND_W) vf_store(out + i, v_##name(vf_load(x + i)));        \
        if (i < n) {                                                                         \
            const int left = (int)(n - i);                                                   \
            vf_store_part(out + i, v_##name(vf_load_part(x + i, left)), left);               \
        }                                                                                    \
    }
#define ND_UNARIES(X) X(exp) X(expm1) X(log1p) X(tanh) X(sigmoid) X(erf)
ND_UNARIES(ND_UNARY)
#define ND_UNARY_ENTRY(name) unary_##name,

static int32_t k_nd_unary_f32(int64_t n, int32_t fn, const float *x, float *out) {
    static void (*const run[ND_FN_COUNT])(int64_t, const float *, float *) = {ND_UNARIES(ND_UNARY_ENTRY)};
    ND_REQUIRE(n >= 0, ND_ESIZE);
    ND_REQUIRE(n == 0 || (x && out), ND_ENULL);
    ND_REQUIRE(fn >= 0 && fn < ND_FN_COUNT, ND_EVALUE);
    run[fn](n, x, out);
    return ND_OK;
}
