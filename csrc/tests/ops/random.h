/* Hashes of the family random. */
static void hash_ops_random(void) {}
