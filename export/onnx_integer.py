"""A compiled `Program` as ONNX in integers alone: the arithmetic of `hardware.simulator.reference`, operator by operator.

Products are MatMulInteger and ConvInteger on bytes. Weights beyond a byte are written as several bytes (base 128), graded
messages likewise, and put together in int64; what int32 would wrap is wrapped. Neuron states are int32.

Inputs are uint8 (graded ones int32), outputs uint8; states are "<layer>.u" and "<layer>.v", int32, and "<node>.sent<k>", what a
node sent k steps ago. Forms are those of `onnx_time`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from filopodia.errors import FilopodiaError
from filopodia.hardware.program import Connection, Conv, Input, Layer, Program, Sparse
from filopodia.hardware.simulator.geometry import check as check_program
from filopodia.hardware.simulator.geometry import grid
from filopodia.hardware.simulator.reference import STATE_LIMIT, effective
from filopodia.hardware.simulator.simulate import simulate

from .onnx_file import save
from .onnx_run import run
from .onnx_time import Body, Form, Step, Value, model

Integers = NDArray[np.integer[Any]]
INT64, INT32, UINT8, INT8 = TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8, TensorProto.INT8


def program_to_onnx(program: Program, spikes: Any, path: str | Path, *, form: Form = "scan", sparse: bool = False) -> Path:
    """Write `program` as an integer ONNX model and return its path. Forms are as for `to_onnx`.

    `spikes` [T, N, *shape] (several inputs: by name) are run through the model in onnxruntime and through the integer simulator
    before the file is moved to its place; FilopodiaError where one spike of one layer differs.
    `sparse` writes weights that are mostly zeros as 9 bytes per non-zero value instead of 1 per value (and digit, see above).
    """
    check_program(program)
    given = dict(spikes) if isinstance(spikes, Mapping) else {program.inputs[0].name: spikes}
    expected = simulate(program, given)
    made = build_program(program, form, steps=expected.steps, sparse=sparse)
    onnx.checker.check_model(made, full_check=not sparse)  # onnx 1.23 cannot infer shapes through sparse initialisers
    found = run(build_program(program, form, steps=expected.steps, sparse=sparse, record=True), given) | run(made, given)
    for layer in program.layers:
        differs = found[layer.name] != expected.spikes[layer.name].reshape(found[layer.name].shape)
        if differs.any():
            raise FilopodiaError(f"onnxruntime and the simulator differ in {int(differs.sum())} spikes", where=layer.name)
    return save(made, path)


def build_program(
    program: Program, form: Form, *, steps: int = 0, record: bool = False, sparse: bool = False
) -> onnx.ModelProto:
    """The ONNX model of a program; `record` gives out every layer instead of the outputs alone."""
    out = [layer.name for layer in program.layers] if record else list(program.outputs)
    states = states_of(program)
    body = Body()
    _write(program, body, [state.name for state in states])
    step = Step(
        body,
        [Value(x.name, x.shape, _kind(x)) for x in program.inputs],
        states,
        [Value(name, program.nodes[name].shape, UINT8) for name in out],
    )
    return model(step, form, steps=steps, sparse=sparse, facts={"arithmetic": "integer", "chip": program.chip})


def states_of(program: Program) -> list[Value]:
    """u and v of each layer, and what nodes sent in the steps before, as far back as a connection looks."""
    found = {f"{x.name}.{kind}": Value(f"{x.name}.{kind}", x.shape, INT32) for x in program.layers for kind in ("u", "v")}
    for connection in program.connections:
        node = program.nodes[connection.source]
        for k in range(1, program.lag(connection) + 1):
            found[f"{node.name}.sent{k}"] = Value(f"{node.name}.sent{k}", node.shape, _kind(node))
    return list(found.values())


def _kind(node: Input | Layer) -> int:
    return INT32 if isinstance(node, Input) and node.message_bits else UINT8


def _write(program: Program, body: Body, states: Sequence[str]) -> None:
    """One step: every layer from its connections, then the memories of what was sent."""
    for layer in program.layers:
        total = ""
        for index, connection in enumerate(program.into(layer.name)):
            lag = program.lag(connection)
            message = f"{connection.source}.sent{lag}" if lag else connection.source
            part = _arriving(program, body, connection, message, f"{layer.name}/from{index}")
            total = part if not total else body.do("Add", [total, part], f"{part}/sum")
        if not total:
            zero = body.constant("/zero", 0, np.int64)
            total = body.do("Mul", [_wide(body, f"{layer.name}.u", f"{layer.name}/none"), zero], f"{layer.name}/silence")
        _update(body, layer, total)
    for name in states:
        node, _, kind = name.rpartition(".")
        if kind.startswith("sent"):
            k = int(kind.removeprefix("sent"))
            body.do("Identity", [node if k == 1 else f"{node}.sent{k - 1}"], f"{name}.next")


def _wide(body: Body, x: str, name: str) -> str:
    return body.do("Cast", [x], f"{name}/wide", to=INT64)


def _wrap32(body: Body, x: str, name: str) -> str:
    """The low 32 bits of an int64, as int64."""
    return _wide(body, body.do("Cast", [x], f"{name}/low", to=INT32), f"{name}/low")


def _shift(body: Body, x: str, exponent: int, name: str) -> str:
    """x * 2^exponent; a right shift rounds down."""
    if exponent == 0:
        return x
    power = body.constant(f"/two^{abs(exponent)}", 2 ** abs(exponent), np.int64)
    if exponent > 0:
        return body.do("Mul", [x, power], f"{name}/shifted")
    below = body.do("Mod", [x, power], f"{name}/below")
    return body.do("Div", [body.do("Sub", [x, below], f"{name}/floor"), power], f"{name}/shifted")


def _digits(values: Integers) -> list[tuple[int, NDArray[np.int8]]]:
    """`values` as int8 arrays with factors: values = sum of factor * array."""
    if not (values % 2).any() and values.min(initial=0) >= -256 and values.max(initial=0) <= 254:
        return [(2, (values // 2).astype(np.int8))]
    parts, factor, rest = [], 1, values.astype(np.int64)
    while rest.min(initial=0) < -128 or rest.max(initial=0) > 127:
        parts.append((factor, (rest & 127).astype(np.int8)))
        rest, factor = rest >> 7, factor << 7
    return [*parts, (factor, rest.astype(np.int8))]


def _bytes(body: Body, program: Program, connection: Connection, message: str, name: str) -> list[tuple[int, str]]:
    """A message as uint8 values with factors; a graded one by sign and in base 128."""
    node = program.nodes[connection.source]
    if _kind(node) == UINT8:
        return [(1, message)]
    zero, base = body.constant("/zero", 0, np.int64), body.constant("/two^7", 128, np.int64)
    wide = _wide(body, message, name)
    if connection.message_bits == 0:
        sent = body.do("Not", [body.do("Equal", [wide, zero], f"{name}/silent")], f"{name}/sent")
        return [(1, body.do("Cast", [sent], f"{name}/bit", to=UINT8))]
    bits = node.message_bits if isinstance(node, Input) else 1
    parts = []
    for sign, tag in ((1, "plus"), (-1, "minus")):
        one = body.constant(f"/sign{sign}", sign, np.int64)
        rest = body.do("Max", [body.do("Mul", [wide, one], f"{name}/{tag}/signed"), zero], f"{name}/{tag}")
        for k in range(-(-bits // 7)):
            low = body.do("Mod", [rest, base], f"{name}/{tag}/{k}")
            parts.append((sign * 128**k, body.do("Cast", [low], f"{name}/{tag}/{k}/byte", to=UINT8)))
            rest = body.do("Div", [rest, base], f"{name}/{tag}/{k}/rest")
    return parts


def _arriving(program: Program, body: Body, connection: Connection, message: str, name: str) -> str:
    """What a connection adds to its target, int64 [batch, *shape of the target]."""
    source, target = program.nodes[connection.source], program.nodes[connection.target]
    synapses = connection.synapses
    weight: NDArray[Any] = np.asarray(effective(connection))
    if isinstance(synapses, Sparse):
        matrix = np.zeros(synapses.shape, dtype=np.int64)
        np.add.at(matrix, (np.repeat(np.arange(len(matrix)), np.diff(synapses.indptr)), synapses.indices), weight)
        weight = matrix
    total = ""
    parts = itertools.product(enumerate(_digits(weight)), enumerate(_bytes(body, program, connection, message, name)))
    for (i, (by, digit)), (j, (times, part)) in parts:
        tag = f"{name}/{i}{j}"
        if isinstance(synapses, Conv):
            g = grid(connection, source.shape, target.shape)
            shape = body.constant(f"{connection.name}/image", [0, g.c_in, g.h_in, g.w_in], np.int64)
            image = body.do("Reshape", [part, shape], f"{tag}/image")
            kernel = body.constant(f"{name}/weight{i}", digit, np.int8)
            sizes = {"strides": synapses.stride, "dilations": synapses.dilation, "pads": synapses.padding * 2}
            product = body.do(
                "ConvInteger", [image, kernel], f"{tag}/product", kernel_shape=digit.shape[2:], group=synapses.groups, **sizes
            )
        else:
            flat = body.do(
                "Reshape", [part, body.constant(f"{connection.name}/flat", [0, source.size], np.int64)], f"{tag}/flat"
            )
            product = body.do("MatMulInteger", [flat, body.constant(f"{name}/weight{i}", digit.T, np.int8)], f"{tag}/product")
        scaled = _wide(body, product, tag)
        if by * times != 1:
            scaled = body.do("Mul", [scaled, body.constant(f"/times{by * times}", by * times, np.int64)], f"{tag}/scaled")
        total = scaled if not total else body.do("Add", [total, scaled], f"{tag}/total")
    if isinstance(synapses, Conv):
        total = _shift(body, total, connection.weight_exp, name)
        half, whole = body.constant("/half24", STATE_LIMIT, np.int64), body.constant("/two^24", 2 * STATE_LIMIT, np.int64)
        up = body.do("Mod", [body.do("Add", [total, half], f"{name}/up"), whole], f"{name}/mod")
        total = body.do("Sub", [up, half], f"{name}/wrapped")
    else:
        total = _wrap32(body, _shift(body, _wrap32(body, total, f"{name}/sum"), connection.weight_exp, name), f"{name}/moved")
    shape = body.constant(f"{target.name}/shape", [0, *target.shape], np.int64)
    return body.do("Reshape", [total, shape], f"{name}/arrived")


def _update(body: Body, layer: Layer, arrived: str) -> None:
    """One step of a layer's neurons, as `reference.update`."""
    name = layer.name

    def number(key: str, values: Any) -> str:
        return body.constant(f"{name}/{key}", np.asarray(values, dtype=np.int64), np.int64)

    def do(operator: str, inputs: list[str], tag: str) -> str:
        return body.do(operator, inputs, f"{name}/{tag}")

    per_mille = body.constant("/two^12", 4096, np.int64)
    limit, minus, whole = (body.constant(key, value, np.int64) for key, value in _LIMITS.items())
    u = _wide(body, f"{name}.u", f"{name}/u")
    u = do("Div", [do("Mul", [u, number("u_keep", 4095 - layer.du.astype(np.int64))], "u_kept"), per_mille], "u_decayed")
    a = _wrap32(body, arrived, f"{name}/a")
    u = do("Add", [u, _wrap32(body, _shift(body, a, 6, f"{name}/a"), f"{name}/a64")], "u_new")
    u = _wrap32(body, u, f"{name}/u_new")
    u = do("Where", [do("Greater", [u, limit], "u_high"), do("Sub", [u, whole], "u_less"), u], "u_below")
    u = do("Where", [do("LessOrEqual", [u, minus], "u_low"), do("Add", [u, whole], "u_more"), u], "u_held")
    body.do("Cast", [u], f"{name}.u.next", to=INT32)
    v = _wide(body, f"{name}.v", f"{name}/v")
    v = do("Div", [do("Mul", [v, number("v_keep", 4096 - layer.dv.astype(np.int64))], "v_kept"), per_mille], "v_decayed")
    bias = number(
        "bias", layer.bias.astype(np.int64) * 2**layer.bias_exp if layer.bias_exp >= 0 else layer.bias >> -layer.bias_exp
    )
    v = _wrap32(body, do("Add", [do("Add", [v, u], "v_fed"), bias], "v_new"), f"{name}/v_new")
    top, bottom = body.constant("/v_top", STATE_LIMIT - 1, np.int64), body.constant("/v_bottom", 1 - STATE_LIMIT, np.int64)
    v = do("Max", [do("Min", [v, top], "v_capped"), bottom], "v_held")
    threshold = number("threshold", layer.vth.astype(np.int64) << 6)
    fired = do("Greater", [v, threshold], "fired")
    body.do("Cast", [fired], name, to=UINT8)
    rest = do("Sub", [v, threshold], "v_taken") if layer.reset == "subtract" else body.constant("/zero", 0, np.int64)
    body.do("Cast", [do("Where", [fired, rest, v], "v_after")], f"{name}.v.next", to=INT32)


_LIMITS = {"/u_limit": STATE_LIMIT, "/u_minus": -STATE_LIMIT, "/u_whole": 2 * STATE_LIMIT}
