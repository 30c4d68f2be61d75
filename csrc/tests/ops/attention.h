/* Hashes of the family attention. */
static void hash_ops_attention(void) {}
