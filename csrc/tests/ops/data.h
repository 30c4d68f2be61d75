/* Hashes of the family data. */
static void hash_ops_data(void) {}
