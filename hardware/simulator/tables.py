"""Kernel G's tables: dense weight rows, taps of convolutions, parameters, fan-outs, for a run of layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.program import Connection, Conv, Layer, Program, Sparse
from filopodia.hardware.simulator.counting import fan_out
from filopodia.hardware.simulator.gather import BLOCKS, CONNECTION, LAYER
from filopodia.hardware.simulator.plan import Node, bias_of, binary, each, fading, largest_sum, layout, rows, trailing_zeros
from filopodia.hardware.simulator.weights import acting


@dataclass(frozen=True)
class Tables:
    """Arguments of `gather` that depend on the program alone, for the layers [first, last) of a program."""

    layers: NDArray[Any]
    connections: NDArray[Any]
    narrow: NDArray[np.uint8]
    wide: NDArray[np.int16]
    tap_starts: NDArray[np.int64]
    taps: NDArray[np.int64]
    params: NDArray[np.int32]
    fan: NDArray[np.int32]
    list_room: int
    starts_room: int
    state_room: int
    sums_room: int
    segments_room: int
    recorded: int


class _Heap:
    """Arrays laid one after the other, each on a 64-byte boundary."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self.parts: list[NDArray[Any]] = []
        self.size = 0

    def add(self, part: NDArray[Any]) -> int:
        at = self.size
        gap = -part.size % (64 // self.dtype.itemsize)
        self.parts.append(np.ascontiguousarray(part, self.dtype).reshape(-1))
        self.parts.append(np.zeros(gap, self.dtype))
        self.size += part.size + gap
        return at

    def joined(self) -> NDArray[Any]:
        room = np.zeros(self.size + 1024 + 64, self.dtype)
        skip = (-room.ctypes.data % 64) // self.dtype.itemsize
        whole = room[skip : skip + self.size + 1024]
        at = 0
        for part in self.parts:
            whole[at : at + part.size] = part
            at += part.size
        return whole


def build(program: Program, nodes: dict[str, Node], first: int, last: int, values: dict[str, int]) -> Tables:
    """Tables for layers [first, last); `values` says where each graded input's messages start."""
    layers = np.zeros(last - first, LAYER)
    connections = np.zeros(sum(len(program.into(x.name)) for x in program.layers[first:last]), CONNECTION)
    narrow, wide, params, fan = _Heap(np.uint8), _Heap(np.int16), _Heap(np.int32), _Heap(np.int32)
    tap_starts: list[int] = []
    taps: list[tuple[int, int]] = []
    number = state = list_room = starts_room = recorded = 0
    sums_room = segments_room = 1
    for i, layer in enumerate(program.layers[first:last]):
        node, row = nodes[layer.name], layers[i]
        into = program.into(layer.name)
        row["cum"], row["places"], row["channels"], row["words"] = node.cum, node.places, node.channels, node.words
        row["first"], row["last"] = number, number + len(into)
        row["wide"] = any(not _is_narrow(program, c) for c in into)
        row["block"] = node.words * 64 if row["wide"] else _block(node.words * 64)
        row["state"], row["record"] = state, recorded
        state += node.padded
        recorded += node.padded
        largest = sum(largest_sum(c) * 2.0 ** max(c.weight_exp, 0) for c in into)
        row["memoryless"] = not row["wide"] and largest < 2**17  # else the current may have to be wrapped
        _parameters(layer, node, row, params)
        list_at = 0
        for connection in into:
            source, entry = nodes[connection.source], connections[number]
            number += 1
            entry["cum"], entry["places"], entry["channels"], entry["words"] = (
                source.cum,
                source.places,
                source.channels,
                source.words,
            )
            entry["lag"] = program.lag(connection)
            entry["values"] = -1 if binary(program, connection) else values[connection.source]
            entry["fan"] = fan.add(source.by_place(fan_out(program, connection)))
            entry["list"], entry["starts"] = list_at, starts_room
            list_at += source.size
            starts_room += source.places + 1
            entry["shift"] = connection.weight_exp
            entry["group_in"], entry["group_out"] = source.size, node.words * 64
            if isinstance(connection.synapses, Conv):
                entry["conv"], entry["clamp"] = 1, 1
                entry["taps"] = len(tap_starts)
                segments_room = max(segments_room, int(np.prod(connection.synapses.weight.shape[2:])))
                _taps(program, connection, tap_starts, taps)
            if row["wide"]:
                _wide_weights(program, connection, source, node, entry, wide)
            else:
                _narrow_weights(program, connection, source, node, int(row["block"]), entry, narrow)
        list_room = max(list_room, list_at)
        sums_room = max(sums_room, int(row["block"]), 64)
    return Tables(
        layers,
        connections,
        narrow.joined(),
        wide.joined(),
        np.array([*tap_starts, 0], np.int64),
        np.array(taps, np.int64).reshape(-1, 2),
        params.joined(),
        fan.joined(),
        list_room,
        starts_room,
        state,
        sums_room,
        segments_room,
        recorded,
    )


def _is_narrow(program: Program, connection: Connection) -> bool:
    """Whether weights fit a byte and sums 16 bits."""
    weight = acting(connection)
    if isinstance(connection.synapses, Conv) and connection.synapses.groups > 1:
        return False
    zeros = trailing_zeros(weight)
    low, high = int(weight.min(initial=0)) >> zeros, int(weight.max(initial=0)) >> zeros
    total = largest_sum(connection)
    fits = low >= -128 and high <= 127 and (total >> zeros) < 2**15
    small = total * 2.0 ** max(connection.weight_exp, 0) < 2**23  # neither int32 nor 24 bits can overflow
    return binary(program, connection) and fits and small and zeros + connection.weight_exp < 24


def _block(padded: int) -> int:
    """Channels per block: the fewest row operations, counting a block's own cost as 32 channels."""
    return min(BLOCKS, key=lambda block: (-(-padded // block) * (block + 32), -block))


def _parameters(layer: Layer, node: Node, row: Any, params: _Heap) -> None:
    keep_v, row["fraction"] = fading(layer, 2.0**23)
    values = {
        "keep_u": 4095 - layer.du.astype(np.int32),
        "keep_v": keep_v,
        "bias": bias_of(layer),
        "threshold": np.left_shift(layer.vth, 6),
    }
    for name, value in values.items():
        value = np.asarray(value, np.int32)
        if each(value, layer):
            full = np.zeros((node.places, node.words * 64), np.int32)
            full[:, : node.channels] = node.by_place(value.reshape(-1)).reshape(node.places, node.channels)
            row[name], row[f"{name}_each"] = params.add(full), 1
        else:
            row[name] = params.add(value.reshape(-1)[:1])
    row["memoryless"] = row["memoryless"] and bool((layer.du == 4095).all())
    row["biased"] = bool(layer.bias.any())
    row["subtract"] = layer.reset == "subtract"


def _taps(program: Program, connection: Connection, tap_starts: list[int], taps: list[tuple[int, int]]) -> None:
    conv = connection.synapses
    assert isinstance(conv, Conv)
    g = layout(program, connection)
    k_h, k_w = conv.weight.shape[2:]
    for y_out, x_out in np.ndindex(g.h_out, g.w_out):
        tap_starts.append(len(taps))
        for k_y, k_x in np.ndindex(k_h, k_w):
            y = y_out * conv.stride[0] - conv.padding[0] + k_y * conv.dilation[0]
            x = x_out * conv.stride[1] - conv.padding[1] + k_x * conv.dilation[1]
            if 0 <= y < g.h_in and 0 <= x < g.w_in:
                taps.append((y * g.w_in + x, k_y * k_w + k_x))
    tap_starts.append(len(taps))


def _matrix(connection: Connection, source: Node, target: Node) -> NDArray[np.int16]:
    """A Dense or Sparse connection's weights [target place, target channel, source neuron place after place] int16."""
    if isinstance(connection.synapses, Sparse):
        starts, columns, data = rows(connection)
        matrix = np.zeros((target.size, source.size), np.int16)
        np.add.at(matrix, (np.repeat(np.arange(target.size), np.diff(starts)), columns), data)
    else:
        matrix = acting(connection)
    turned = source.by_place(matrix).reshape(target.channels, target.places, source.size)
    result: NDArray[np.int16] = turned.swapaxes(0, 1)
    return result


def _kernel(connection: Connection) -> NDArray[np.int16]:
    """A convolution's weights [tap, source channel within the group, target channel]."""
    conv = connection.synapses
    assert isinstance(conv, Conv)
    c_out, c_in, k_h, k_w = conv.weight.shape
    return conv.weight.transpose(2, 3, 1, 0).reshape(k_h * k_w, c_in, c_out)


def _narrow_weights(
    program: Program, connection: Connection, source: Node, target: Node, block: int, entry: Any, heap: _Heap
) -> None:
    weight = (
        _kernel(connection) if isinstance(connection.synapses, Conv) else _matrix(connection, source, target).swapaxes(1, 2)
    )
    zeros = trailing_zeros(weight)
    outer, inner, channels = weight.shape  # taps or target places, source channels or neurons, target channels
    blocks = -(-channels // block)
    full = np.zeros((outer, inner, blocks * block), np.int16)
    full[:, :, :channels] = weight >> zeros
    # one 16-bit lane holds channel k (lower byte, raised by 128) and channel k + block / 2 (upper byte)
    halves = full.reshape(outer, inner, blocks, 2, block // 2).transpose(2, 0, 1, 4, 3)
    packed = np.empty(halves.shape, np.uint8)
    packed[..., 0] = halves[..., 0] + 128
    packed[..., 1] = halves[..., 1].astype(np.uint8)
    entry["weight"] = heap.add(packed)
    entry["block_stride"] = outer * inner * block
    entry["place_stride"] = entry["tap_stride"] = inner * block
    entry["shift"] += zeros


def _wide_weights(program: Program, connection: Connection, source: Node, target: Node, entry: Any, heap: _Heap) -> None:
    padded = target.words * 64
    if not isinstance(connection.synapses, Conv):
        matrix = _matrix(connection, source, target).swapaxes(1, 2)
        full = np.zeros((target.places, source.size, padded), np.int16)
        full[:, :, : target.channels] = matrix
        entry["weight"], entry["row_stride"], entry["place_stride"] = heap.add(full), padded, source.size * padded
        return
    conv = connection.synapses
    per_group = target.channels // conv.groups
    kernel = _kernel(connection)  # [tap, c_in / groups, c_out]
    taps, ins, _ = kernel.shape
    full = kernel.reshape(taps, ins, conv.groups, per_group).swapaxes(1, 2).reshape(taps, source.channels, per_group)
    entry["weight"], entry["row_stride"], entry["tap_stride"] = heap.add(full), per_group, source.channels * per_group
    entry["group_in"], entry["group_out"] = ins, per_group
