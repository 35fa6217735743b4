"""Small random programs over everything Lava can express, and the file that keeps them with what Lava made of them.

Used by `make_lava_golden.py`, which runs them on Lava, and by the tests that replay them (loaded by path, as tests are no
package).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program, SignMode, Sparse, Synapses

Spikes = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Case:
    """A program with its messages [T, N, *shape] per input."""

    program: Program
    spikes: Spikes


@dataclass(frozen=True, eq=False)
class Kept:
    """A case and what Lava made of it: spikes [T, N, n] per layer, checksums of u and v [T, 2] per layer."""

    case: Case
    spikes: dict[str, NDArray[np.bool_]]
    sums: dict[str, NDArray[np.uint32]]


def draw_cases(count: int, seed: int) -> list[Case]:
    """`count` cases from hypothesis; the same seed gives the same cases under the same version of hypothesis."""
    import hypothesis

    found: list[Case] = []
    everything = list(HealthCheck)

    @hypothesis.seed(seed)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=everything)
    @given(case())
    def gather(one: Case) -> None:
        found.append(one)

    gather()
    return found[:count]


@st.composite
def case(draw: st.DrawFn) -> Case:
    """One or two inputs, one to four layers; chains, joins, skips, self-connections, loops, delays, parts of their own."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps, samples = draw(st.sampled_from([1, 3, 6, 8, 8, 11])), draw(st.sampled_from([1, 2, 2, 3]))
    inputs = tuple(_input(draw, rng, f"in{k}") for k in range(draw(st.sampled_from([1, 1, 2]))))
    nodes: dict[str, tuple[tuple[int, ...], int]] = {node.name: (node.shape, 0) for node in inputs}
    graded = {node.name: node.message_bits for node in inputs}
    layers: list[Layer] = []
    connections: list[Connection] = []
    for k in range(draw(st.integers(1, 4))):
        name = f"layer{k}"
        count = draw(st.sampled_from([1, 1, 1, 1, 2, 2, 3, 0]))
        sources = draw(st.lists(st.sampled_from(sorted(nodes)), min_size=count, max_size=count, unique=False))
        shape: tuple[int, ...] | None = None
        arriving: list[Connection] = []
        for source in sources:
            joined, shape = _connection(draw, rng, source, nodes[source][0], name, shape, graded.get(source, 0))
            arriving.append(joined)
        shape = shape or draw(st.sampled_from([(3,), (2, 2, 3)]))
        earliest = min((nodes[c.source][1] + 1 + c.delay for c in arriving), default=1)
        latency = max(0, earliest - draw(st.sampled_from([0, 0, 0, 1])))
        layers.append(_layer(draw, rng, name, shape, latency))
        nodes[name] = (shape, latency)
        connections += arriving
    for _ in range(draw(st.sampled_from([0, 1, 2]))):
        source, target = draw(st.sampled_from(layers)), draw(st.sampled_from(layers))
        back, _ = _connection(draw, rng, source.name, source.shape, target.name, target.shape, 0)
        lag = source.latency + 1 + back.delay - target.latency
        if lag >= 1:
            connections.append(back)
    outputs = tuple(sorted({draw(st.sampled_from(layers)).name, layers[-1].name}))
    program = Program(inputs, tuple(layers), tuple(connections), outputs)
    return Case(program, {node.name: _messages(rng, node, steps, samples) for node in inputs})


def _input(draw: st.DrawFn, rng: np.random.Generator, name: str) -> Input:
    shape = draw(st.sampled_from([(2, 5, 4), (1, 6, 6), (4, 3, 3), (2, 7), (6,), (11,)]))
    return Input(name, shape, draw(st.sampled_from([0, 0, 0, 1, 8, 16])))


def _messages(rng: np.random.Generator, node: Input, steps: int, samples: int) -> NDArray[Any]:
    shape = (steps, samples, *node.shape)
    present = rng.random(shape) < rng.choice([0.05, 0.3, 0.9])
    if not node.message_bits:
        return present
    limit = 2**node.message_bits - 1
    return np.where(present, rng.integers(-limit, limit + 1, shape), 0).astype(np.int32)


def _connection(
    draw: st.DrawFn,
    rng: np.random.Generator,
    source: str,
    source_shape: tuple[int, ...],
    target: str,
    target_shape: tuple[int, ...] | None,
    message_bits: int,
) -> tuple[Connection, tuple[int, ...]]:
    """A connection into `target`, whose shape it decides where that is still open (None)."""
    delay = draw(st.sampled_from([0] * 20 + [1, 1, 2, 2, 3, 5])) if rng.random() < 0.98 else 62
    bits = draw(st.sampled_from([message_bits, message_bits, 0])) if message_bits else draw(st.sampled_from([0, 0, 0, 1, 8]))
    mode: SignMode = draw(st.sampled_from(["mixed", "mixed", "excitatory", "inhibitory"]))
    weight_bits = draw(st.sampled_from([8, 8, 8, 7, 6, 4, 1]))
    exponent = draw(st.sampled_from([0, 0, 0, 1, 2, 3, 5, 7, -1, -2, -6]))
    synapses: Synapses
    if target_shape is None and len(source_shape) in (2, 3) and draw(st.integers(0, 3)):
        synapses, shape = _convolution(draw, rng, source_shape)
        largest = _largest(synapses, message_bits)
        if largest >= 2**31:  # Lava's Conv says nothing past this
            synapses = replace(synapses, weight=synapses.weight >> 8)
            largest = _largest(synapses, message_bits)
        if not _unchanged(synapses.weight) or largest << max(exponent, 0) >= 2**23:  # Lava's Conv has no delay, no right shift
            delay, exponent = 0, min(draw(st.sampled_from([0, 0, 1, 3, 7, 15])), 31 - largest.bit_length())
        return Connection(source, target, synapses, exponent, 8, bits, "mixed", delay), shape
    shape = target_shape or draw(st.sampled_from([(1,), (5,), (12,), (2, 3, 3), (3, 4)]))
    n_source, n_target = int(np.prod(source_shape)), int(np.prod(shape))
    weight = _weights(draw, rng, (n_target, n_source), mode)
    if draw(st.booleans()):
        weight[rng.random(weight.shape) < 0.7] = 0
        rows, columns = np.nonzero(weight)
        indptr = np.searchsorted(rows, np.arange(n_target + 1)).astype(np.int64)
        synapses = Sparse((n_target, n_source), indptr, columns.astype(np.int32), weight[rows, columns])
    else:
        synapses = Dense(weight)
    return Connection(source, target, synapses, exponent, weight_bits, bits, mode, delay), shape


def _convolution(draw: st.DrawFn, rng: np.random.Generator, source: tuple[int, ...]) -> tuple[Conv, tuple[int, ...]]:
    channels, height, width = source if len(source) == 3 else (source[0], 1, source[1])
    groups = draw(st.sampled_from([g for g in (1, 1, 2, channels) if channels % g == 0]))
    out = groups * draw(st.integers(1, 2))
    flat = len(source) == 2
    kernel = (1 if flat else draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    stride = (1 if flat else draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    dilation = (1 if flat else draw(st.sampled_from([1, 1, 2])), draw(st.sampled_from([1, 1, 2])))
    padding = (0 if flat else draw(st.integers(0, 2)), draw(st.integers(0, 2)))
    size = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip((height, width), padding, dilation, kernel, stride, strict=True)
    ]
    if min(size) < 1:
        kernel, dilation, size = (
            (1, 1),
            (1, 1),
            [(n + 2 * p - 1) // s + 1 for n, p, s in zip((height, width), padding, stride, strict=True)],
        )
    weight = _weights(draw, rng, (out, channels // groups, *kernel), "mixed")
    shape = (out, size[1]) if flat else (out, size[0], size[1])
    return Conv(weight, stride, padding, dilation, groups), shape


def _weights(draw: st.DrawFn, rng: np.random.Generator, shape: tuple[int, ...], mode: SignMode) -> NDArray[np.int16]:
    """Weights as the compiler emits them, odd ones, ones past 8 bits, ones of the wrong sign, and the extremes."""
    kind = draw(st.sampled_from(["even", "even", "even", "odd", "past", "extreme"]))
    sign = {"mixed": 0, "excitatory": 1, "inhibitory": -1}[mode]
    if kind == "even":
        values = 2 * rng.integers(-127, 128, shape)
        values = np.abs(values) * sign if sign else values
    elif kind == "odd":
        values = rng.integers(-255, 256, shape)
    elif kind == "past":
        values = rng.integers(-700, 700, shape)
    else:
        values = rng.choice([-32768, -257, -256, -255, -1, 0, 1, 254, 255, 256, 32767], shape)
    return values.astype(np.int16)


def _largest(conv: Conv, message_bits: int) -> int:
    return int(np.abs(conv.weight.astype(np.int64)).sum(axis=(1, 2, 3)).max()) << message_bits


def _unchanged(weight: NDArray[np.int16]) -> bool:
    return bool(weight.min() >= -256 and weight.max() <= 255 and not (weight & 1).any())


def _layer(draw: st.DrawFn, rng: np.random.Generator, name: str, shape: tuple[int, ...], latency: int) -> Layer:
    per_neuron = draw(st.booleans())

    def number(choices: Sequence[int]) -> NDArray[np.int32]:
        return np.asarray(rng.choice(choices, shape if per_neuron else ()), np.int32)

    vth = [draw(st.sampled_from([0, 1, 10, 30, 100, 100, 300, 300, 1000, 4000, 131071])) for _ in range(2)]
    return Layer(
        name,
        shape,
        du=number([-1, 0, 1, 7, 400, 2048, 4000, 4094, 4095, 4095, 4095]),
        dv=number([0, 0, 1, 13, 128, 400, 2048, 4095, 4096]),
        vth=number([*vth, int(rng.integers(1, 2000))]),
        bias=number([0, 0, 1, -1, 3, -20, int(rng.integers(-4096, 4096)), 32767, -32768]),
        bias_exp=draw(st.sampled_from([6, 6, 6, 0, 3, 7, -2])),
        latency=latency,
    )


def save(path: Path, kept: Sequence[Kept], made_with: str) -> None:
    """Write cases and results: a JSON header that says where in one block of bytes each array lies."""
    block = bytearray()

    def put(array: NDArray[Any]) -> list[Any]:
        place = [array.dtype.str, list(array.shape), len(block)]
        block.extend(np.ascontiguousarray(array).tobytes())
        return place

    entries = [_entry(one, put) for one in kept]
    header = {"format": "filopodia lava golden", "version": 1, "made_with": made_with, "cases": entries}
    text = np.frombuffer(zlib.compress(json.dumps(header, separators=(",", ":")).encode(), 9), np.uint8)
    np.savez_compressed(path, header=text, block=np.frombuffer(bytes(block), np.uint8))


def load(path: Path) -> list[Kept]:
    """Read what `save` wrote."""
    with np.load(path) as file:
        header, block = json.loads(zlib.decompress(file["header"].tobytes())), file["block"].tobytes()

    def get(place: list[Any]) -> NDArray[Any]:
        dtype, shape, start = place
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(block, np.dtype(dtype), count, start).reshape(shape)

    return [_kept(entry, get) for entry in header["cases"]]


def checksums(u: NDArray[np.int32], v: NDArray[np.int32]) -> NDArray[np.uint32]:
    """CRC-32 of u and of v per step, uint32 [T, 2], from states [T, N, ...]."""
    return np.array(
        [[zlib.crc32(np.ascontiguousarray(x[t], "<i4").tobytes()) for x in (u, v)] for t in range(len(u))], np.uint32
    )


def _entry(one: Kept, put: Any) -> dict[str, Any]:
    program = one.case.program
    layers = []
    for layer in program.layers:
        numbers = [put(getattr(layer, name)) for name in ("du", "dv", "vth", "bias")]
        results = [put(np.packbits(one.spikes[layer.name])), put(one.sums[layer.name])]
        layers.append([layer.name, list(layer.shape), numbers, layer.bias_exp, layer.latency, results])
    connections = []
    for c in program.connections:
        s = c.synapses
        if isinstance(s, Conv):
            body: list[Any] = ["conv", put(s.weight), s.stride, s.padding, s.dilation, s.groups]
        elif isinstance(s, Sparse):
            body = ["sparse", list(s.shape), put(s.indptr.astype(np.int32)), put(s.indices.astype(np.int16)), put(s.data)]
        else:
            body = ["dense", put(s.weight)]
        options = [c.weight_exp, c.weight_bits, c.message_bits, c.sign_mode, c.delay]
        connections.append([c.source, c.target, body, options])
    inputs = []
    for node in program.inputs:
        messages = one.case.spikes[node.name]
        stored = np.packbits(messages) if messages.dtype == np.bool_ else messages
        inputs.append([node.name, list(node.shape), node.message_bits, put(stored), list(messages.shape[:2])])
    return {"inputs": inputs, "layers": layers, "connections": connections, "outputs": list(program.outputs)}


def _kept(entry: dict[str, Any], get: Any) -> Kept:
    inputs, spikes = [], {}
    for name, shape, bits, place, length in entry["inputs"]:
        inputs.append(Input(name, tuple(shape), bits))
        spikes[name] = get(place) if bits else _bits(get(place), (*length, *shape))
    steps, samples = length
    layers, fired, sums = [], {}, {}
    for name, shape, numbers, bias_exp, latency, (packed, sum_place) in entry["layers"]:
        layers.append(Layer(name, tuple(shape), *(get(place) for place in numbers), bias_exp=bias_exp, latency=latency))
        fired[name] = _bits(get(packed), (steps, samples, *shape))
        sums[name] = get(sum_place)
    connections = []
    for source, target, (kind, *body), options in entry["connections"]:
        synapses: Synapses
        if kind == "conv":
            synapses = Conv(get(body[0]), tuple(body[1]), tuple(body[2]), tuple(body[3]), body[4])
        elif kind == "sparse":
            indptr, indices, data = get(body[1]).astype(np.int64), get(body[2]).astype(np.int32), get(body[3])
            synapses = Sparse((body[0][0], body[0][1]), indptr, indices, data)
        else:
            synapses = Dense(get(body[0]))
        connections.append(Connection(source, target, synapses, *options))
    program = Program(tuple(inputs), tuple(layers), tuple(connections), tuple(entry["outputs"]))
    return Kept(Case(program, spikes), fired, sums)


def _bits(packed: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.unpackbits(packed, count=int(np.prod(shape))).astype(np.bool_).reshape(shape)
