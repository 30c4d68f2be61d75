/* Hashes of the family gemm. */
static void hash_ops_gemm(void) {}
