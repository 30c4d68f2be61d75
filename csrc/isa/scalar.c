/* All kernels for the instruction set "scalar"; setup.py gives this file its own compiler flags. */
#define ND_ISA scalar
#include "../simd/simd_scalar.h"
#include "../kernels/all.h"
