/* Computes the layers of a network from its tables, in plain C99: slow, small, and equal to the integer reference.
   Include it behind the network's header. Elements are int32_t, [height][width][channel]. */
#ifndef BITLOOM_RUN_H
#define BITLOOM_RUN_H

#include <stddef.h>
#include <stdint.h>

/* floor(value / 2^shift); the right shift of a negative number is up to the compiler, this is not. */
static inline int64_t bitloom_floor_shift(int64_t value, int32_t shift)
{
    return value >= 0 ? value >> shift : ~(~value >> shift);
}

/* floor(value / 2^shift + 1/2), no rounding at 0. */
static inline int64_t bitloom_round_up(int64_t value, int32_t shift)
{
    return shift > 0 ? bitloom_floor_shift(value + ((int64_t)1 << (shift - 1)), shift) : value;
}

/* value / 2^shift to the nearest integer, ties away from zero. */
static inline int64_t bitloom_round_away(int64_t value, int32_t shift)
{
    return value >= 0 ? bitloom_round_up(value, shift) : -bitloom_round_up(-value, shift);
}

/* Weight of input channel `channel` in row `row`: (oc * kernel_height + ky) * kernel_width + kx, dense: oc. */
static inline int32_t bitloom_weight(const bitloom_layer *layer, size_t row, int32_t channel)
{
    const size_t start = row * (size_t)layer->row_bytes;
    const uint8_t *bytes = (const uint8_t *)layer->weight + start;
    const int32_t bits = layer->weight_bits, low = (int32_t)((uint32_t)channel * (uint32_t)bits % 8);
    const size_t first = (size_t)channel * (size_t)bits / 8;
    uint32_t code;
    if (bits == 8)
        return ((const int8_t *)layer->weight)[start + first];
    code = bytes[first];
    if (low + bits > 8)
        code |= (uint32_t)bytes[first + 1] << 8;
    code = (code >> low) & ((1u << bits) - 1);
    if (bits == 1)
        return code ? 1 : -1;
    return (int32_t)code - (code >> (bits - 1) ? (int32_t)1 << bits : 0);
}

/* The stored element of output channel `channel` for its accumulator. */
static inline int32_t bitloom_requantize(const bitloom_layer *layer, int32_t channel, int64_t acc)
{
    int64_t y;
    int32_t shift;
    if (layer->rule == BITLOOM_RAW)
        return (int32_t)acc;
    if (layer->rule == BITLOOM_THRESHOLD)
        return (acc >= layer->threshold[channel]) != layer->invert[channel] ? 1 : -1;
    shift = layer->shift[channel];
    if (layer->rule == BITLOOM_HALF_UP) {
        y = bitloom_round_up(acc * layer->multiplier[channel], shift);
    } else if (layer->rule == BITLOOM_HALF_AWAY) {
        y = bitloom_round_away(acc * layer->multiplier[channel], shift);
    } else {
        const int64_t x = shift > 0 ? acc * ((int64_t)1 << shift) : acc;
        y = bitloom_floor_shift(x * layer->multiplier[channel] + ((int64_t)1 << 30), 31);
        y = bitloom_round_away(y, shift < 0 ? -shift : 0);
    }
    y += layer->output.zero_point;
    return (int32_t)(y < layer->qmin ? layer->qmin : y > layer->qmax ? layer->qmax : y);
}

/* One output element: the window at (row, column) of the output, output channel `channel`. */
static inline int32_t bitloom_element(const bitloom_layer *layer, const int32_t *in, int32_t row, int32_t column,
                                      int32_t channel)
{
    const bitloom_tensor *source = &layer->input;
    const int32_t pad = source->bits == 1 ? -1 : source->zero_point;
    int64_t acc = layer->op == BITLOOM_MAXPOOL ? layer->qmin : layer->bias[channel];
    int32_t ky, kx, c;
    for (ky = 0; ky < layer->kernel_height; ky++) {
        const int32_t y = row * layer->stride_y - layer->pad_top + ky;
        for (kx = 0; kx < layer->kernel_width; kx++) {
            const int32_t x = column * layer->stride_x - layer->pad_left + kx;
            const int inside = y >= 0 && y < source->height && x >= 0 && x < source->width;
            const int32_t *pixel = inside ? in + ((size_t)y * (size_t)source->width + (size_t)x)
                                                     * (size_t)source->channels : NULL;
            if (layer->op == BITLOOM_MAXPOOL) {
                if (inside && pixel[channel] > acc)
                    acc = pixel[channel];
                continue;
            }
            for (c = 0; c < source->channels; c++) {
                const int32_t position = ky * layer->kernel_width + kx;
                const int32_t weight = layer->op == BITLOOM_DENSE
                    ? bitloom_weight(layer, (size_t)channel, position * source->channels + c)
                    : bitloom_weight(layer, (size_t)channel * (size_t)layer->kernel_height
                                            * (size_t)layer->kernel_width + (size_t)position, c);
                acc += (int64_t)((inside ? pixel[c] : pad) - source->zero_point) * weight;
            }
        }
    }
    return layer->op == BITLOOM_MAXPOOL ? (int32_t)acc : bitloom_requantize(layer, channel, acc);
}

/* A whole layer: in holds layer->input, out takes layer->output. */
static inline void bitloom_layer_run(const bitloom_layer *layer, const int32_t *in, int32_t *out)
{
    int32_t row, column, channel;
    for (row = 0; row < layer->output.height; row++)
        for (column = 0; column < layer->output.width; column++)
            for (channel = 0; channel < layer->output.channels; channel++)
                *out++ = bitloom_element(layer, in, row, column, channel);
}

#endif
