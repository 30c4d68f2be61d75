/* Hashes of the family optim. */
static void hash_ops_optim(void) {}
