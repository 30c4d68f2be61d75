/* Hashes of the family norm. */
static void hash_ops_norm(void) {}
