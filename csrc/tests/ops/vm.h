/* Hashes of the family vm. */
static void hash_ops_vm(void) {}
