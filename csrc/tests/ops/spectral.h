/* Hashes of the family spectral. */
static void hash_ops_spectral(void) {}
