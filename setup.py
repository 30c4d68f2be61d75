"""Builds the optional extension ``ndiv.backends._native`` from ``csrc/``; everything else is in pyproject.toml.

Contract:

- One translation unit per instruction set, each with its own flags; cffi API mode and the limited API, so that one
  cp310-abi3 wheel serves every later Python. ``csrc/kernels.def`` is the only list of kernels.
- Without cffi or a working C compiler the install succeeds as pure Python and says so in one line.
- ``NDIV_WERROR=1`` turns on -Wall -Wextra -Werror for ``csrc/`` and makes every failure to build an error.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext

try:
    from distutils.ccompiler import new_compiler
    from distutils.sysconfig import customize_compiler
except ImportError:  # Python 3.12 and later: setuptools brings its own once it has been imported
    from setuptools._distutils.ccompiler import new_compiler
    from setuptools._distutils.sysconfig import customize_compiler

CSRC = "csrc"
STRICT = os.environ.get("NDIV_WERROR") == "1"
LIMITED_API = not sysconfig.get_config_var("Py_GIL_DISABLED")  # free-threaded Python has no limited API yet
CORE = [f"csrc/core/{name}.c" for name in ("cpu", "dispatch", "pool", "call", "plan", "plan_read", "plan_check",
                                           "plan_run")]
# -g0 keeps the wheel small.
COMMON_FLAGS = ["-O2", "-g0", "-fno-math-errno", "-ffp-contract=off", "-fvisibility=hidden", "-std=c11"]
# Taken out of the user's CFLAGS: they break the arithmetic here and, at the link, that of the whole process.
UNSAFE_FLAGS = {"-Ofast", "-ffast-math", "-funsafe-math-optimizations", "-fassociative-math", "-freciprocal-math",
                "-ffinite-math-only", "-fno-signed-zeros"}
STRICT_FLAGS = ["-Wall", "-Wextra", "-Werror"]
ISA_FLAGS = {
    "x86_64": {"avx2": ["-mavx2", "-mfma"],
               "avx512": ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mfma"]},
    "aarch64": {"neon": []},
}
# The branches for MSVC and macOS follow their manuals and have not been run.
MSVC_COMMON_FLAGS = ["/O2", "/fp:precise", "/std:c11"]
MSVC_STRICT_FLAGS = ["/W3", "/WX"]
MSVC_ISA_FLAGS = {"x86_64": {"avx2": ["/arch:AVX2"], "avx512": ["/arch:AVX512"]}}
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}

NO_COMPILER = ("ndiv: no C compiler worked, installing without the native kernels (NumPy does everything); "
               "see ndiv.info()")


def machine() -> str:
    """The processor to build for; macOS may ask for another one, or for two, by ARCHFLAGS."""
    asked = re.findall(r"-arch\s+(\S+)", os.environ.get("ARCHFLAGS", "")) if sys.platform == "darwin" else []
    if len(asked) > 1:
        return ""  # a universal build: only the scalar kernels suit both halves
    return MACHINES.get((asked[0] if asked else platform.machine()).lower(), "")


def declarations() -> str:
    """The cffi declarations: the ISA functions and what ``csrc/kernels.def`` lists."""
    text = Path(CSRC, "kernels.def").read_text(encoding="utf-8")
    kernels = re.findall(r"^ND_KERNEL\((\w+),\s*(\([^()]*\)),\s*\([^()]*\)\)$", text, re.MULTILINE)
    fixed = ["int32_t nd_isa_available(const char *);", "int32_t nd_isa_select(const char *);",
             "const char *nd_isa_current(void);", "int32_t nd_abi_version(void);",
             "int32_t nd_call_op(const char *, int32_t, int32_t, const int64_t *, void *const *, int32_t, const int64_t *);",
             "int nd_threads(void);", "int32_t nd_set_threads(int32_t);", "typedef struct nd_plan nd_plan;",
             "int32_t nd_plan_load(const uint8_t *, uint64_t, const void *const *, nd_plan **, int64_t *);",
             "const char *nd_plan_why(void);", "void nd_plan_free(nd_plan *);",
             "int32_t nd_plan_run(nd_plan *, void *const *, int64_t *);",
             "int32_t nd_plan_profile(nd_plan *, void *const *, int64_t *, int64_t *);",
             "int64_t nd_plan_bytes(const nd_plan *, int32_t);"]
    return "\n".join(fixed + [f"int32_t {name}{params};" for name, params in kernels])


def compiler_works() -> bool:
    """Whether the compiler of this Python can compile a file that includes Python.h."""
    compiler = new_compiler()
    customize_compiler(compiler)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <Python.h>\nint nd_probe(void) { return 0; }\n", encoding="utf-8")
        try:
            compiler.compile([str(source)], output_dir=folder, include_dirs=[sysconfig.get_path("include")])
        except Exception:  # whatever a compiler that is absent or broken raises: there is none
            return False
    return True


def has_cffi() -> bool:
    return importlib.util.find_spec("cffi") is not None


class NdivDistribution(Distribution):
    """Has an extension only where one can be built, so that the wheel is pure where it cannot."""

    _native: bool | None = None

    def has_ext_modules(self) -> bool:
        if {"egg_info", "dist_info", "sdist"} & set(self.commands):
            return True  # nothing is built, so nothing is tried
        if self._native is None:
            self._native = has_cffi() and (STRICT or compiler_works())
            if not self._native:
                self.ext_modules = []
                print(NO_COMPILER, flush=True)
        return self._native


class BuildNative(build_ext):
    """Compiles ``csrc/`` per instruction set, then lets setuptools build the generated cffi module over the objects."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if not self.distribution.has_ext_modules():
            self.extensions = []

    def build_extension(self, ext: Extension) -> None:
        try:
            self._build(ext)
        except Exception:
            if STRICT:
                raise
            print(NO_COMPILER, flush=True)

    def _build(self, ext: Extension) -> None:
        import cffi

        msvc = self.compiler.compiler_type == "msvc"
        for command in () if msvc else (self.compiler.compiler_so, self.compiler.linker_so):
            command[:] = [flag for flag in command if flag not in UNSAFE_FLAGS]
        common = (MSVC_COMMON_FLAGS if msvc else COMMON_FLAGS) + (
            (MSVC_STRICT_FLAGS if msvc else STRICT_FLAGS) if STRICT else [])
        macros, objects = [], self._compile("csrc/isa/scalar.c", common)
        for isa, flags in (MSVC_ISA_FLAGS if msvc else ISA_FLAGS).get(machine(), {}).items():
            try:
                objects += self._compile(f"csrc/isa/{isa}.c", common + flags)
            except Exception:  # an old compiler without this instruction set: the others still serve
                if STRICT:
                    raise
                continue
            macros.append((f"ND_HAVE_{isa.upper()}", "1"))
        for source in CORE:
            objects += self._compile(source, common, macros)

        ffi = cffi.FFI()
        ffi.cdef(declarations())
        ffi.set_source(ext.name, '#include "ndiv.h"')
        generated = Path(self.build_temp, "_native.c")
        generated.parent.mkdir(parents=True, exist_ok=True)
        ffi.emit_c_code(str(generated))
        ext.sources = [str(generated)]
        ext.extra_objects = objects
        ext.depends = objects  # link again when they are new
        super().build_extension(ext)

    def _compile(self, source: str, flags: list[str], macros: list[tuple[str, str]] | None = None) -> list[str]:
        return self.compiler.compile([source], output_dir=self.build_temp, macros=macros or [], extra_postargs=flags)


def extension() -> Extension:
    return Extension(
        "ndiv.backends._native",
        sources=["csrc/core/dispatch.c"],  # for the sdist; _build replaces it by the generated file
        include_dirs=["csrc/include"],
        define_macros=[("Py_LIMITED_API", "0x030A0000")] if LIMITED_API else [],
        extra_compile_args=[] if os.name == "nt" else ["-g0"],
        libraries=[] if os.name == "nt" else ["m", "pthread"],
        py_limited_api=LIMITED_API,
        optional=not STRICT,
    )


setup(
    distclass=NdivDistribution,
    ext_modules=[extension()],
    cmdclass={"build_ext": BuildNative},
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if LIMITED_API else {},
)
