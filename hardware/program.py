"""Program: a network as integers on neurocores, and the file it lives in.

A program is what the compiler makes, what the simulator and Lava run, and what energy is estimated for. It can also be
built by hand from integer arrays. Its meaning (the arithmetic of one step) is `hardware.simulator.reference`.

Time. On Lava and Loihi a connection takes one step, so a layer sees a sample `latency` steps after the input does. A
program carries that latency per layer, and everything a user sees is in sample time: step t of a layer is the step in
which it handles step t of the sample. A connection's `lag` in sample time is

    lag = latency[source] + 1 + delay - latency[target]

which is 0 on a balanced feed-forward path and at least 1 on a recurrent one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError
from filopodia.hardware.show import Brief, show_program

SignMode = Literal["mixed", "excitatory", "inhibitory"]


@dataclass(frozen=True, eq=False, repr=False)
class Dense(Brief):
    """Weights as a matrix, [n_target, n_source] int16: `a = weight @ s`, flattened in C order (channels first)."""

    weight: NDArray[np.int16]


@dataclass(frozen=True, eq=False, repr=False)
class Sparse(Brief):
    """Weights in compressed rows: row i holds the synapses onto target neuron i. A stored zero is a synapse too."""

    shape: tuple[int, int]  # (n_target, n_source)
    indptr: NDArray[np.int64]  # [n_target + 1]
    indices: NDArray[np.int32]  # source neuron of each synapse
    data: NDArray[np.int16]


@dataclass(frozen=True, eq=False, repr=False)
class Conv(Brief):
    """Shared weights [c_out, c_in / groups, k_h, k_w] int16 in torch's layout and orientation (cross-correlation).

    Average and sum pooling are grouped convolutions; a one-dimensional signal has height 1.
    """

    weight: NDArray[np.int16]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


Synapses = Dense | Sparse | Conv


@dataclass(frozen=True, eq=False, repr=False)
class Connection(Brief):
    """Synapses from `source` (an input or a layer) to `target` (a layer).

    Each step `a = (synapses * s) << weight_exp`, or `>> -weight_exp` of the sum when negative (Lava's rule).
    `message_bits = 0` means binary messages (any non-zero message counts as 1), more means graded ones.
    `delay` is extra steps beyond the one that every connection takes, 0..62.
    `sign_mode` and `weight_bits` are Lava's: weights are clipped to their range and floored to the grid
    2^(8 - weight_bits + mixed) (`lava/utils/weightutils.py`, 0.10.0); the compiler emits only weights this leaves alone.
    """

    source: str
    target: str
    synapses: Synapses
    weight_exp: int = 0
    weight_bits: int = 8
    message_bits: int = 0
    sign_mode: SignMode = "mixed"
    delay: int = 0

    @property
    def name(self) -> str:
        return f"{self.source}->{self.target}"


@dataclass(frozen=True, eq=False, repr=False)
class Input(Brief):
    """Where spikes enter: `shape` without time and sample axes; `message_bits` 0 for binary spikes, else graded."""

    name: str
    shape: tuple[int, ...]
    message_bits: int = 0

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, eq=False, repr=False)
class Layer(Brief):
    """Neurons of one kind, Loihi's current-based leaky integrate-and-fire (Lava `LIF`, tag `fixed_pt`).

    `du`, `dv` (0..4095; the current keeps (4095 - du) / 4096 and the voltage (4096 - dv) / 4096 per step), `vth`
    (mantissa, threshold is vth * 2^6) and `bias` (mantissa, added as bias * 2^bias_exp every step) are int32 scalars
    (shape ()) or one value per neuron (shape `shape`). The neuron fires when v > vth * 2^6; `reset="zero"` then sets v to 0,
    `reset="subtract"` takes the threshold off (no Lava `LIF` can do that).
    u and v start at 0 for every sample; with `latency` the layer's sample starts that many steps after the input's.
    """

    name: str
    shape: tuple[int, ...]
    du: NDArray[np.int32]
    dv: NDArray[np.int32]
    vth: NDArray[np.int32]
    bias: NDArray[np.int32]
    bias_exp: int = 6
    reset: Literal["zero", "subtract"] = "zero"
    latency: int = 1

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, eq=False, repr=False)
class Core(Brief):
    """One neurocore: which neurons of which layers it holds, and how much of each resource that uses.

    `used` has the keys of the chip's per-core limits (`neurons`, `synapse_bits`, `in_axons`, `out_axons`).
    `position` is (x, y, slot) on the chip's mesh.
    """

    index: int
    chip: int
    position: tuple[int, int, int]
    neurons: Mapping[str, NDArray[np.int32]]  # layer name -> flat neuron indices, ascending
    used: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Program:
    """Inputs, layers and connections in integers, the cores they sit on (none when not placed), and what they came from.

    `layers` are in topological order (recurrent connections aside). `outputs` name the layers that are read out.
    `metadata` holds plain values (str, int, float, bool, lists and dicts of them): `dt` in seconds, `readout` =
    {"classes", "votes"}, weight scale per layer, versions, the source's metadata.
    """

    inputs: tuple[Input, ...]
    layers: tuple[Layer, ...]
    connections: tuple[Connection, ...]
    outputs: tuple[str, ...]
    chip: str = ""
    cores: tuple[Core, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        nodes: tuple[Input | Layer, ...] = (*self.inputs, *self.layers)
        names = [node.name for node in nodes]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InputError(f"names used twice: {', '.join(repeated)}", where="program")
        known = set(names)
        for connection in self.connections:
            missing = {connection.source, connection.target} - known
            if missing:
                raise InputError(
                    f"no input or layer named {', '.join(sorted(missing))}",
                    where=f"connection {connection.name}",
                    allowed=", ".join(names),
                )
            if self.lag(connection) < 0:
                raise InputError(
                    f"a message would arrive {-self.lag(connection)} steps before it was sent",
                    where=f"connection {connection.name}",
                    fix="raise the target layer's latency or the connection's delay",
                )

    def __repr__(self) -> str:
        return show_program(self)

    @cached_property
    def nodes(self) -> dict[str, Input | Layer]:
        """Inputs and layers by name."""
        nodes: tuple[Input | Layer, ...] = (*self.inputs, *self.layers)
        return {node.name: node for node in nodes}

    def latency(self, name: str) -> int:
        """Steps from the input's first step to the first step of `name`'s sample; 0 for inputs."""
        node = self.nodes[name]
        return node.latency if isinstance(node, Layer) else 0

    def lag(self, connection: Connection) -> int:
        """Sample-time steps between a spike of the source and its arrival at the target."""
        return self.latency(connection.source) + 1 + connection.delay - self.latency(connection.target)

    def into(self, layer: str) -> tuple[Connection, ...]:
        """Connections that end at `layer`."""
        return tuple(c for c in self.connections if c.target == layer)
