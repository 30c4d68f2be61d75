/* All kernels for the instruction set "neon"; setup.py gives this file its own compiler flags. */
#define ND_ISA neon
#include "../simd/simd_neon.h"
#include "../kernels/all.h"
