/* Hashes of the family pool. */
static void hash_ops_pool(void) {}
