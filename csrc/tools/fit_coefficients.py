"""Derives every polynomial coefficient of ``csrc/kernels/math_coef.h`` and prints that file.

    python csrc/tools/fit_coefficients.py > csrc/kernels/math_coef.h

Needs mpmath and NumPy. Each fit is a weighted minimax fit (Remez exchange on a dense grid, in mpmath): the weight turns
the error of the polynomial into a relative error of the function. Coefficients are then rounded to float32 one at
a time, lowest power first, and the remaining ones are fitted again, so that rounding errors compensate each other.
The error that each header comment states is measured on the rounded coefficients, in units of 2^-24 (half an ULP at 1).

``--numpy`` prints instead the Chebyshev series of erfcx that ``ndiv/backends/kernels.py`` holds in float64.
"""

import sys

import mpmath as mp
import numpy as np

mp.mp.prec = 160
GRID = 1200


def remez(values, weights, xs, powers):
    """Coefficients of sum c_j x^powers[j] that minimise max |weight * (values - poly)| over the grid ``xs``."""
    count, size = len(powers), len(xs)
    picks = [round((1 - mp.cos(mp.pi * i / count)) / 2 * (size - 1)) for i in range(count + 1)]
    for _ in range(40):
        matrix, right = mp.matrix(count + 1), mp.matrix(count + 1, 1)
        for row, k in enumerate(picks):
            for col, power in enumerate(powers):
                matrix[row, col] = xs[k] ** power
            matrix[row, count] = (-1) ** row / weights[k]
            right[row] = values[k]
        solution = mp.lu_solve(matrix, right)
        coefs = [solution[j] for j in range(count)]
        error = [w * (v - horner(coefs, powers, x)) for v, w, x in zip(values, weights, xs, strict=True)]
        new = alternating(error, count + 1)
        if new is None or new == picks:
            break
        picks = new
    return coefs, max(abs(e) for e in error)


def horner(coefs, powers, x):
    return sum((c * x**p for c, p in zip(coefs, powers, strict=True)), mp.mpf(0))


def alternating(error, wanted):
    """Indices of the largest error of each run of one sign, reduced to ``wanted``; None when there are too few."""
    peaks = [0]
    for k in range(1, len(error)):
        if mp.sign(error[k]) == mp.sign(error[peaks[-1]]):
            if abs(error[k]) > abs(error[peaks[-1]]):
                peaks[-1] = k
        else:
            peaks.append(k)
    if len(peaks) < wanted:
        return None
    while len(peaks) > wanted:
        peaks.pop(0 if abs(error[peaks[0]]) < abs(error[peaks[-1]]) else -1)
    return peaks


def fit_f32(function, weight, low, high, degree):
    """Float32 coefficients, lowest power first, and the weighted error that they leave."""
    xs = [low + (high - low) * (1 - mp.cos(mp.pi * i / (GRID - 1))) / 2 for i in range(GRID)]
    xs = [x for x in xs if abs(x) > mp.mpf(10) ** -6]
    values, weights = [function(x) for x in xs], [weight(x) for x in xs]
    fixed, rest = [], values
    for power in range(degree + 1):
        coefs, _ = remez(rest, weights, xs, list(range(power, degree + 1)))
        fixed.append(mp.mpf(float(np.float32(float(coefs[0])))))
        rest = [r - fixed[-1] * x**power for r, x in zip(rest, xs, strict=True)]
    return [float(c) for c in fixed], max(abs(r * w) for r, w in zip(rest, weights, strict=True))


def fit_f32_around(function, low, high, degree):
    """As `fit_f32` with the weight 1 / function, for intervals around 0, where powers without the first do not alternate:
    least squares reweighted by the error until it is level (Lawson 1961)."""
    xs = [low + (high - low) * (1 - mp.cos(mp.pi * i / 599)) / 2 for i in range(600)]
    x = np.array([float(v) for v in xs])
    weight = np.array([float(1 / function(v)) for v in xs])
    rest, fixed = np.ones(len(x)), []
    for power in range(degree + 1):
        terms = weight[:, None] * x[:, None] ** np.arange(power, degree + 1)
        share, least, first = np.full(len(x), 1 / len(x)), np.inf, 0.0
        for _ in range(60):
            root = np.sqrt(share)
            coefs = np.linalg.lstsq(terms * root[:, None], rest * root, rcond=None)[0]
            error = np.abs(rest - terms @ coefs)
            if error.max() < least:
                least, first = error.max(), coefs[0]
            share = share * error / (share * error).sum() + 1e-12
        fixed.append(float(np.float32(first)))
        rest = rest - weight * fixed[-1] * x**power
    return fixed, np.abs(rest).max()


def fit_f64(function, weight, low, high, degree):
    """As `fit_f32`, for float64 coefficients, which are rounded all at once."""
    xs = [low + (high - low) * (1 - mp.cos(mp.pi * i / (GRID - 1))) / 2 for i in range(GRID)]
    values, weights = [function(x) for x in xs], [weight(x) for x in xs]
    coefs = [float(c) for c in remez(values, weights, xs, list(range(degree + 1)))[0]]
    left = [w * (v - horner(coefs, range(degree + 1), x)) for v, w, x in zip(values, weights, xs, strict=True)]
    return coefs, max(abs(e) for e in left)


def emit_f64(name, comment, coefs, error):
    print(f"/* {comment}\n   Error 2^{float(mp.log(error, 2)):.1f}. */")
    print(f"#define {name}_N {len(coefs)}")
    print(f"static const double {name}[{name}_N] = {{")
    for c in coefs:
        print(f"    {float.hex(c)}, /* {c:.17g} */")
    print("};\n")


def emit(name, comment, coefs, error):
    print(f"/* {comment}\n   Relative error {float(error * 2**24):.3f} * 2^-24. */")
    print(f"#define {name}_N {len(coefs)}")
    print(f"static const float {name}[{name}_N] = {{")
    for c in coefs:
        print(f"    {float.hex(c)}f, /* {c:.9g} */")
    print("};\n")


def erfcx(z):
    return mp.exp(z * z) * mp.erfc(z)


def header():
    half = mp.log(2) / 2 * mp.mpf("1.0002")
    root = mp.sqrt(mp.mpf("0.5"))
    print("/* Generated by csrc/tools/fit_coefficients.py; do not edit. Lowest power first. */")
    print("#ifndef ND_MATH_COEF_H\n#define ND_MATH_COEF_H\n")
    print("/* ln(2) = hi + lo; hi has 15 bits, so that n hi is exact for the n of exp. */")
    high = mp.mpf(float.fromhex("0x1.62e4p-1"))
    pi, lam = mp.pi, mp.mpf("1.0507009873554804934193349852946")
    alpha, cubic = mp.mpf("1.6732632423543772848170429916717"), mp.mpf("0.044715")
    gelu = 2 * mp.sqrt(2 / pi)
    for name, value in (
        ("ln2_hi", high), ("ln2_lo", mp.log(2) - high), ("log2_e", 1 / mp.log(2)), ("sqrt_half", root),
        ("inv_sqrt_2pi", 1 / mp.sqrt(2 * pi)), ("gelu_a", gelu), ("gelu_b", gelu * cubic),
        ("gelu_3b", 3 * gelu * cubic), ("selu_lambda", lam), ("selu_lambda_alpha", lam * alpha),
    ):
        print(f"#define nd_{name} {float.hex(float(np.float32(float(value))))}f")
    print()
    emit("nd_exp_q", "q of e^r - 1 = r + r^2 q(r), |r| <= ln(2)/2.",
         *fit_f32(lambda r: (mp.expm1(r) - r) / r**2, lambda r: r**2 / abs(mp.expm1(r)), -half, half, 5))
    emit("nd_exp2_q", "q of 2^r = 1 + r q(r), |r| <= 1/2.",
         *fit_f32(lambda r: (2**r - 1) / r, lambda r: r / 2**r, -mp.mpf("0.5001"), mp.mpf("0.5001"), 5))
    emit("nd_log_q", "q of log(1 + t) = t + t^2 q(t), 1 + t in [sqrt(1/2), sqrt(2)].",
         *fit_f32(lambda t: (mp.log1p(t) - t) / t**2, lambda t: t**2 / abs(mp.log1p(t)), root - 1, 2 * root - 1, 9))
    emit("nd_erf_p", "p of erf(x) = x + x p(x^2), |x| <= 1.",
         *fit_f32(lambda s: mp.erf(mp.sqrt(s)) / mp.sqrt(s) - 1, lambda s: mp.sqrt(s) / mp.erf(mp.sqrt(s)),
                  mp.mpf(0), mp.mpf("1.001"), 6))
    emit("nd_erfcx_p", "p of e^(z^2) erfc(z) = p(y) / (z + 2), y = (z - 2) / (z + 2), 0 <= z <= 11.",
         *fit_f32(lambda y: erfcx(2 * (1 + y) / (1 - y)) * 4 / (1 - y),
                  lambda y: 1 / (erfcx(2 * (1 + y) / (1 - y)) * 4 / (1 - y)), mp.mpf(-1), mp.mpf(9) / 13, 10))
    tails()
    trigonometric()
    doubles()
    print("#endif")


def tails():
    """What erfc and gelu need away from 0. The 75/32 makes the first coefficient of nd_gelu_t all but exact."""
    def at(y, c):
        return c * (1 + y) / (1 - y)

    def ends(low, high, c):
        return (low - c) / (low + c), (high - c) / (high + c)

    half, c = mp.mpf("0.5"), mp.mpf("1.5")
    emit("nd_erfc_p", "p of e^(z^2) erfc(z) = p(y) / (z + 1.5), y = (z - 1.5) / (z + 1.5), 1/2 <= z <= 10.5.",
         *fit_f32_around(lambda y: erfcx(at(y, c)) * (at(y, c) + c), *ends(half, mp.mpf("10.5"), c), 9))
    emit("nd_gelu_q", "q of Phi(x) = 1/2 + x q(x^2), |x| <= 5/8.",
         *fit_f32(lambda s: mp.erf(mp.sqrt(s / 2)) / mp.sqrt(s) / 2, lambda s: 2 * mp.sqrt(s) / mp.erf(mp.sqrt(s / 2)),
                  mp.mpf(0), mp.mpf("0.3908"), 4))
    d = mp.mpf(75) / 32
    emit("nd_gelu_t", "t of a e^(a^2/2) Phi(-a) = t(y), y = (a - 75/32) / (a + 75/32), 5/8 <= a <= 14.5.",
         *fit_f32_around(lambda y: at(y, d) * erfcx(at(y, d) / mp.sqrt(2)) / 2, *ends(mp.mpf("0.625"), mp.mpf("14.5"), d), 10))
    print(f"#define nd_d_gelu_a {float.hex(float(2 * mp.sqrt(2 / mp.pi)))}")
    print(f"#define nd_d_gelu_b {float.hex(float(2 * mp.sqrt(2 / mp.pi) * mp.mpf('0.044715')))}\n")


def trigonometric():
    """Sine and cosine on |r| <= pi/4, pi/2 in three floats, and the bits of 2/pi for arguments of any size."""
    rest = mp.pi / 2
    for k in (1, 2, 3):
        part = float(np.float32(float(rest)))
        print(f"#define nd_half_pi_{k} {float.hex(part)}f")
        rest -= mp.mpf(part)
    print(f"#define nd_two_over_pi {float.hex(float(np.float32(float(2 / mp.pi))))}f\n")
    quarter = mp.pi / 4 * mp.mpf("1.001")
    emit("nd_sin_q", "q of sin(r) = r + r^3 q(r^2), |r| <= pi/4.",
         *fit_f32(lambda s: (mp.sin(mp.sqrt(s)) / mp.sqrt(s) - 1) / s, lambda s: s * mp.sqrt(s) / mp.sin(mp.sqrt(s)),
                  mp.mpf(0), quarter**2, 3))
    emit("nd_cos_q", "q of cos(r) = 1 - r^2/2 + r^4 q(r^2), |r| <= pi/4.",
         *fit_f32(lambda s: (mp.cos(mp.sqrt(s)) - 1 + s / 2) / s**2, lambda s: s**2 / mp.cos(mp.sqrt(s)),
                  mp.mpf(0), quarter**2, 3))
    with mp.workprec(400):
        bits = int(mp.floor(mp.ldexp(2 / mp.pi, 256 - 1)))
    words = [bits >> (32 * k) & 0xFFFFFFFF for k in range(8, -1, -1)]  # the first is 0
    print("/* The bits of 2/pi from 2^32 down, 32 a word. */")
    print(f"static const uint32_t nd_two_over_pi_bits[{len(words)}] = {{")
    for k in (0, 3, 6):
        print("    " + ", ".join(f"0x{w:08x}u" for w in words[k:k + 3]) + ",")
    print("};\n")


def doubles():
    """What pow, lgamma and digamma compute in double."""
    half, root = mp.log(2) / 2 * mp.mpf("1.0002"), mp.sqrt(mp.mpf("0.5"))
    log_2pi, zero = mp.log(2 * mp.pi) / 2, mp.findroot(mp.digamma, 1.4616)
    for name, value in (("ln2", mp.log(2)), ("half_log_2pi", log_2pi), ("log_pi", mp.log(mp.pi)), ("pi", mp.pi),
                        ("digamma_zero", zero)):
        print(f"#define nd_d_{name} {float.hex(float(value))}")
    print(f"#define nd_d_digamma_zero_lo {float.hex(float(zero - mp.mpf(float(zero))))}\n")
    emit_f64("nd_dlog_p", "p of log(1 + t) = t p(t), 1 + t in [sqrt(1/2), sqrt(2)].",
             *fit_f64(lambda t: mp.log1p(t) / t if t else mp.mpf(1), lambda t: t / mp.log1p(t) if t else mp.mpf(1),
                      root - 1, 2 * root - 1, 15))
    emit_f64("nd_dexp_p", "p(r) = e^r, |r| <= ln(2)/2.", *fit_f64(mp.exp, lambda r: mp.exp(-r), -half, half, 7))
    emit_f64("nd_dsin_p", "p of sin(pi r) = r p(r^2), |r| <= 1/2.",
             *fit_f64(lambda s: mp.sin(mp.pi * mp.sqrt(s)) / mp.sqrt(s) if s else mp.pi,
                      lambda s: mp.sqrt(s) / mp.sin(mp.pi * mp.sqrt(s)) if s else 1 / mp.pi, mp.mpf(0), mp.mpf("0.25"), 6))
    emit_f64("nd_dcos_p", "p of cos(pi r) = p(r^2), |r| <= 1/2; the error is absolute.",
             *fit_f64(lambda s: mp.cos(mp.pi * mp.sqrt(s)), lambda s: mp.mpf(1), mp.mpf(0), mp.mpf("0.25"), 6))

    bernoulli = [mp.bernoulli(2 * j) for j in range(1, 6)]
    first_left = abs(mp.bernoulli(12)) / 12 / mp.mpf(8) ** 12
    emit_f64("nd_stirling", "B(2j) / (2j (2j - 1)); the error is that at 8, absolute.",
             [float(b / (2 * j * (2 * j - 1))) for j, b in enumerate(bernoulli, 1)], first_left * 8 / 11)
    emit_f64("nd_digamma_series", "-B(2j) / (2j); the error is that at 8, absolute.",
             [float(-b / (2 * j)) for j, b in enumerate(bernoulli, 1)], first_left)

    def both(v):  # lgamma(v) / ((v - 1) (v - 2)), by its limits at the zeros
        if abs(v - 1) < mp.mpf(10) ** -20:
            return mp.euler
        if abs(v - 2) < mp.mpf(10) ** -20:
            return 1 - mp.euler
        return mp.loggamma(v) / ((v - 1) * (v - 2))

    def slope(v):
        return mp.digamma(v) / (v - zero) if abs(v - zero) > mp.mpf(10) ** -20 else mp.polygamma(1, zero)

    emit_f64("nd_lgamma_a", "p of lgamma(v) = (v - 1) (v - 2) p(v - 2), 1 <= v <= 3.",
             *fit_f64(lambda u: both(u + 2), lambda u: 1 / both(u + 2), mp.mpf(-1), mp.mpf(1), 15))
    emit_f64("nd_lgamma_b", "p of lgamma(v) = p(v - 5.5), 3 <= v <= 8.",
             *fit_f64(lambda u: mp.loggamma(u + mp.mpf("5.5")), lambda u: 1 / mp.loggamma(u + mp.mpf("5.5")), mp.mpf("-2.5"),
                      mp.mpf("2.5"), 13))
    emit_f64("nd_digamma_a", "p of digamma(v) = (v - zero) p(v - 2), 1 <= v <= 3.",
             *fit_f64(lambda u: slope(u + 2), lambda u: 1 / slope(u + 2), mp.mpf(-1), mp.mpf(1), 17))
    emit_f64("nd_digamma_b", "p of digamma(v) = p(v - 5.5), 3 <= v <= 8.",
             *fit_f64(lambda u: mp.digamma(u + mp.mpf("5.5")), lambda u: 1 / mp.digamma(u + mp.mpf("5.5")), mp.mpf("-2.5"),
                      mp.mpf("2.5"), 13))


def numpy_series(count=30):
    """Chebyshev series in y of p(y) = (z + 2) e^(z^2) erfc(z), y = (z - 2) / (z + 2) in [-1, 1]."""
    def p(y):
        if y > 1 - mp.mpf(10) ** -12:
            return 1 / mp.sqrt(mp.pi)
        z = 2 * (1 + y) / (1 - y)
        ratio = erfcx(z) if z < 1000 else 1 / (z * mp.sqrt(mp.pi)) * (1 - 1 / (2 * z * z) + 3 / (4 * z**4))
        return (z + 2) * ratio
    nodes = 256
    values = [p(mp.cos(mp.pi * (k + mp.mpf("0.5")) / nodes)) for k in range(nodes)]
    for j in range(count):
        c = 2 * sum(v * mp.cos(mp.pi * j * (k + mp.mpf("0.5")) / nodes) for k, v in enumerate(values)) / nodes
        print(f"    {float(c / 2 if j == 0 else c)!r},")


if __name__ == "__main__":
    numpy_series() if "--numpy" in sys.argv else header()
