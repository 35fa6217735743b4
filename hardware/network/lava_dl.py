"""lava-dl's network files (`.net`, "netx" HDF5) as a `Program`: the integers they hold, nothing quantised again.

The format (lava-dl 0.6.0; archived, nothing else reads it on a living Python): `layer/<id>` with `type`, `shape` (channels,
height, width), weights in torch's layout and orientation, and `neuron` with integers for the chip. Layers follow one another.

- `input` with a neuron is a layer of its own, driven by a current per pixel. It gets an identity connection from the
  program's graded input "input"; what to feed is `input_current` of the image. Without a neuron it is the spike input.
- `dense`, `dense_rec`, `conv` and `pool` are a connection and a layer "<type><id>". A dense layer without a neuron only
  adds up: its sum is v, its threshold out of reach.
- `flatten` reads channels first, as torch does. `average` groups neurons of the last layer into classes: `readout`.
- `delay` is axonal, per channel, on the layer's way out: connections out of the layer are split by it. In the last
  layer, which has none, it is put on the way in, which is the same as long as no bias and no recurrence is there.
- Neurons: du = iDecay - 1, dv = vDecay, vth = vThMant, bias_exp = 6, reset to zero, all as lava-dl hands them to Lava.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from filopodia.errors import InputError
from filopodia.hardware.network.fields import Shape, size
from filopodia.hardware.network.hdf5 import Reader, open_hdf5
from filopodia.hardware.network.lava_dl_layer import Entry, convolution, identity, neurons, signed, split_by_delay, weights
from filopodia.hardware.program import Connection, Input, Layer, Program, Synapses

INPUT_BITS = 16  # of the graded input that stands for a layer of input neurons: Lava's bias mantissa

_LAYERS = ("dense", "dense_rec", "conv", "pool")


def read_lava_dl(path: Path) -> Program:
    """The program in the lava-dl file `path`, not placed on cores.

    `metadata`: `source`, `dt` (s), `steps_per_sample` and `input_transform` where the file has them, `readout` for an
    `average` layer. `FileError` for a damaged or contradictory file, `UnsupportedError`, with the layer's name, for what a
    program cannot say: SDNN, resonate-and-fire and complex layers, graded spikes, concatenation, transposed convolution.
    """
    with open_hdf5(path) as reader:
        entries = _entries(reader)
        simulation = reader.group(reader.root, "simulation", "the file")
        metadata: dict[str, Any] = {"source": "lava-dl"}
        if simulation is not None:
            settings = reader.mapping(simulation, "simulation")
            if np.size(settings.get("Ts", ())) == 1:
                metadata["dt"] = float(np.ravel(settings["Ts"])[0]) * 1e-3
            if np.size(settings.get("tSample", ())) == 1:
                metadata["steps_per_sample"] = int(np.ravel(settings["tSample"])[0])
    return _Builder(metadata).build(entries)


def is_lava_dl(path: Path) -> bool:
    """Whether the HDF5 file holds `layer` and no NIR `node`."""
    with open_hdf5(path) as reader:
        return "layer" in reader.root and "node" not in reader.root


def input_current(program: Program, image: ArrayLike) -> NDArray[np.int32]:
    """The integers to feed input neurons with, of an image [..., channels, height, width] with values 0 to 1.

    lava-dl's transform, 2 * weight * x - weight + bias, cut off towards zero; feed it in every step.
    """
    transform = program.metadata.get("input_transform")
    if transform is None:
        raise InputError("this network takes spikes, not a current", where="input_current", fix="feed the spikes themselves")
    x = np.asarray(image, dtype=np.float64)
    weight, bias = transform["weight"], transform["bias"]
    current: NDArray[np.int32] = (2 * weight * x - weight + bias).astype(np.int32)
    return current


def _entries(reader: Reader) -> list[Entry]:
    layers = reader.group(reader.root, "layer", "the file")
    if layers is None:
        raise reader.wrong("not a lava-dl network: it has no group 'layer'", "the file")
    names = list(layers)
    if sorted(names) != sorted(str(i) for i in range(len(names))):
        raise reader.wrong(
            f"layers named {', '.join(names[:8])}", "group 'layer'", allowed="0, 1, 2, ... in the order they run"
        )
    entries = []
    for index in range(len(names)):
        at = f"layer {index}"
        fields = reader.mapping(reader.group(layers, str(index), at) or {}, at)
        kind = np.ravel(np.asarray(fields.get("type", b""), dtype=object))
        stored = kind[0] if len(kind) == 1 else b""
        entries.append(Entry(index, stored.decode("ascii", "replace") if isinstance(stored, bytes) else str(stored), fields))
    return entries


@dataclass(frozen=True)
class _Sender:
    """The node whose messages come next: its name, the shape they are read in, and its delay per neuron (None for none)."""

    name: str
    shape: Shape
    delay: NDArray[np.int64] | None = None


class _Builder:
    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata
        self.inputs: list[Input] = []
        self.layers: list[Layer] = []
        self.connections: list[Connection] = []

    def build(self, entries: list[Entry]) -> Program:
        sender: _Sender | None = None
        last = max((e.index for e in entries if e.kind in _LAYERS), default=-1)
        for entry in entries:
            if self.metadata.get("readout"):
                raise entry.unsupported("comes after an average, which only reads out")
            if entry.kind == "input":
                sender = self._input(entry)
            elif entry.kind == "flatten":
                sender = replace(self._before(entry, sender), shape=(size(self._before(entry, sender).shape),))
            elif entry.kind == "average":
                self._average(entry, self._before(entry, sender))
            elif entry.kind in _LAYERS:
                sender = self._layer(entry, self._before(entry, sender), last=entry.index == last)
            else:
                raise entry.unsupported("a type of layer that cannot be loaded")
        if sender is None or not self.layers:
            raise InputError("a network without layers", where="lava-dl file")
        return Program(
            inputs=tuple(self.inputs),
            layers=tuple(self.layers),
            connections=tuple(self.connections),
            outputs=(sender.name,),
            metadata=self.metadata,
        )

    def _before(self, entry: Entry, sender: _Sender | None) -> _Sender:
        """What feeds `entry`; a file may begin without an `input`, its shape then following from the first weights."""
        if sender is not None:
            return sender
        if entry.kind not in ("dense", "dense_rec"):
            raise entry.wrong("the network begins without an input layer", allowed="an input, or a dense layer")
        features = entry.whole("inFeatures")
        self.inputs.append(Input("input", (features,)))
        return _Sender("input", (features,))

    def _input(self, entry: Entry) -> _Sender:
        if self.inputs:
            raise entry.unsupported("a second input")
        shape = entry.shape()
        if not entry.has("neuron"):
            self.inputs.append(Input("input", shape))
            return _Sender("input", shape)
        name = f"input{entry.index}"
        transform = {key: entry.whole(key, default) for key, default in (("weight", 64), ("bias", 0))}
        self.metadata["input_transform"] = transform
        self.inputs.append(Input("input", shape, INPUT_BITS))
        self.layers.append(neurons(entry, name, shape, np.zeros((), np.int32), latency=1))
        self.connections.append(Connection("input", name, identity(shape), message_bits=INPUT_BITS, sign_mode="excitatory"))
        return _Sender(name, shape, entry.delays(shape))

    def _average(self, entry: Entry, before: _Sender) -> None:
        classes = entry.shape()[0]
        if size(before.shape) % classes:
            raise entry.wrong(f"{size(before.shape)} neurons in {classes} groups", allowed="groups of one size")
        self.metadata["readout"] = {"classes": classes, "votes": size(before.shape) // classes}

    def _layer(self, entry: Entry, before: _Sender, last: bool) -> _Sender:
        name = f"{entry.kind}{entry.index}"
        synapses, shape = self._synapses(entry, before.shape)
        if size(entry.shape()) != size(shape):
            raise entry.wrong(f"shape is {list(entry.shape())}, but its weights make {list(shape)}")
        latency = (self.layers[-1].latency if self.layers else 0) + 1
        layer = neurons(entry, name, shape, entry.bias(shape), latency)
        delay = entry.delays(shape)
        recurrent = entry.kind == "dense_rec"
        early: NDArray[np.int64] | None = None
        if last and delay is not None:
            if recurrent or layer.bias.any():
                raise entry.unsupported(
                    "delays out of the last layer, with a bias or a recurrence that are not delayed with it"
                )
            early, delay = delay, None
        self.layers.append(layer)
        for part, steps in split_by_delay(synapses, before.shape, before.delay, shape, early):
            self._connect(entry, before.name, name, part, steps)
        if recurrent:
            self._connect(entry, name, name, weights(entry, "weight_rec", (size(shape), size(shape))), 0)
        return _Sender(name, shape, delay)

    def _synapses(self, entry: Entry, shape: Shape) -> tuple[Synapses, Shape]:
        if entry.kind in ("conv", "pool"):
            return convolution(entry, shape)
        if len(shape) > 1 and max(shape) != size(shape):
            raise entry.wrong(f"a dense layer on an input of shape {list(shape)}", fix="put a flatten before it")
        dense = weights(entry, "weight", (entry.whole("outFeatures"), size(shape)))
        return dense, (dense.weight.shape[0],)

    def _connect(self, entry: Entry, source: str, target: str, synapses: Synapses, delay: int) -> None:
        graded: Mapping[str, int] = {x.name: x.message_bits for x in self.inputs}
        settled, weight_exp, mode = signed(entry, synapses)
        self.connections.append(
            Connection(source, target, settled, weight_exp, message_bits=graded.get(source, 0), sign_mode=mode, delay=delay)
        )
