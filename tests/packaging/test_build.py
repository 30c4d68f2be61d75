"""The build's tables agree: kernels.def, ndiv.h, the instruction sets and the Python side. Nothing is compiled here."""

import re
from pathlib import Path

import pytest

from ndiv.backends import kernels, native
from ndiv.errors import DeviceError

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
DEF = (CSRC / "kernels.def").read_text(encoding="utf-8")
HEADER = (CSRC / "include" / "ndiv.h").read_text(encoding="utf-8")
DECLARED = [(name, " ".join(params.split()), " ".join(args.split())) for name, params, args in re.findall(
    r"^ND_KERNEL\((\w+),\s*\(([^()]*)\),\s*\(([^()]*)\)\)$", DEF, re.MULTILINE)]


def test_kernels_def_is_read_whole():
    assert len(DECLARED) == DEF.count("ND_KERNEL(nd_") == len({name for name, _, _ in DECLARED})


@pytest.mark.parametrize("name, params, args", DECLARED, ids=[d[0] for d in DECLARED])
def test_argument_names_follow_the_parameters(name, params, args):
    assert [re.findall(r"\w+", p)[-1] for p in params.split(",")] == args.split(", ")


@pytest.mark.parametrize("name", [d[0] for d in DECLARED])
def test_each_kernel_has_code_a_contract_and_a_reference(name):
    source = "".join(p.read_text(encoding="utf-8") for p in sorted((CSRC / "kernels").glob("*.h")))
    assert f"static int32_t k_{name}(" in source
    assert re.search(rf"^(?:/\*| \*) {name}\b", source, re.MULTILINE), "no contract comment"
    python = name.removeprefix("nd_").removesuffix("_f32")
    assert callable(getattr(kernels, python)) and callable(getattr(native, python))


@pytest.mark.parametrize("prefix, table", [("ND_ACT_", kernels.ACTS), ("ND_FN_", kernels.UNARY)])
def test_codes(prefix, table):
    found = re.findall(rf"^#define {prefix}(\w+) (\d+)", HEADER, re.MULTILINE)
    codes = {name.lower(): int(value) for name, value in found}
    assert codes.pop("count") == len(table)
    assert codes == table


def test_activation_lists():
    assert kernels.ACTS.keys() == kernels.ACT_SAVES.keys()
    text = (CSRC / "kernels" / "act.h").read_text(encoding="utf-8")
    assert re.findall(r"X\((\w+)\)", text.split("#define ND_ACTS")[1]) == list(kernels.ACTS)


def test_instruction_sets():
    assert {p.stem for p in (CSRC / "isa").glob("*.c")} == set(native.ISAS)
    assert {p.stem for p in (CSRC / "simd").glob("simd_*.h")} == {f"simd_{isa}" for isa in native.ISAS}


def test_simd_headers_offer_the_same_operations():
    def operations(isa):
        text = (CSRC / "simd" / f"simd_{isa}.h").read_text(encoding="utf-8")
        found = set(re.findall(r"^static inline \w+ (v[fid]_\w+)\(", text, re.MULTILINE))
        made = re.findall(r"\bND_VD_BINARY\((?!name)(\w+)", text)  # the doubles of a vector are two registers there
        return found | {f"vd_{name}" for name in made}

    for isa in native.ISAS:
        assert operations(isa) == operations("scalar")


def test_abi_version():
    assert int(re.search(r"#define ND_ABI_VERSION (\d+)", HEADER).group(1)) == native.ABI_VERSION


def test_both_backends_offer_the_same_names():
    extra = {"available", "isa", "isas", "select", "why_not"}
    assert set(native.__all__) - extra == set(kernels.__all__)


def test_a_missing_extension_is_explained():
    assert (native.why_not() is None) == native.available() == bool(native.isas())
    if not native.available():
        with pytest.raises(DeviceError, match="native kernels are not available"):
            native.philox_u32(0, 0, 0, 1)


def test_installed_extension_has_every_kernel():
    if native.available():
        from ndiv.backends import _native

        assert {name for name, _, _ in DECLARED} <= set(dir(_native.lib))
