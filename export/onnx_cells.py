"""What each NIR node computes in a step, as ONNX operators: `cells.py` said again, in the same order of operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from filopodia.errors import UnsupportedError
from filopodia.hardware.network.network import Semantics
from filopodia.hardware.network.neurons import FRACTION, LEAK_PARTS, VOLTAGE_LIMIT

from .cells import constants, numbers
from .onnx_time import Body

FLOAT = onnx.TensorProto.FLOAT


@dataclass(frozen=True)
class Wire:
    """A value in the ONNX graph and its shape without the batch axis."""

    name: str
    shape: tuple[int, ...]


def affine(body: Body, name: str, node: Any, x: Wire, out: str) -> None:
    """y = x W^T (+ b)."""
    weight = body.constant(f"{name}/weight", np.ascontiguousarray(np.asarray(node.weight).T))
    if len(x.shape) != 1:
        raise UnsupportedError(f"an Affine on inputs of shape {list(x.shape)}", where=name, allowed="vectors")
    if not hasattr(node, "bias"):
        body.do("MatMul", [x.name, weight], out)
        return
    body.do("MatMul", [x.name, weight], f"{out}/product")
    body.do("Add", [f"{out}/product", body.constant(f"{name}/bias", node.bias)], out)


def conv(body: Body, name: str, node: Any, x: Wire, out: str) -> None:
    """torch's convolution; a bias of zeros is left out."""
    weight, bias = np.asarray(node.weight), np.asarray(node.bias)
    rank = weight.ndim - 2
    inputs = [x.name, body.constant(f"{name}/weight", weight)]
    if bias.any():
        inputs.append(body.constant(f"{name}/bias", bias))
    same = isinstance(node.padding, str)  # loaded as a name only where the odd zero goes at the end, as in torch
    padding: dict[str, Any] = {"auto_pad": "SAME_UPPER"} if same else {"pads": numbers(node.padding, rank) * 2}
    sizes = {"kernel_shape": weight.shape[2:], "strides": numbers(node.stride, rank), "dilations": numbers(node.dilation, rank)}
    body.do("Conv", inputs, out, **sizes, group=int(node.groups), **padding)


def pool(body: Body, name: str, node: Any, x: Wire, out: str) -> None:
    """Sums of windows as a grouped convolution with ones; an average divides them, as torch does."""
    kernel, stride, padding = (numbers(v, 2) for v in (node.kernel_size, node.stride, node.padding))
    channels = x.shape[0]
    ones = body.constant(f"{name}/ones", np.ones((channels, 1, *kernel)))
    average = type(node).__name__ == "AvgPool2d"
    total = f"{out}/sum" if average else out
    body.do("Conv", [x.name, ones], total, kernel_shape=kernel, strides=stride, pads=padding * 2, group=channels)
    if average:
        body.do("Div", [total, body.constant(f"{name}/size", float(np.prod(kernel)))], out)


def flatten(body: Body, name: str, node: Any, x: Wire, out: str) -> None:
    """Merges axes; the batch axis is copied by the 0 in the target shape."""
    start = int(node.start_dim) % max(len(x.shape), 1)
    end = int(node.end_dim) % max(len(x.shape), 1)
    merged = (*x.shape[:start], int(np.prod(x.shape[start : end + 1])), *x.shape[end + 1 :])
    body.do("Reshape", [x.name, body.constant(f"{name}/shape", [0, *merged], np.int64)], out)


def scale(body: Body, name: str, node: Any, x: Wire, out: str) -> None:
    """y = x * s."""
    body.do("Mul", [x.name, body.constant(f"{name}/scale", _scalar(node.scale))], out)


def threshold(body: Body, name: str, node: Any, x: Wire, out: str) -> None:
    """1 where x > threshold."""
    body.do("Greater", [x.name, body.constant(f"{name}/threshold", _scalar(node.threshold))], f"{out}/over")
    body.do("Cast", [f"{out}/over"], out, to=FLOAT)


def same(body: Body, name: str, node: Any, x: Wire, out: str) -> None:
    """Output nodes."""
    body.do("Identity", [x.name], out)


STATELESS: dict[str, Callable[[Body, str, Any, Wire, str], None]] = {
    "Output": same,
    "Affine": affine,
    "Linear": affine,
    "Conv1d": conv,
    "Conv2d": conv,
    "SumPool2d": pool,
    "AvgPool2d": pool,
    "Flatten": flatten,
    "Scale": scale,
    "Threshold": threshold,
}


def neuron(body: Body, name: str, node: Any, semantics: Semantics, scale: float, x: str) -> None:
    """One step of a neuron from input `x` and its states to its output and its next states; with a `scale`, in fixed point."""
    out, v, after, current = name, f"{name}.v", f"{name}.v.next", f"{name}.i"
    rule, found = constants(node, semantics, scale)
    kept_parts = found.pop("keep") if rule == "fixed" else np.zeros(())
    known = {key: body.constant(f"{name}/{key}", _scalar(value)) for key, value in found.items() if key != "start"}

    def do(operator: str, left: str, right: str, tag: str) -> str:
        return body.do(operator, [left, right], f"{out}/{tag}")

    def scaled(value: str, key: str) -> str:
        return do("Mul", value, known[key], f"times_{key}") if key in known else value

    if "syn_keep" in known:
        x = body.do("Add", [do("Mul", current, known["syn_keep"], "kept_i"), scaled(x, "syn_gain")], f"{current}.next")
    x = scaled(x, "gain")
    away = do("Sub", v, known["leak"], "away") if "leak" in known else v
    if rule == "integrate":
        v = do("Add", v, x, "charged")
    elif rule == "divide":
        v = do("Add", v, do("Div", do("Sub", x, away, "drive"), known["steps"], "change"), "charged")
    elif rule == "add":
        v = do("Add", do("Sub", v, do("Div", away, known["steps"], "leaked"), "less"), x, "charged")
    elif rule == "fixed":
        v = charged_in_fixed_point(body, name, scale, kept_parts, x, v)
    else:
        kept = do("Mul", away, known["keep"], "kept_v")
        v = do("Add", do("Add", known["leak"], kept, "rested") if "leak" in known else kept, x, "charged")
    if not hasattr(node, "v_threshold"):
        body.do("Identity", [v], after)
        body.do("Identity", [v], out)
        return
    inclusive = semantics.comparison == ">=" and not scale
    over = do("GreaterOrEqual" if inclusive else "Greater", v, known["threshold"], "over")
    body.do("Cast", [over], out, to=FLOAT)
    if semantics.reset == "subtract":
        body.do("Sub", [v, do("Mul", out, known["threshold"], "taken")], after)
    else:
        body.do("Where", [over, known["v_reset"], v], after)


def charged_in_fixed_point(body: Body, name: str, scale: float, kept_parts: NDArray[Any], x: str, v: str) -> str:
    """v after input x, both exact in float32; the product in between needs 36 bits, and casting it to int64 cuts towards 0."""

    def do(operator: str, inputs: list[str], tag: str, **attributes: Any) -> str:
        return body.do(operator, inputs, f"{name}/{tag}", **attributes)

    def number(tag: str, value: Any, dtype: Any = np.float32) -> str:
        return body.constant(f"{name}/{tag}", value, dtype)

    unit = number("unit", FRACTION * scale)
    wide = do("Cast", [do("Mul", [v, unit], "v_parts")], "wide", to=onnx.TensorProto.DOUBLE)
    share = number("share", _scalar(kept_parts).astype(np.float64) / LEAK_PARTS, np.float64)
    whole = do("Cast", [do("Mul", [wide, share], "product")], "whole", to=onnx.TensorProto.INT64)
    kept = do("Cast", [whole], "kept", to=FLOAT)
    units = do("Round", [do("Mul", [x, number("scale", scale)], "in_units")], "units")
    total = do("Add", [kept, do("Mul", [units, number("fraction", FRACTION)], "arrived")], "sum_of_parts")
    held = do("Clip", [total, number("lowest", -VOLTAGE_LIMIT), number("highest", VOLTAGE_LIMIT)], "held")
    return do("Div", [held, unit], "charged")


def _scalar(values: Any) -> NDArray[np.float32]:
    """A scalar where all values are equal, so that a uniform layer costs four bytes."""
    full = np.asarray(values, dtype=np.float32)
    return full.reshape(-1)[:1].reshape(()) if full.size and bool((full == full.flat[0]).all()) else full
