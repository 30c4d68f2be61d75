/* attention(query [*, Lq, d], key [*, Lk, d], value [*, Lk, dv], mask [*, Lq, Lk] or absent, rng or absent)
 *     -> out [*lead, Lq, dv], lse [*lead, Lq, 1] or absent;  attributes is_causal, scale, dropout_p, stream
 *
 *     s = scale q k' + mask (a boolean mask: -inf where false; is_causal: -inf where the key comes after the query),
 *     out = drop(softmax(s)) v,  lse = log(sum(exp(s)));  both 0 for a query that sees no key.
 *
 * Leading axes and the mask broadcast to those of out. Inputs take any strides; best are rows of unit stride and a
 * width that is a multiple of 16, which are read in place. Outputs are dense. `drop` is the dropout of [*lead, Lq, Lk]
 * as one array under the key rng[0] and the stream rng[1] + stream (rng: int64 [2]). Memory beyond inputs and outputs
 * is bounded per thread whatever Lq and Lk are.
 *
 * Order of operations: a score is one chain of fma over the features of q and of k scaled by (float)(scale / ln 2);
 * the softmax is in powers of 2, rescaled after every 512 keys, its sums on 16 lanes; out is the sum of chains of fma
 * over 128 keys, rescaled likewise, times 1 / sum. Keys that a query cannot see by causality may be left out, so an
 * inf or NaN in their values may or may not show. Neither threads nor the instruction set show in the bits.
 *
 * attention_bwd(g [*lead, Lq, dv], query, key, value, mask, lse [*lead, Lq, 1], delta [*lead, Lq, 1], rng)
 *     -> gquery [*lead, Lq, d], gkey [*lead, Lk, d], gvalue [*lead, Lk, dv];  the same attributes
 *
 *     p = exp(s - lse),  ds = p (drop(g v') - delta) scale,  gquery = ds k,  gkey = ds' q,  gvalue = drop(p)' g.
 *
 * The scores are those of forward, to the bit. gkey and gvalue are sums of chains over 48 queries, gquery of chains
 * over 192 keys: of all of them in order where there are at least 16 heads, else of up to 8 equal ranges of keys,
 * whose sums are added in order. Memory: bounded per thread, and one gquery for each further range.
 */
#define ND_ATT_SMALL 500000.0 /* multiplications below which threads do not pay */

#include "attention_mm.h"
#include "attention_args.h"
#include "attention_fwd.h"
#include "attention_bwd.h"

#define ND_OPS_ATTENTION(X) X(attention, 0, 0) X(attention_bwd, 0, 0)
