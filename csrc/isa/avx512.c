/* All kernels for the instruction set "avx512"; setup.py gives this file its own compiler flags. */
#define ND_ISA avx512
#include "../simd/simd_avx512.h"
#include "../kernels/all.h"
