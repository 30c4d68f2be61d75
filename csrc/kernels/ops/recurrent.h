/* Recurrent layers over whole sequences, forward and backward, float32.
 *
 *   rnn   (x, h0, w_ih, w_hh, b_ih, b_hh, lengths) -> (y, h)                      attrs: nonlinearity (0 tanh, 1 relu), reverse
 *   gru   (x, h0, w_ih, w_hh, b_ih, b_hh, lengths) -> (y, h, kept)                attrs: reverse
 *   lstm  (x, h0, c0, w_ih, w_hh, b_ih, b_hh, lengths) -> (y, h, c, kept, cells)  attrs: reverse
 *   rnn_bwd   (gy, gh, <inputs>, y) -> gradients of x, h0, w_ih, w_hh, b_ih, b_hh
 *   gru_bwd   (gy, gh, <inputs>, y, kept) -> the same
 *   lstm_bwd  (gy, gh, gc, <inputs>, y, kept, cells) -> gradients of x, h0, c0, w_ih, w_hh, b_ih, b_hh
 *
 * x is [T, B, I], the state [B, H], w_ih [g H, I], w_hh [g H, H], biases [g H] with g = 1, 3 (r z n) and 4 (i f g o); y,
 * h and c of each step (cells) are [T, B, H]; kept is [T, B, 4 H]: r z n hn, or i f g o. T is at least 1. With
 * z = w_ih x + b_ih + w_hh h + b_hh,
 *     rnn    h' = act(z)
 *     gru    r, z = sigmoid of their rows, n = tanh(xn + r hn), h' = n + z (h - n)
 *     lstm   i, f, o = sigmoid and g = tanh of their rows, c' = f c + i g, h' = o tanh(c')
 * in the order of time, or against it where `reverse` is 1. lengths [B] (int64 or int32) says how many steps of each
 * sequence count: in the others x is taken as 0, y is 0 and the state stays. Any number is safe there.
 *
 * Biases and lengths may be absent (0; all steps). Any output but y may be absent: it is not made. Inputs have any
 * strides, but for y, kept and cells of the backward, which are dense. The backward does not read the biases.
 *
 * Every product is a chain of fma over its k in order, begun at the bias (forward), at what else goes to the state before
 * (backward) or at 0 (gradients of the weights: over the steps from the last that ran to the first, and in each over the
 * batch). So bits depend neither on threads nor on the instruction set. Sequences are cut into groups, each going through
 * all of time on its own; the gradients of the weights are cut by columns. */
#include "recurrent_tile.h"
#include "recurrent_layer.h"
#include "recurrent_forward.h"
#include "recurrent_backward.h"

#define REC_OPERATIONS(name, cell) \
    static int32_t op_##name##_prepare(nd_call *c) { return rec_forward_prepare(c, cell); } \
    static int32_t rec_##name##_pack(const nd_call *c, void *const *data, void *persist) { \
        return rec_forward_pack(c, cell, data, persist); \
    } \
    static int32_t op_##name##_run(const nd_call *c, void *const *data, void *scratch, const void *persist) { \
        return rec_forward_run(c, cell, data, scratch, persist); \
    } \
    static int32_t op_##name##_bwd_prepare(nd_call *c) { return rec_backward_prepare(c, cell); } \
    static int32_t op_##name##_bwd_run(const nd_call *c, void *const *data, void *scratch, const void *persist) { \
        (void)persist; \
        return rec_backward_run(c, cell, data, scratch); \
    }
REC_OPERATIONS(rnn, REC_TANH)
REC_OPERATIONS(gru, REC_GRU)
REC_OPERATIONS(lstm, REC_LSTM)
#undef REC_OPERATIONS

#define ND_OPS_RECURRENT(X) \
    X(rnn, 0, rec_rnn_pack) X(gru, 0, rec_gru_pack) X(lstm, 0, rec_lstm_pack) \
    X(rnn_bwd, 0, 0) X(gru_bwd, 0, 0) X(lstm_bwd, 0, 0)
