/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011): one block of four
   words per lane. The 128-bit counter is (block, stream), each 64 bits, low word first; the key is 64 bits. */
#ifndef ND_PHILOX_H
#define ND_PHILOX_H

#define ND_PHILOX_ROUNDS 10

typedef struct {
    vi key0[ND_PHILOX_ROUNDS], key1[ND_PHILOX_ROUNDS];
    uint64_t stream;
} philox;

static inline philox philox_make(uint64_t key, uint64_t stream) {
    philox p;
    for (uint32_t r = 0; r < ND_PHILOX_ROUNDS; r++) {
        p.key0[r] = vi_set1((uint32_t)key + r * 0x9e3779b9u);
        p.key1[r] = vi_set1((uint32_t)(key >> 32) + r * 0xbb67ae85u);
    }
    p.stream = stream;
    return p;
}

/* The 4 * ND_W words of the ND_W blocks that start at `block`, in memory order. */
static inline void philox_words(const philox *p, uint64_t block, vi out[4]) {
    const vi low = vi_set1((uint32_t)block), high = vi_set1((uint32_t)(block >> 32));
    vi c0 = vi_add(low, vi_iota());
    vi c1 = vi_blend(vi_ltu(c0, low), vi_add(high, vi_set1(1)), high); /* the carry of the 64-bit block number */
    vi c2 = vi_set1((uint32_t)p->stream), c3 = vi_set1((uint32_t)(p->stream >> 32));
    for (int r = 0; r < ND_PHILOX_ROUNDS; r++) {
        vi hi0, lo0, hi1, lo1;
        vi_mulwide(c0, vi_set1(0xd2511f53u), &hi0, &lo0);
        vi_mulwide(c2, vi_set1(0xcd9e8d57u), &hi1, &lo1);
        c0 = vi_xor(vi_xor(hi1, c1), p->key0[r]);
        c1 = lo1;
        c2 = vi_xor(vi_xor(hi0, c3), p->key1[r]);
        c3 = lo0;
    }
    vi_interleave4(c0, c1, c2, c3, out);
}

#endif
