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
/* float to float is a move of bits, which keeps signalling NaNs whatever the compiler does with floats */
VM_CONVERT(bits32, uint32_t, uint32_t, v)
VM_CONVERT(bits64, uint64_t, uint64_t, v)
VM_CONVERT(bits8, uint8_t, uint8_t, v)
VM_CONVERT(f32_f64, float, double, v)
VM_CONVERT(f32_i64, float, int64_t, vm_to_i64(v))
VM_CONVERT(f32_i32, float, int32_t, vm_to_i32(v))
VM_CONVERT(f32_bool, float, uint8_t, v != 0)
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
VM_CONVERT(bool_f32, uint8_t, float, v)
VM_CONVERT(bool_f64, uint8_t, double, v)
VM_CONVERT(bool_i64, uint8_t, int64_t, v)
VM_CONVERT(bool_i32, uint8_t, int32_t, v)

/* by ND_* codes, [from][to] */
static const vm_convert vm_converts[ND_DTYPES][ND_DTYPES] = {
    {vm_bits32, vm_f32_f64, vm_f32_i64, vm_f32_i32, vm_f32_bool},
    {vm_f64_f32, vm_bits64, vm_f64_i64, vm_f64_i32, vm_f64_bool},
    {vm_i64_f32, vm_i64_f64, vm_bits64, vm_i64_i32, vm_i64_bool},
    {vm_i32_f32, vm_i32_f64, vm_i32_i64, vm_bits32, vm_i32_bool},
    {vm_bool_f32, vm_bool_f64, vm_bool_i64, vm_bool_i32, vm_bits8},
};
