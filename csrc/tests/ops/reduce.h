/* Hashes of the family reduce. */
static void hash_ops_reduce(void) {}
