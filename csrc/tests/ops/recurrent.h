/* Hashes of the family recurrent. */
static void hash_ops_recurrent(void) {}
