/* Conversions between element types, for the loads, stores and copies of `vm`: n elements from src (s elements apart) to d
 * (t apart). Truth is "is not 0". A float becomes a whole number by cutting off its fraction; beyond the range it is the
 * nearest end of the range, and a NaN is 0. Between equal types the bits are moved as they are.
 */
typedef void (*vm_convert)(int64_t n, void *d, int64_t t, const void *src, int64_t s);

static inline int64_t vm_to_i64(double v) {
    return v >= 9223372036854775808.0 ? INT64_MAX : v <= -9223372036854775808.0 ? INT64_MIN : v == v ? (int64_t)v : 0;
}
static inline int32_t vm_to_i32(double v) {
    return v >= 2147483647.0 ? INT32_MAX : v <= -2147483648.0 ? INT32_MIN : v == v ? (int32_t)v : 0;
}

#define VM_CONVERT(name, from, to, value)                                              \
    static void vm_##name(int64_t n, void *d, int64_t t, const void *src, int64_t s) { \
        const from *p = src;                                                           \
        to *q = d;                                                                     \
        for (int64_t i = 0; i < n; i++) {                                              \
            const from v = p[i * s];                                                   \
            q[i * t] = (to)(value);                                                    \
        }                                                                              \
    }
VM_CONVERT(strided32, uint32_t, uint32_t, v)
VM_CONVERT(strided64, uint64_t, uint64_t, v)
VM_CONVERT(strided8, uint8_t, uint8_t, v)

/* Equal types. The common stretches (side by side, and one number repeated) go at the speed of memory. */
static void vm_bits32(int64_t n, void *d, int64_t t, const void *src, int64_t s) {
    if (t == 1 && s == 1) {
        memcpy(d, src, (size_t)n * 4);
    } else if (t == 1 && s == 0) {
        float *q = d;
        float number;
        memcpy(&number, src, 4);
        const vf v = vf_set1(number);
        for (; n >= ND_W; n -= ND_W, q += ND_W) vf_store(q, v);
        if (n > 0) vf_store_part(q, v, (int)n);
    } else {
        vm_strided32(n, d, t, src, s);
    }
}
static void vm_bits64(int64_t n, void *d, int64_t t, const void *src, int64_t s) {
    if (t == 1 && s == 1) memcpy(d, src, (size_t)n * 8);
    else vm_strided64(n, d, t, src, s);
}
static void vm_bits8(int64_t n, void *d, int64_t t, const void *src, int64_t s) {
    if (t == 1 && s == 1) memcpy(d, src, (size_t)n);
    else vm_strided8(n, d, t, src, s);
}

VM_CONVERT(f32_f64, float, double, v)
VM_CONVERT(f32_i64, float, int64_t, vm_to_i64(v))
VM_CONVERT(f32_i32, float, int32_t, vm_to_i32(v))
VM_CONVERT(f32_truth, float, uint8_t, v != 0)
VM_CONVERT(f64_f32, double, float, v)
VM_CONVERT(f64_i64, double, int64_t, vm_to_i64(v))
VM_CONVERT(f64_i32, double, int32_t, vm_to_i32(v))
VM_CONVERT(f64_bool, double, uint8_t, v != 0)
VM_CONVERT(i64_f32, int64_t, float, v)
VM_CONVERT(i64_f64, int64_t, double, v)
VM_CONVERT(i64_i32, int64_t, int32_t, v)
VM_CONVERT(i64_bool, int64_t, uint8_t, v != 0)
VM_CONVERT(i32_f32, int32_t, float, v)
VM_CONVERT(i32_f64, int32_t, double, v)
VM_CONVERT(i32_i64, int32_t, int64_t, v)
VM_CONVERT(i32_bool, int32_t, uint8_t, v != 0)
VM_CONVERT(bytes_f32, uint8_t, float, v)
VM_CONVERT(bool_f64, uint8_t, double, v)
VM_CONVERT(bool_i64, uint8_t, int64_t, v)
VM_CONVERT(bool_i32, uint8_t, int32_t, v)

static void vm_f32_bool(int64_t n, void *d, int64_t t, const void *src, int64_t s) {
    uint8_t *q = d;
    const float *p = src;
    if (t == 1 && s == 1)
        for (; n >= ND_W; n -= ND_W, p += ND_W, q += ND_W) vf_store_truth(q, vf_load(p));
    vm_f32_truth(n, q, t, p, s);
}
static void vm_bool_f32(int64_t n, void *d, int64_t t, const void *src, int64_t s) {
    float *q = d;
    const uint8_t *p = src;
    if (t == 1 && s == 1)
        for (; n >= ND_W; n -= ND_W, p += ND_W, q += ND_W) vf_store(q, vf_load_bytes(p));
    vm_bytes_f32(n, q, t, p, s);
}

/* d[i, j] = s[i, j] for i < rows, j < cols, where d is contiguous along j (rows ld apart) and s along i (columns ls apart). */
static void vm_transpose(int64_t rows, int64_t cols, float *d, int64_t ld, const float *s, int64_t ls) {
    for (int64_t i = 0; i < rows; i += ND_W) {
        const int height = rows - i < ND_W ? (int)(rows - i) : ND_W;
        for (int64_t j = 0; j < cols; j += ND_W) {
            const int width = cols - j < ND_W ? (int)(cols - j) : ND_W;
            vf in[ND_W], out[ND_W];
            for (int k = 0; k < ND_W; k++) in[k] = k < width ? load_left(s + i + (j + k) * ls, height) : vf_set1(0.0f);
            vf_transpose(in, out);
            for (int k = 0; k < height; k++) store_left(d + (i + k) * ld + j, out[k], width);
        }
    }
}

/* by ND_* codes, [from][to] */
static const vm_convert vm_converts[ND_DTYPES][ND_DTYPES] = {
    {vm_bits32, vm_f32_f64, vm_f32_i64, vm_f32_i32, vm_f32_bool},
    {vm_f64_f32, vm_bits64, vm_f64_i64, vm_f64_i32, vm_f64_bool},
    {vm_i64_f32, vm_i64_f64, vm_bits64, vm_i64_i32, vm_i64_bool},
    {vm_i32_f32, vm_i32_f64, vm_i32_i64, vm_bits32, vm_i32_bool},
    {vm_bool_f32, vm_bool_f64, vm_bool_i64, vm_bool_i32, vm_bits8},
};
