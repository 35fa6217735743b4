"""The arithmetic of a program, written to be read. Every kernel and real Lava are tested against this file.

All state is int32 and starts at 0 for every sample. One step of a layer, in this order (Lava 0.10.0, tag `fixed_pt`):

    a  = sum over connections of (synapses * messages) shifted by weight_exp           `arriving`
    u  = u * (4095 - du) / 4096, towards zero,  + a * 2^6,   wrapped once past +-2^23   `update`
    v  = v * (4096 - dv) / 4096, towards zero,  + u + bias * 2^bias_exp,   held within +-(2^23 - 1)
    the neuron fires when v > vth * 2^6; then v becomes 0, or loses the threshold when reset is "subtract"; u stays

Sums past 32 bits wrap, as int32 does in Lava.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program, Sparse
from filopodia.hardware.simulator.geometry import grid

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

Rule = Callable[[Layer, Int32, Int32, Int32], tuple[Int32, Int32, NDArray[np.bool_]]]

STATE_LIMIT = 2**23


@dataclass(frozen=True, eq=False)
class Trace:
    """Everything of a run: `spikes`, `u` and `v` of each layer, [T, N, n] (spikes bool, the others int32)."""

    spikes: dict[str, NDArray[np.bool_]]
    u: dict[str, Int32]
    v: dict[str, Int32]


def run(program: Program, inputs: Mapping[str, NDArray[Any]], rule: Rule | None = None) -> Trace:
    """Run a program on messages [T, N, *shape] per input, one step after the other.

    `rule` is what a layer does in a step: `update`, Lava's, when left out; `silicon.update` is the chip's.
    """
    rule = rule or update
    first = inputs[program.inputs[0].name]
    steps, samples = first.shape[:2]
    sent: dict[str, NDArray[Any]] = {x.name: inputs[x.name].reshape(steps, samples, x.size) for x in program.inputs}
    trace = Trace({}, {}, {})
    for layer in program.layers:
        trace.u[layer.name] = np.zeros((steps, samples, layer.size), np.int32)
        trace.v[layer.name] = np.zeros((steps, samples, layer.size), np.int32)
        trace.spikes[layer.name] = np.zeros((steps, samples, layer.size), np.bool_)
        sent[layer.name] = trace.spikes[layer.name]
    state = {layer.name: (np.zeros((samples, layer.size), np.int32),) * 2 for layer in program.layers}
    for t in range(steps):
        for layer in program.layers:
            a = np.zeros((samples, layer.size), np.int32)
            for connection in program.into(layer.name):
                sent_at = t - program.lag(connection)
                if sent_at >= 0:
                    a += arriving(program, connection, sent[connection.source][sent_at])
            u, v, spikes = rule(layer, *state[layer.name], a)
            state[layer.name] = (u, v)
            trace.u[layer.name][t], trace.v[layer.name][t], trace.spikes[layer.name][t] = u, v, spikes
    return trace


def update(layer: Layer, u: Int32, v: Int32, a: Int32) -> tuple[Int32, Int32, NDArray[np.bool_]]:
    """One step of a layer: u, v and spikes [N, n] from u, v and the arriving sums `a` [N, n]."""
    du, dv, bias = (np.asarray(x, np.int64).reshape(-1) for x in (layer.du, layer.dv, layer.bias))
    u = _int32(decay(u, 4095 - du) + _int32(a.astype(np.int64) << 6))
    u = np.where(u > STATE_LIMIT, u - 2 * STATE_LIMIT, np.where(u <= -STATE_LIMIT, u + 2 * STATE_LIMIT, u)).astype(np.int32)
    return fire(layer, u, _int32(decay(v, 4096 - dv) + u + shift(bias, layer.bias_exp)))


def fire(layer: Layer, u: Int32, v: NDArray[Any]) -> tuple[Int32, Int32, NDArray[np.bool_]]:
    """The end of a step: v held in its range, compared with the threshold, and reset where the neuron fires."""
    v = np.clip(v, -(STATE_LIMIT - 1), STATE_LIMIT - 1)
    threshold = np.asarray(layer.vth, np.int64).reshape(-1) << 6
    spikes = v > threshold
    after = v - threshold if layer.reset == "subtract" else np.int64(0)
    return u, np.where(spikes, after, v).astype(np.int32), spikes


def arriving(program: Program, connection: Connection, messages: NDArray[Any]) -> Int32:
    """What a connection adds to its target: [N, n_target] int32 from messages [N, n_source].

    Lava's Conv takes its weights as they are and keeps 24 bits of the sum; Dense and Sparse do neither.
    """
    sent = (messages != 0).astype(np.int64) if connection.message_bits == 0 else messages.astype(np.int64)
    synapses = connection.synapses
    if isinstance(synapses, Conv):
        source, target = program.nodes[connection.source].shape, program.nodes[connection.target].shape
        total = shift(_int32(_convolve(connection, sent, source, target)).astype(np.int64), connection.weight_exp)
        return _int32((total + STATE_LIMIT) % (2 * STATE_LIMIT) - STATE_LIMIT)
    weight = effective(connection)
    if isinstance(synapses, Sparse):
        matrix = np.zeros(synapses.shape, np.int64)
        np.add.at(matrix, (np.repeat(np.arange(len(matrix)), np.diff(synapses.indptr)), synapses.indices), weight)
        weight = matrix
    return _int32(shift(_int32(sent @ weight.T).astype(np.int64), connection.weight_exp))


def effective(connection: Connection) -> NDArray[Any]:
    """The weights that act, int64 in the synapses' own layout; see `acting`."""
    return acting(connection).astype(np.int64)


def acting(connection: Connection) -> NDArray[np.int16]:
    """The weights that act, int16 in the synapses' own layout.

    For Dense and Sparse Lava clips to [-256, 255] (mixed) or to 0..255 of the forced sign, then floors the magnitude of an
    inhibitory and the value of any other weight to the grid 2^(8 - weight_bits + mixed). Conv weights are left alone.
    """
    synapses, mode = connection.synapses, connection.sign_mode
    if isinstance(synapses, Conv):
        return synapses.weight
    weight = synapses.weight if isinstance(synapses, Dense) else synapses.data
    grid_bits = 8 - connection.weight_bits + (mode == "mixed")
    low, high = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0)}[mode]
    clipped = np.clip(weight, low, high)
    kept: NDArray[np.int16] = (
        -((-clipped) >> grid_bits << grid_bits) if mode == "inhibitory" else clipped >> grid_bits << grid_bits
    )
    return kept


def shift(x: NDArray[Any], exponent: int) -> Int64:
    """x * 2^exponent; a right shift rounds down."""
    shifted: Int64 = np.left_shift(x, exponent) if exponent >= 0 else np.right_shift(x, -exponent)
    return shifted


def decay(x: Int32, factor: Int64) -> Int64:
    """x * factor / 4096, towards zero."""
    decayed: Int64 = np.sign(x).astype(np.int64) * ((np.abs(x.astype(np.int64)) * factor) >> 12)
    return decayed


def _int32(x: NDArray[Any]) -> Int32:
    """The low 32 bits, as int32 arithmetic leaves them."""
    return x.astype(np.int32)


def _convolve(connection: Connection, sent: Int64, source: tuple[int, ...], target: tuple[int, ...]) -> Int64:
    """Cross-correlation of messages [N, n_source] with the kernel: [N, n_target], channels first."""
    conv = connection.synapses
    assert isinstance(conv, Conv)
    g = grid(connection, source, target)
    weight = conv.weight.astype(np.int64)
    (pad_y, pad_x), (stride_y, stride_x), (step_y, step_x) = conv.padding, conv.stride, conv.dilation
    padded = np.pad(sent.reshape(-1, g.c_in, g.h_in, g.w_in), ((0, 0), (0, 0), (pad_y, pad_y), (pad_x, pad_x)))
    total = np.zeros((len(sent), g.c_out, g.h_out, g.w_out), np.int64)
    outs, ins = g.c_out // conv.groups, g.c_in // conv.groups
    for k_y, k_x in np.ndindex(*weight.shape[2:]):
        y, x = k_y * step_y, k_x * step_x
        seen = padded[:, :, y : y + (g.h_out - 1) * stride_y + 1 : stride_y, x : x + (g.w_out - 1) * stride_x + 1 : stride_x]
        for group in range(conv.groups):
            to, of = slice(group * outs, (group + 1) * outs), slice(group * ins, (group + 1) * ins)
            total[:, to] += np.einsum("oi,niyx->noyx", weight[to, :, k_y, k_x], seen[:, of])
    return total.reshape(len(sent), -1)


def graded(node: Input | Layer) -> bool:
    """Whether a node sends numbers rather than spikes."""
    return isinstance(node, Input) and node.message_bits > 0
