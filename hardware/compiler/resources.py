"""What a tile of neurons uses of a core: neurons, synaptic memory, axons.

Synaptic memory follows Loihi's axon lists (nengo-loihi, `SynapseConfig.bits_per_axon`): the weights that one source neuron has
onto the core are cut into chunks of 64; a chunk of n weights takes n * (weight + index + delay bits) + 10 bits, rounded up to
64. A dense list needs no index. A chip that shares convolution weights keeps one list per input channel, not one per pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.compiler.maps import conv_target
from filopodia.hardware.program import Connection, Conv, Dense, Program, Sparse

WEIGHT_BITS = 8
DELAY_BITS = 6
CHUNK = 64
CHUNK_HEADER_BITS = 10
WORD_BITS = 64
INDEX_BITS = (0, 6, 7, 8, 9, 10, 11, 12)

Range = tuple[int, int]
Image = tuple[int, int, int]


@dataclass(frozen=True)
class Tile:
    """A block of a layer seen as [channels, height, width] (a flat layer is [n, 1, 1]): half-open ranges."""

    layer: str
    channels: Range
    rows: Range
    columns: Range

    @property
    def size(self) -> int:
        (c0, c1), (y0, y1), (x0, x1) = self.channels, self.rows, self.columns
        return (c1 - c0) * (y1 - y0) * (x1 - x0)

    def neurons(self, image: Image) -> NDArray[np.int32]:
        """Flat indices of the tile's neurons, ascending, int32 [size]."""
        _, height, width = image
        c, y, x = (np.arange(*r, dtype=np.int32) for r in (self.channels, self.rows, self.columns))
        return ((c[:, None, None] * height + y[:, None]) * width + x).reshape(-1)


def as_image(shape: tuple[int, ...]) -> Image:
    """A layer as [channels, height, width]: [n] is [n, 1, 1] and [c, l] is [c, 1, l]."""
    if len(shape) == 3:
        return (shape[0], shape[1], shape[2])
    if len(shape) == 2:
        return (shape[0], 1, shape[1])
    return (int(np.prod(shape, dtype=np.int64)), 1, 1)


def image(program: Program, layer: str) -> Image:
    """A layer as the convolutions into it lay it out, which matters where it has been flattened."""
    shape = program.nodes[layer].shape
    for connection in program.into(layer):
        conv = connection.synapses
        if isinstance(conv, Conv) and len(shape) == 1:
            source = as_image(program.nodes[connection.source].shape)
            return conv_target(source, conv.weight, conv.stride, conv.padding, conv.dilation)
    return as_image(shape)


def axon_bits(weights: NDArray[np.int64], bits: int) -> int:
    """Memory of lists of so many weights each, at `bits` per weight; an empty list takes none."""
    full, rest = np.divmod(weights, CHUNK)
    rest_bits = np.where(rest > 0, rest * bits + CHUNK_HEADER_BITS, 0)
    return int(np.sum(full * _words(CHUNK * bits + CHUNK_HEADER_BITS) + -(-rest_bits // WORD_BITS) * WORD_BITS))


def index_bits(neurons: int) -> int:
    """Bits of an index that tells `neurons` targets apart; beyond 4096 a list is addressed in parts, with 12 bits."""
    needed = max(neurons - 1, 0).bit_length()
    return next((bits for bits in INDEX_BITS if bits >= needed), INDEX_BITS[-1])


def usage(program: Program, tile: Tile, shared_conv: bool) -> dict[str, int]:
    """`neurons`, `synapse_bits` and `in_axons` of one tile."""
    bits = axons = 0
    kept: set[tuple[int, int]] = set()
    for connection in program.into(tile.layer):
        memory, lists = synapses(program, connection, tile, shared_conv)
        axons += lists
        if shared_conv and isinstance(connection.synapses, Conv):
            key = (id(connection.synapses.weight), connection.delay)
            memory = 0 if key in kept else memory  # several paths into one kernel
            kept.add(key)
        bits += memory
    return {"neurons": tile.size, "synapse_bits": bits, "in_axons": axons}


def synapses(program: Program, connection: Connection, tile: Tile, shared_conv: bool) -> tuple[int, int]:
    """(memory in bits, number of source neurons that reach the tile) of one connection."""
    extra = DELAY_BITS if connection.delay else 0
    listed = WEIGHT_BITS + extra + index_bits(tile.size)
    if isinstance(connection.synapses, Conv):
        fan = conv_fan(program, connection, tile)
        axons = int(np.count_nonzero(fan))
        if shared_conv:
            return shared_bits(connection.synapses, tile, extra), axons
        return axon_bits(fan.reshape(-1), listed), axons
    n_source = program.nodes[connection.source].size
    if isinstance(connection.synapses, Dense):
        axons = int(np.count_nonzero(reached(program, connection, tile)))
        return axon_bits(np.full(axons, tile.size, np.int64), WEIGHT_BITS + extra), axons
    fan = sparse_fan(connection.synapses, tile.neurons(image(program, tile.layer)), n_source)
    return axon_bits(fan, listed), int(np.count_nonzero(fan))


def reached(program: Program, connection: Connection, tile: Tile) -> NDArray[np.bool_]:
    """Which source neurons have a synapse onto the tile: bool [n_source]."""
    n_source = program.nodes[connection.source].size
    if isinstance(connection.synapses, Conv):
        return np.asarray(conv_fan(program, connection, tile).reshape(-1) > 0)
    if isinstance(connection.synapses, Dense):
        rows = connection.synapses.weight[tile.neurons(image(program, tile.layer))]
        return np.asarray(np.any(rows != 0, axis=0))
    return np.asarray(sparse_fan(connection.synapses, tile.neurons(image(program, tile.layer)), n_source) > 0)


def sparse_fan(synapses: Sparse, rows: NDArray[np.int32], n_source: int) -> NDArray[np.int64]:
    """Synapses from each source neuron onto the target neurons `rows` (ascending): int64 [n_source]."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        taken = synapses.indices[synapses.indptr[rows[0]] : synapses.indptr[rows[-1] + 1]]
    else:
        taken = np.concatenate([synapses.indices[synapses.indptr[r] : synapses.indptr[r + 1]] for r in rows])
    return np.bincount(taken, minlength=n_source)


def shared_bits(conv: Conv, tile: Tile, extra: int) -> int:
    """Memory of a shared kernel: per input channel one list of its weights onto the tile's channels, listed or complete."""
    weight = conv.weight[slice(*tile.channels)]
    channels, _, k_h, k_w = weight.shape
    outs = conv.weight.shape[0] // conv.groups
    group = np.arange(*tile.channels) // outs
    listed, complete = [], []
    for g in np.unique(group):
        part = weight[group == g]
        listed.append(np.count_nonzero(part, axis=(0, 2, 3)))
        complete.append(np.where(listed[-1] > 0, len(part) * k_h * k_w, 0))
    index = index_bits(channels * k_h * k_w)
    return min(
        axon_bits(np.concatenate(listed).astype(np.int64), WEIGHT_BITS + extra + index),
        axon_bits(np.concatenate(complete).astype(np.int64), WEIGHT_BITS + extra),
    )


def conv_fan(program: Program, connection: Connection, tile: Tile) -> NDArray[np.int64]:
    """Synapses from each source neuron onto the tile through a convolution: int64 [c_in, h_in, w_in]."""
    conv = connection.synapses
    assert isinstance(conv, Conv)
    c_in, h_in, w_in = as_image(program.nodes[connection.source].shape)
    fan = np.zeros((c_in, h_in, w_in), np.int64)
    weight = conv.weight[slice(*tile.channels)] != 0
    outs, ins = conv.weight.shape[0] // conv.groups, c_in // conv.groups
    group = np.arange(*tile.channels) // outs
    for g in np.unique(group):
        count = weight[group == g].sum(axis=0)
        for k_y, k_x in np.ndindex(*count.shape[1:]):
            y = _seen(tile.rows, conv.stride[0], k_y * conv.dilation[0] - conv.padding[0], h_in)
            x = _seen(tile.columns, conv.stride[1], k_x * conv.dilation[1] - conv.padding[1], w_in)
            fan[g * ins : (g + 1) * ins, y, x] += count[:, k_y, k_x, None, None]
    return fan


def _seen(targets: Range, stride: int, offset: int, size: int) -> slice:
    """The source positions target * stride + offset that lie inside the image."""
    first = max(targets[0], -(offset // stride))
    last = min(targets[1] - 1, (size - 1 - offset) // stride)
    if last < first:
        return slice(0, 0)
    return slice(first * stride + offset, last * stride + offset + 1, stride)


def _words(bits: int) -> int:
    return -(-bits // WORD_BITS) * WORD_BITS
