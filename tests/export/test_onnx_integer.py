"""Programs as integer ONNX models: bit-equal to the simulator, for everything a program can hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filopodia import export, hardware
from filopodia.export.onnx_integer import build_program
from filopodia.export.onnx_run import run
from filopodia.export.onnx_time import Form
from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program, Sparse


def layer(rng: np.random.Generator, name: str, shape: tuple[int, ...], **settings: Any) -> Layer:
    values: dict[str, Any] = {
        "du": np.array(int(rng.integers(0, 4096)), np.int32),
        "dv": rng.integers(0, 4096, shape).astype(np.int32),
        "vth": np.array(int(rng.integers(1, 200)), np.int32),
        "bias": rng.integers(-300, 900, shape).astype(np.int32),
    }
    return Layer(name, shape, **{**values, **settings})


def even(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.integers(-128, 128, shape) * 2).astype(np.int16)


def program(seed: int) -> Program:
    """Convolution with groups, dense, sparse and recurrent synapses, graded input, delays, both resets, shifts both ways."""
    rng = np.random.default_rng(seed)
    rows = Sparse(
        (10, 10), np.arange(0, 31, 3), rng.integers(0, 10, 30).astype(np.int32), rng.integers(-100, 100, 30).astype(np.int16)
    )
    return Program(
        (Input("x", (2, 6, 6)), Input("g", (5,), message_bits=10)),
        (
            layer(rng, "c", (4, 6, 6), latency=1),
            layer(rng, "d", (10,), latency=2),
            layer(rng, "e", (10,), latency=3, reset="subtract", bias_exp=3),
        ),
        (
            Connection(
                "x", "c", Conv(rng.integers(-900, 900, (4, 1, 3, 3)).astype(np.int16), padding=(1, 1), groups=2), weight_exp=-2
            ),
            Connection("c", "d", Dense(even(rng, 10, 144)), weight_exp=int(rng.integers(0, 4))),
            Connection("g", "d", Dense(even(rng, 10, 5)), message_bits=10, delay=1, weight_exp=-6),
            Connection("d", "e", rows, weight_exp=2),
            Connection("e", "d", Dense(even(rng, 10, 10)), delay=2),
            Connection("e", "e", Dense(even(rng, 10, 10))),
        ),
        ("e",),
    )


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), large=st.booleans())
def test_bit_equal_to_the_simulator(seed: int, large: bool) -> None:
    made = program(seed)
    rng = np.random.default_rng(seed + 1)
    x = {
        "x": rng.random((12, 3, 2, 6, 6)) < 0.4,
        "g": rng.integers(-1023, 1024, (12, 3, 5)) if large else rng.integers(0, 3, (12, 3, 5)),
    }
    expected = hardware.simulate(made, x)
    for form in get_args(Form):
        found = run(build_program(made, form, steps=12, record=True), x)
        for name in ("c", "d", "e"):
            assert np.array_equal(found[name], expected.spikes[name]), (form, name)


def test_the_file_holds_integers_alone(tmp_path: Path) -> None:
    made = program(3)
    rng = np.random.default_rng(0)
    x = {"x": rng.random((4, 2, 2, 6, 6)) < 0.4, "g": rng.integers(-100, 100, (4, 2, 5))}
    model = onnx.load(export.program_to_onnx(made, x, tmp_path / "program.onnx"))
    assert {t.data_type for t in model.graph.initializer}.isdisjoint({onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE})
    assert [o.name for o in model.graph.output] == ["e"]


def test_sparse_weights_make_a_smaller_file_of_the_same_program(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight = np.where(rng.random((50, 400)) < 0.03, even(rng, 50, 400), 0).astype(np.int16)
    made = Program((Input("x", (400,)),), (layer(rng, "d", (50,), latency=1),), (Connection("x", "d", Dense(weight)),), ("d",))
    x = rng.random((4, 2, 400)) < 0.4
    dense = export.program_to_onnx(made, x, tmp_path / "dense.onnx")
    sparse = export.program_to_onnx(made, x, tmp_path / "sparse.onnx", sparse=True)
    assert sparse.stat().st_size < 0.6 * dense.stat().st_size


@pytest.mark.parametrize("values", [[-128, 127], [-256, 254], [-256, 255], [-32768, 32767], [0, 0]])
def test_weights_of_any_size_are_bytes_with_factors(values: list[int]) -> None:
    from filopodia.export.onnx_integer import _digits

    parts = _digits(np.array(values))
    assert all(digit.dtype == np.int8 for _, digit in parts)
    assert np.array_equal(sum(factor * digit.astype(np.int64) for factor, digit in parts), values)
