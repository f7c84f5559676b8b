"""Packs a walk's weights into the words of the weight bank."""

import numpy as np


def pack_weights(walk, config):
    """uint8 [words, rows, lanes]: rotation, tile, kernel row, word; zeros fill the last word and the last
    tile.

    The zeros silence the bytes that a fetched word holds beyond the window and the rows beyond the last
    channel.
    """
    weights = walk.weight_bytes()
    rotations, channels, kernel_rows, size = weights.shape
    padded = np.zeros((rotations, walk.tiles * config.rows, kernel_rows, walk.kernel_words * config.lanes),
                      dtype=np.uint8)
    padded[:, :channels, :, :size] = weights.astype(np.uint8)
    words = padded.reshape(rotations, walk.tiles, config.rows, kernel_rows, walk.kernel_words, config.lanes)
    return words.transpose(0, 1, 3, 4, 2, 5).reshape(-1, config.rows, config.lanes)
