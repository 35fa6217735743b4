"""One layer of a lava-dl file: its fields checked, its integers as synapses and neurons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import FileError, UnsupportedError
from filopodia.hardware.network.fields import Shape, size
from filopodia.hardware.program import Conv, Dense, Layer, SignMode, Sparse, Synapses

MAX_DELAY = 62
NEVER = 131071  # the largest threshold mantissa: v saturates just above it
_SUM_ONLY = {"iDecay": 4096, "vDecay": 0, "vThMant": NEVER}  # a dense layer without a neuron


@dataclass(frozen=True, eq=False)
class Entry:
    """`layer/<index>` as stored."""

    index: int
    kind: str
    fields: Mapping[str, Any]

    @property
    def where(self) -> str:
        return f"layer {self.index} ({self.kind or 'no type'})"

    def wrong(self, found: str, *, allowed: str = "", fix: str = "") -> FileError:
        return FileError(found, where=self.where, allowed=allowed, fix=fix)

    def unsupported(self, found: str) -> UnsupportedError:
        return UnsupportedError(
            found, where=self.where, allowed="input, flatten, dense, dense_rec, conv, pool and average of CUBA neurons"
        )

    def has(self, key: str) -> bool:
        return key in self.fields

    def integers(self, key: str, fields: Mapping[str, Any] | None = None) -> NDArray[np.int64]:
        """Field `key`, whole numbers in whatever type they are stored."""
        stored = (self.fields if fields is None else fields).get(key)
        if isinstance(stored, Mapping):
            raise self.unsupported(f"complex {key}")
        if stored is None:
            raise self.wrong(f"no field {key!r}")
        values = np.asarray(stored)
        if values.dtype.kind not in "fiub" or values.size == 0:
            raise self.wrong(f"{key} holds {values.size} values of {values.dtype}", allowed="whole numbers")
        if not np.isfinite(values).all() or (values != np.rint(values)).any() or np.abs(values).max() > 2**31:
            raise self.wrong(
                f"{key} holds values that are not whole", allowed="the integers of a network exported for the chip"
            )
        return values.astype(np.int64)

    def whole(self, key: str, default: int | None = None) -> int:
        if default is not None and not self.has(key):
            return default
        values = self.integers(key)
        if values.size != 1:
            raise self.wrong(f"{key} holds {values.size} values", allowed="one")
        return int(values.reshape(-1)[0])

    def pair(self, key: str, default: int) -> tuple[int, int]:
        if not self.has(key):
            return default, default
        values = self.integers(key).reshape(-1)
        if values.size not in (1, 2) or values.min() < (0 if key == "padding" else 1):
            raise self.wrong(f"{key} is {values.tolist()}", allowed="(height, width)")
        return int(values[0]), int(values[-1])

    def shape(self) -> Shape:
        lengths = self.integers("shape").reshape(-1)
        if lengths.size > 3 or lengths.min() < 1 or size(tuple(lengths.tolist())) > 2**28:
            raise self.wrong(f"shape is {lengths.tolist()}", allowed="up to three lengths, (channels, height, width)")
        return tuple(int(n) for n in lengths)

    def bias(self, shape: Shape) -> NDArray[np.int32]:
        """Bias mantissas of the layer's neurons: one value for all, or an array of `shape`."""
        if not self.has("bias"):
            return np.zeros((), np.int32)
        return spread(self, "bias", self.integers("bias"), shape)

    def delays(self, shape: Shape) -> NDArray[np.int64] | None:
        """Delay of each neuron [*shape], None where there is none. As in lava-dl, fractions are cut off, 62 is the most."""
        if not self.has("delay"):
            return None
        stored = np.asarray(self.fields["delay"])
        if stored.dtype.kind not in "fiu" or stored.size == 0 or not np.isfinite(stored).all() or stored.min() < 0:
            raise self.wrong("delay holds values that are no delays", allowed="steps from 0")
        steps = np.minimum(np.floor(stored), MAX_DELAY).astype(np.int64)
        spread_out = np.broadcast_to(spread(self, "delay", steps, shape), shape).astype(np.int64)
        return spread_out if spread_out.any() else None


def spread(entry: Entry, key: str, values: NDArray[np.int64], shape: Shape) -> NDArray[np.int32]:
    """Values for all neurons, per channel or per neuron as int32 of shape () or `shape`."""
    if values.size == 1:
        return values.reshape(()).astype(np.int32)
    if values.size == size(shape):
        return values.reshape(shape).astype(np.int32)
    if values.size == shape[0]:
        per_channel = values.reshape((-1,) + (1,) * (len(shape) - 1))
        return np.ascontiguousarray(np.broadcast_to(per_channel, shape), dtype=np.int32)
    raise entry.wrong(
        f"{key} holds {values.size} values for neurons {list(shape)}", allowed="one, one per channel or one per neuron"
    )


def neurons(entry: Entry, name: str, shape: Shape, bias: NDArray[np.int32], latency: int) -> Layer:
    """The layer's neurons, as lava-dl hands them to Lava."""
    stored: Mapping[str, Any] = entry.fields.get("neuron", _SUM_ONLY)
    if stored is _SUM_ONLY and bias.any():
        raise entry.unsupported("a bias without a neuron, whose sum would take it in every step")
    if not isinstance(stored, Mapping):
        raise entry.wrong("neuron is no group")
    kind = stored.get("type", b"CUBA")
    kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)
    if kind not in ("LOIHI", "CUBA"):
        raise entry.unsupported(f"{kind} neurons")
    for key, neutral, what in (
        ("refDelay", 1, "a refractory period"),
        ("wgtExp", 0, "a weight exponent"),
        ("weight_exp", 0, "a weight exponent"),
        ("gradedSpike", 0, "graded spikes"),
    ):
        if key in stored and (entry.integers(key, stored) != neutral).any():
            raise entry.unsupported(f"{what} ({key} = {np.asarray(stored[key]).tolist()})")
    values = {}
    for key, low, high in (("iDecay", 0, 4096), ("vDecay", 0, 4096), ("vThMant", 0, NEVER)):
        found = entry.integers(key, stored)
        if found.min() < low or found.max() > high:
            raise entry.wrong(f"{key} from {found.min()} to {found.max()}", allowed=f"{low} to {high}")
        values[key] = spread(entry, key, found, shape)
    if bias.min() < -4096 or bias.max() > 4095:
        raise entry.wrong(f"bias from {bias.min()} to {bias.max()}", allowed="-4096 to 4095 (a 13-bit mantissa)")
    return Layer(
        name=name,
        shape=shape,
        du=(values["iDecay"] - 1).astype(np.int32),
        dv=values["vDecay"],
        vth=values["vThMant"],
        bias=bias,
        bias_exp=6,
        latency=latency,
    )


def weights(entry: Entry, key: str, shape: tuple[int, int]) -> Dense:
    """A weight matrix [out, in]; lava-dl stores one with a single row without its first axis."""
    values = entry.integers(key)
    if values.size != shape[0] * shape[1] or (values.ndim == 2 and values.shape != shape):
        raise entry.wrong(f"{key} has shape {list(values.shape)}", allowed=f"{list(shape)}")
    return Dense(_int16(entry, key, values.reshape(shape)))


def convolution(entry: Entry, shape: Shape) -> tuple[Conv, Shape]:
    """A `conv` or `pool` on an input [channels, height, width], and the shape that comes out."""
    if len(shape) != 3:
        raise entry.wrong(f"a {entry.kind} on an input of shape {list(shape)}", allowed="(channels, height, width)")
    kernel = entry.integers("weight")
    while kernel.ndim > 4 and kernel.shape[-1] == 1:  # slayer's convolutions have time as a last axis of length 1
        kernel = kernel[..., 0]
    if kernel.ndim != 4:
        raise entry.wrong(f"weight has shape {list(kernel.shape)}", allowed="[out, in / groups, height, width]")
    groups = entry.whole("groups", 1)
    stride = entry.pair("stride", 1)
    if entry.kind == "pool":
        kernel = np.broadcast_to(kernel, (shape[0], 1, *kernel.shape[2:])) if kernel.shape[:2] == (1, 1) else kernel
        groups = shape[0]
        stride = entry.pair("stride", kernel.shape[2])
        if shape[1] % kernel.shape[2] or shape[2] % kernel.shape[3]:
            raise entry.unsupported(f"pooling {list(shape)} by {list(kernel.shape[2:])}, which slayer pads at one end")
    if groups < 1 or kernel.shape[1] * groups != shape[0] or kernel.shape[0] % groups:
        raise entry.wrong(
            f"weight {list(kernel.shape)}, {groups} groups, on {shape[0]} channels", allowed="[out, in / groups, ...]"
        )
    padding, dilation = entry.pair("padding", 0), entry.pair("dilation", 1)
    out = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(shape[1:], padding, dilation, kernel.shape[2:], stride, strict=True)
    )
    if min(out) < 1:
        raise entry.wrong(f"kernel {list(kernel.shape[2:])} is larger than its padded input {list(shape)}")
    return Conv(_int16(entry, "weight", kernel), stride, padding, dilation, groups), (kernel.shape[0], *out)


def identity(shape: Shape) -> Synapses:
    """One synapse of weight 1 onto each neuron from the input of the same place."""
    if len(shape) == 3:
        return Conv(np.ones((shape[0], 1, 1, 1), np.int16), groups=shape[0])
    n = size(shape)
    return Sparse((n, n), np.arange(n + 1), np.arange(n, dtype=np.int32), np.ones(n, np.int16))


def signed(entry: Entry, synapses: Synapses) -> tuple[Synapses, int, SignMode]:
    """Synapses that Lava takes as they are, the exponent and sign mode to go with them.

    Weights of both signs lie on a grid of 2 (slayer's do): odd ones are stored doubled, with exponent -1, which is exact
    on Lava and on the chip. Lava's Conv has neither grid nor exponent.
    """
    values = synapses.data if isinstance(synapses, Sparse) else synapses.weight
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    mode: SignMode = "excitatory" if low >= 0 else "inhibitory" if high <= 0 else "mixed"
    allowed = (-256, 254) if mode == "mixed" else (-255, 255)
    if low < allowed[0] or high > allowed[1]:
        raise entry.wrong(f"weights from {low} to {high}", allowed=f"{allowed[0]} to {allowed[1]} (8 bits, {mode})")
    if mode != "mixed" or isinstance(synapses, Conv) or not (values % 2).any():
        return synapses, 0, mode
    if low < -128 or high > 127:
        raise entry.unsupported(f"odd weights of both signs from {low} to {high}, which 8 bits hold up to -128 and 127 only")
    doubled = (values * 2).astype(np.int16)
    return (replace(synapses, data=doubled) if isinstance(synapses, Sparse) else Dense(doubled)), -1, mode


def split_by_delay(
    synapses: Synapses, source: Shape, late: NDArray[np.int64] | None, target: Shape, early: NDArray[np.int64] | None
) -> Iterator[tuple[Synapses, int]]:
    """Synapses apart by delay: `late` [*source] of the neuron a message comes from, `early` [*target] of the one it goes to.

    A matrix is cut into sparse parts; a convolution keeps its shape, with zeros for the channels of other parts.
    """
    if late is None and early is None:
        yield synapses, 0
        return
    by_source = np.zeros(source, np.int64) if late is None else late
    by_target = np.zeros(target, np.int64) if early is None else early
    if isinstance(synapses, Conv):
        channels_in = by_source.reshape(source[0], -1)[:, 0]
        channels_out = by_target.reshape(target[0], -1)[:, 0]
        group = np.arange(len(channels_out)) // (len(channels_out) // synapses.groups)
        per_group = synapses.weight.shape[1]
        delay = channels_out[:, None] + channels_in[group[:, None] * per_group + np.arange(per_group)]
        for steps in np.unique(delay):
            yield replace(synapses, weight=synapses.weight * (delay == steps)[:, :, None, None]), int(steps)
        return
    assert isinstance(synapses, Dense)
    delay = by_target.reshape(-1, 1) + by_source.reshape(1, -1)
    for steps in np.unique(delay):
        yield sparse(np.where(delay == steps, synapses.weight, 0).astype(np.int16)), int(steps)


def sparse(weight: NDArray[np.int16]) -> Sparse:
    """The non-zero weights of a matrix [out, in]."""
    rows, columns = np.nonzero(weight)
    indptr = np.zeros(weight.shape[0] + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=weight.shape[0]), out=indptr[1:])
    return Sparse(weight.shape, indptr, columns.astype(np.int32), weight[rows, columns])


def _int16(entry: Entry, key: str, values: NDArray[np.int64]) -> NDArray[np.int16]:
    if np.abs(values).max() > 256:
        raise entry.wrong(f"{key} from {values.min()} to {values.max()}", allowed="-256 to 255 (8 bits and a sign)")
    return np.ascontiguousarray(values, dtype=np.int16)
