/* What this processor and its operating system can run. */
#ifndef ND_CPU_H
#define ND_CPU_H

int nd_cpu_has_avx2(void);   /* AVX2 and FMA, with the 256-bit state enabled */
int nd_cpu_has_avx512(void); /* F, DQ, BW, VL, with the 512-bit state enabled */

#endif
