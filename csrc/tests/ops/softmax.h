/* Hashes of the family softmax. */
static void hash_ops_softmax(void) {}
