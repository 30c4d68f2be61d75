/* rfft(x [*A]; n, dim) -> [A with n / 2 + 1 bins in axis dim, 2]: X_k = sum over t of x_t exp(-2 pi i k t / n), real
 *     and imaginary parts side by side. x is cut, or filled with zeros, to n values.
 * irfft(x [*A, 2]; n, dim) -> [A with n values in axis dim]: the real series whose transform that is, with the factor 1
 *     / n. Bins are cut or filled with zeros to n / 2 + 1; the imaginary parts of bin 0 and, for even n, of bin n / 2
 *     are not read.
 *
 * Float32, x of any strides, the result dense; dim counts from 0, n from 1 (to 2^40). Any n: for one with large prime
 * factors p the time is about n (sum of p). Lanes are transforms, so that all are computed alike, whatever the register
 * width. For even n a complex transform of length n / 2 is done, in place, with radices 4, 2, 3, 5 and any other prime
 * (spectral_fft.h). Tables persist; their sines and cosines are worked out here in double, by polynomials, and rounded
 * once, so that they are the same everywhere. Groups of transforms run in parallel.
 */
#include "norm_rows.h"

#define FFT_MOST ((int64_t)1 << 40)

enum { FFT_STAGES = 40 };

typedef struct {
    int inverse, rank;            /* axes other than dim */
    int64_t n, bins, length;      /* length: n / 2 or n, of the complex transform */
    int64_t have;                 /* values, or bins, that x has, at most what is needed */
    int64_t rows;
    int64_t dims[ND_MAX_RANK], in[ND_MAX_RANK], out[ND_MAX_RANK]; /* of the other axes, and how far they step */
    int64_t in_step, out_step, pair; /* along dim; from the real to the imaginary part of x */
    int stages;
    int64_t radix[FFT_STAGES];
    int64_t generic;              /* the largest radix without a formula of its own, or 0 */
    int64_t floats;               /* of tables that follow the slots */
    int64_t vectors;              /* of a worker's scratch */
} fft_shape;

static void fft_factor(fft_shape *s) {
    int64_t left = s->length;
    s->stages = 0;
    s->generic = 0;
    while (left % 4 == 0) s->radix[s->stages++] = 4, left /= 4;
    for (int64_t p = 2; left > 1; p++) {
        if (p * p > left) p = left;
        while (left % p == 0) {
            s->radix[s->stages++] = p;
            if (p > 5 && p > s->generic) s->generic = p;
            left /= p;
        }
    }
}

static int32_t fft_read(const nd_call *c, int inverse, fft_shape *s) {
    const int32_t status = rows_check(c, 1, 1, 2, 0);
    ND_REQUIRE(status == ND_OK, status);
    memset(s, 0, sizeof *s);
    const nd_view *x = c->view[0], *y = c->view[1], *pairs = inverse ? x : y, *reals = inverse ? y : x;
    const int64_t dim = c->attr[1], n = c->attr[0];
    ND_REQUIRE(c->n_attr == 2 && n >= 1 && n <= FFT_MOST, ND_EVALUE);
    ND_REQUIRE(reals->rank >= 1 && pairs->rank == reals->rank + 1 && pairs->dims[reals->rank] == 2, ND_ESIZE);
    ND_REQUIRE(dim >= 0 && dim < reals->rank && nd_dense(y), ND_EVALUE);
    s->inverse = inverse;
    s->n = n;
    s->bins = n / 2 + 1;
    s->length = n % 2 ? n : n / 2;
    ND_REQUIRE(y->dims[dim] == (inverse ? n : s->bins) && x->dims[dim] >= (inverse ? 1 : 0), ND_ESIZE);
    s->have = x->dims[dim] < (inverse ? s->bins : n) ? x->dims[dim] : inverse ? s->bins : n;
    s->rows = 1;
    int64_t inner = inverse ? 1 : 2;
    for (int i = reals->rank - 1; i >= 0; i--) {
        ND_REQUIRE(i == dim || x->dims[i] == y->dims[i], ND_ESIZE);
        if (i == dim) s->out_step = inner;
        else {
            s->dims[s->rank] = x->dims[i];
            s->in[s->rank] = x->strides[i];
            s->out[s->rank++] = inner;
            ND_REQUIRE(rows_mul(s->rows, x->dims[i], &s->rows), ND_ESIZE);
        }
        ND_REQUIRE(rows_mul(inner, y->dims[i], &inner), ND_ESIZE);
    }
    s->in_step = x->strides[dim];
    s->pair = inverse ? x->strides[x->rank - 1] : 0;
    fft_factor(s);
    s->floats = 2 * (s->length + s->bins);
    for (int i = 0; i < s->stages; i++) s->floats += s->radix[i] > 5 ? 2 * s->radix[i] : 0;
    s->vectors = 2 * ((inverse ? s->bins : 0) + (s->length > s->bins ? s->length : s->bins) + s->generic + 1);
    return ND_OK;
}

static int32_t fft_prepare(nd_call *c, int inverse) {
    fft_shape s;
    const int32_t status = fft_read(c, inverse, &s);
    ND_REQUIRE(status == ND_OK, status);
    c->persist = (s.n + s.length) * (int64_t)sizeof(int64_t) + s.floats * (int64_t)sizeof(float);
    c->k[0] = s.vectors * ND_LANES * (int64_t)sizeof(float); /* whatever instruction set runs */
    ND_REQUIRE(rows_mul(c->k[0], c->threads > 1 ? c->threads : 1, &c->scratch), ND_ESIZE);
    return ND_OK;
}

#include "spectral_tables.h"
#include "spectral_fft.h"
#include "spectral_rows.h"

#define FFT_OP(name, inverse)                                                                                         \
    static int32_t op_##name##_prepare(nd_call *c) { return fft_prepare(c, inverse); }                                \
    static int32_t op_##name##_pack(const nd_call *c, void *const *data, void *persist) {                             \
        (void)data;                                                                                                   \
        return fft_pack(c, inverse, persist);                                                                         \
    }                                                                                                                 \
    static int32_t op_##name##_run(const nd_call *c, void *const *data, void *scratch, const void *persist) {         \
        return fft_run(c, inverse, data, scratch, persist);                                                           \
    }
FFT_OP(rfft, 0)
FFT_OP(irfft, 1)

#define ND_OPS_SPECTRAL(X) X(rfft, 0u, op_rfft_pack) X(irfft, 0u, op_irfft_pack)
