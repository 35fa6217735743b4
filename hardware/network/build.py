"""Raw nodes to `nir` nodes: the input shape of a node gives its output shape and the shape of its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from filopodia.errors import UnsupportedError
from filopodia.hardware.network.fields import Fields, Floats, Shape
from filopodia.hardware.network.kernels import compact

NEURONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")  # nodes that hold state and hand it on
SPIKING = ("IF", "LIF", "CubaLIF", "Threshold")  # nodes whose output is 0 or 1

_NEURON_FIELDS = {
    "I": ("r",),
    "IF": ("r", "v_threshold", "v_reset"),
    "LI": ("tau", "r", "v_leak"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
}
_DEFAULTS = {"r": 1.0, "v_leak": 0.0, "v_reset": 0.0, "w_in": 1.0}  # what versions that lack the field meant


def build(fields: Fields, shape: Shape) -> tuple[Any, Shape]:
    """The `nir` node whose input has `shape`, and the shape of its output.

    `FileError` for a field that is missing, of a wrong shape or out of range; `UnsupportedError` for an unknown type.
    """
    if fields.kind in _NEURON_FIELDS:
        node, out = _neuron(fields, shape), shape
    elif fields.kind in BUILDERS:
        node, out = BUILDERS[fields.kind](fields, shape)
    else:
        raise unknown_kind(fields)
    node.input_type = {"input": np.array(shape, dtype=np.int64)}
    node.output_type = {"output": np.array(out, dtype=np.int64)}
    for value in vars(node).values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return node, out


def unknown_kind(fields: Fields) -> UnsupportedError:
    """The error for a node type that NIR does not have."""
    return UnsupportedError(
        f"unknown type {fields.kind!r}", where=f"node {fields.name!r}", allowed=", ".join(sorted([*_NEURON_FIELDS, *BUILDERS]))
    )


def known(kind: str) -> bool:
    return kind in _NEURON_FIELDS or kind in BUILDERS


def own_shape(fields: Fields) -> Shape | None:
    """The input shape that a node's own fields tell, None where they leave it open (scalars, convolutions without a shape)."""
    kind = fields.kind
    if kind in ("Input", "Output"):
        return fields.shape("shape")
    if kind == "Flatten":
        return fields.shape("input_type")
    if kind in ("Affine", "Linear"):
        weight = fields.array("weight")
        return (*weight.shape[:-2], weight.shape[-1]) if weight.ndim >= 2 else None
    if kind in ("Conv1d", "Conv2d"):
        axes = 1 if kind == "Conv1d" else 2
        weight, spatial = fields.array("weight"), fields.shape("input_shape")
        if spatial is None or weight.ndim != axes + 2 or len(spatial) not in (1, axes):
            return None
        return (weight.shape[1] * fields.whole("groups", 1, 1, 1)[0], *spatial * (axes // len(spatial)))
    keys = _NEURON_FIELDS.get(kind, {"Scale": ("scale",), "Threshold": ("threshold",), "Delay": ("delay",)}.get(kind, ()))
    shapes = [np.shape(fields.stored[key]) for key in keys if fields.has(key)]
    largest = max(shapes, key=lambda s: (len(s), s), default=())
    return largest or None


def _neuron(fields: Fields, shape: Shape) -> Any:
    import nir

    values: dict[str, Floats] = {}
    for key in _NEURON_FIELDS[fields.kind]:
        if key.startswith("tau"):
            values[key] = fields.positive(key, shape)
        else:
            values[key] = fields.fill(key, shape, _DEFAULTS.get(key))
    node = getattr(nir, fields.kind)(**values)
    for key, value in values.items():  # CubaLI and CubaLIF copy w_in
        setattr(node, key, value)
    return node


def _input(fields: Fields, shape: Shape) -> tuple[Any, Shape]:
    import nir

    return nir.Input({"input": np.array(shape)}), shape


def _output(fields: Fields, shape: Shape) -> tuple[Any, Shape]:
    import nir

    return nir.Output({"output": np.array(shape)}), shape


def _affine(fields: Fields, shape: Shape) -> tuple[Any, Shape]:
    import nir

    weight = fields.array("weight")
    if weight.ndim < 2:
        raise fields.wrong(f"weight has shape {list(weight.shape)}", allowed="[..., out, in]")
    n_out, n_in = weight.shape[-2:]
    if shape[-1:] != (n_in,) or (weight.ndim > 2 and shape[:-1] != weight.shape[:-2]):
        transposed = shape[-1:] == (n_out,)
        raise fields.wrong(
            f"weight {list(weight.shape)} takes an input {[*weight.shape[:-2], n_in]}, but its input is {list(shape)}",
            allowed="weight as [..., out, in]",
            fix="the weight looks transposed: write weight.T"
            if transposed
            else "check the layer before, or put a Flatten between them",
        )
    out = (*shape[:-1], n_out)
    if fields.kind == "Linear":
        return nir.Linear(weight), out
    return nir.Affine(weight, fields.fill("bias", out)), out


def _scale(fields: Fields, shape: Shape) -> tuple[Any, Shape]:
    import nir

    return nir.Scale(fields.fill("scale", shape)), shape


def _threshold(fields: Fields, shape: Shape) -> tuple[Any, Shape]:
    import nir

    return nir.Threshold(fields.fill("threshold", shape)), shape


def _delay(fields: Fields, shape: Shape) -> tuple[Any, Shape]:
    import nir

    delay = fields.fill("delay", shape)
    if delay.size and delay.min() < 0:
        raise fields.wrong(f"delay is {delay.min():g}", allowed="0 or more, in seconds")
    return nir.Delay(delay), shape


def _flatten(fields: Fields, shape: Shape) -> tuple[Any, Shape]:
    import nir

    (start,) = _axis(fields, "start_dim", 1)
    (end,) = _axis(fields, "end_dim", -1)
    declared = fields.shape("input_type")
    if declared is not None and len(declared) == len(shape) + 1 and declared[1:] == shape:
        # the writer counted a sample axis, which NIR does not have
        start, end = (start - 1 if start > 0 else start), (end - 1 if end > 0 else end)
    rank = len(shape)
    first, last = (start + rank if start < 0 else start), (end + rank if end < 0 else end)
    if not 0 <= first <= last < rank:
        if rank == 1 and first in (0, 1) and last in (0, 1):
            first = last = 0  # one axis is flat already
        else:
            raise fields.wrong(f"axes {start} to {end} of an input of shape {list(shape)}", allowed=f"axes 0 to {rank - 1}")
    merged = 1
    for length in shape[first : last + 1]:
        merged *= length
    node = nir.Flatten({"input": np.array(shape)}, first, last)
    return node, (*shape[:first], merged, *shape[last + 1 :])


def _axis(fields: Fields, key: str, default: int) -> Shape:
    if not fields.has(key):
        return (default,)
    value = np.asarray(fields.stored[key])
    if value.size != 1 or value.dtype.kind not in "iu" or abs(int(value.reshape(-1)[0])) > 32:
        raise fields.wrong(f"{key} is {fields.stored[key]!r}", allowed="one axis")
    return (int(value.reshape(-1)[0]),)


def _conv(fields: Fields, shape: Shape) -> tuple[Any, Shape]:
    import nir

    axes = 1 if fields.kind == "Conv1d" else 2
    weight = fields.array("weight")
    if weight.ndim != axes + 2 or 0 in weight.shape:
        raise fields.wrong(
            f"weight has shape {list(weight.shape)}",
            allowed="[out, in / groups, length]" if axes == 1 else "[out, in / groups, height, width]",
        )
    (groups,) = fields.whole("groups", 1, 1, least=1)
    if len(shape) != axes + 1:
        raise fields.wrong(
            f"input has shape {list(shape)}", allowed="[channels, length]" if axes == 1 else "[channels, height, width]"
        )
    if weight.shape[0] % groups or shape[0] != weight.shape[1] * groups:
        swapped = groups == 1 and shape[0] == weight.shape[0]
        raise fields.wrong(
            f"weight {list(weight.shape)}, {groups} groups, takes {weight.shape[1] * groups} channels, but gets {shape[0]}",
            allowed="[out, in / groups, ...], out a multiple of groups",
            fix="the first two axes look swapped" if swapped else "check the layer before",
        )
    stride = fields.whole("stride", axes, 1, least=1)
    dilation = fields.whole("dilation", axes, 1, least=1)
    kernel = weight.shape[2:]
    pads = _padding(fields, axes, kernel, stride, dilation)
    out = tuple(
        (n + before + after - d * (k - 1) - 1) // s + 1
        for n, k, s, d, (before, after) in zip(shape[1:], kernel, stride, dilation, pads, strict=True)
    )
    if min(out) < 1:
        raise fields.wrong(
            f"kernel {list(kernel)} is larger than its padded input {list(shape)}", allowed="an output of at least 1"
        )
    # nir has one number per axis; only an even kernel padded to "same" needs two, and keeps its name
    padding: Any = "same" if any(a != b for a, b in pads) else tuple(a for a, _ in pads)
    if groups == 1 and padding != "same":
        weight, padding, groups = compact(weight, padding, dilation, fields.said)
    bias = fields.fill("bias", (weight.shape[0],), 0.0)
    each: Callable[[Shape], Any] = (lambda v: v[0]) if axes == 1 else (lambda v: v)
    node = getattr(nir, fields.kind)(
        input_shape=None,
        weight=weight,
        stride=each(stride),
        padding=padding if isinstance(padding, str) else each(padding),
        dilation=each(dilation),
        groups=groups,
        bias=bias,
    )
    node.input_shape = each(shape[1:])
    return node, (weight.shape[0], *out)


def _padding(fields: Fields, axes: int, kernel: Shape, stride: Shape, dilation: Shape) -> tuple[tuple[int, int], ...]:
    stored = fields.stored.get("padding")
    if isinstance(stored, np.ndarray | np.generic) and stored.dtype.kind in "SUO" and np.size(stored) == 1:
        stored = np.asarray(stored).reshape(-1)[0]
    if isinstance(stored, bytes):
        stored = stored.decode("utf-8", "replace")
    if isinstance(stored, str):
        if stored == "valid":
            return ((0, 0),) * axes
        if stored != "same":
            raise fields.wrong(f"padding is {stored!r}", allowed="'same', 'valid' or numbers")
        if set(stride) != {1}:
            raise fields.wrong(f"padding 'same' with stride {stride}", allowed="stride 1", fix="write the padding in numbers")
        return same_padding(kernel, dilation)
    return tuple((p, p) for p in fields.whole("padding", axes, 0))


def same_padding(kernel: Shape, dilation: Shape) -> tuple[tuple[int, int], ...]:
    """Zeros before and after each axis so that stride 1 keeps the length; the odd one goes after, as in torch."""
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def _pool(fields: Fields, shape: Shape) -> tuple[Any, Shape]:
    import nir

    if len(shape) != 3:
        raise fields.wrong(f"input has shape {list(shape)}", allowed="[channels, height, width]")
    kernel = fields.whole("kernel_size", 2, least=1)
    stride = fields.whole("stride", 2, least=1) if fields.has("stride") else kernel
    padding = fields.whole("padding", 2, 0)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise fields.wrong(f"padding {padding} of a kernel {kernel}", allowed="at most half the kernel")
    out = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(shape[1:], kernel, stride, padding, strict=True))
    if min(out) < 1:
        raise fields.wrong(f"kernel {kernel} is larger than its padded input {list(shape)}", allowed="an output of at least 1")
    node = getattr(nir, fields.kind)(kernel_size=np.array(kernel), stride=np.array(stride), padding=np.array(padding))
    return node, (shape[0], *out)


BUILDERS: dict[str, Callable[[Fields, Shape], tuple[Any, Shape]]] = {
    "Input": _input,
    "Output": _output,
    "Affine": _affine,
    "Linear": _affine,
    "Scale": _scale,
    "Threshold": _threshold,
    "Delay": _delay,
    "Flatten": _flatten,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
}
