/* Hashes of the family conv. */
static void hash_ops_conv(void) {}
