/* All kernels for the instruction set "avx2"; setup.py gives this file its own compiler flags. */
#define ND_ISA avx2
#include "../simd/simd_avx2.h"
#include "../kernels/all.h"
