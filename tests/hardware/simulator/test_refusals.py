"""What `simulate` is given is checked before any work, in the same words for programs and for networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import pytest

from filopodia.errors import InputError
from filopodia.hardware import Connection, Dense, Input, Layer, Network, Program, load, simulate

SPIKES = np.ones((3, 2, 4), np.uint8)


def program() -> Program:
    one, none = np.ones(2, np.int32), np.zeros(2, np.int32)
    layer = Layer("y", (2,), du=none, dv=none, vth=one, bias=none)
    return Program((Input("x", (4,)),), (layer,), (Connection("x", "y", Dense(np.full((2, 4), 2, np.int16))),), ("y",))


def network() -> Network:
    nodes = {
        "x": nir.Input({"input": np.array([4])}),
        "fc": nir.Affine(np.ones((2, 4), np.float32), np.zeros(2, np.float32)),
        "y": nir.IF(r=np.full(2, 1000.0), v_threshold=np.ones(2), v_reset=np.zeros(2)),
        "out": nir.Output({"output": np.array([2])}),
    }
    return load(nir.NIRGraph(nodes, [("x", "fc"), ("fc", "y"), ("y", "out")]), dt=1e-3, discretization="euler", reset="zero")


both = pytest.mark.parametrize("source", [program, network])


class Refusing:
    def __array__(self, *args: Any, **named: Any) -> Any:
        raise RuntimeError("not on this device")


@both
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([[[1, 0, 0, 1], [1, 0]]], "a list that is no array"),
        ({"x": [[1], [1, 0]]}, "spikes for input x: a list that is no array"),
        (Refusing(), "not on this device"),
        (None, "object"),
        ((x for x in SPIKES), "object"),
        (SPIKES.astype(object), "object"),
        (SPIKES.astype(complex), "complex128"),
        (SPIKES.astype(str), "<U3"),
        (SPIKES.astype("M8[s]"), "datetime64"),
        (np.zeros(SPIKES.shape, [("a", "i4")]), r"\[\('a', '<i4'\)\]"),
        (SPIKES[0], r"\[2, 4\]"),
        (SPIKES.swapaxes(1, 2), r"\[3, 4, 2\]"),
        (SPIKES[:0], r"T = 0|\[0, 2, 4\]"),
        (SPIKES[:, :0], r"N = 0|\[3, 0, 4\]"),
        (np.where(SPIKES, np.nan, 0), "NaN|not finite"),
        (np.where(SPIKES, np.inf, 0).astype(np.float16), "inf|not finite"),
        (np.where(SPIKES, -1e300, 0), "1e\\+300"),
        ({}, "arrays for nothing"),
        ({"z": SPIKES}, "arrays for z"),
        ({"x": SPIKES, 7: SPIKES}, "arrays for x, 7"),
    ],
)
def test_what_is_no_input_is_refused(source: Callable[[], Program | Network], given: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        simulate(source(), given)


@both
def test_tensors_are_taken_and_refused_with_a_way_out(source: Callable[[], Program | Network]) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(SPIKES).float()
    np.testing.assert_array_equal(simulate(source(), tensor).spikes["y"], simulate(source(), SPIKES).spikes["y"])
    for bad in (tensor.clone().requires_grad_(), tensor.bfloat16(), tensor.to_sparse(), torch.empty(3, 2, 4, device="meta")):
        with pytest.raises(InputError, match=r"a Tensor that is no array[\s\S]*detach\(\)\.cpu\(\)\.numpy\(\)"):
            simulate(source(), bad)


@both
@pytest.mark.parametrize(
    "spikes", [np.asfortranarray(SPIKES), SPIKES[::-1, ::-1, ::-1], np.broadcast_to(SPIKES[:1], (3, 2, 4))]
)
def test_any_layout_in_memory_is_taken(source: Callable[[], Program | Network], spikes: Any) -> None:
    np.testing.assert_array_equal(simulate(source(), spikes).spikes["y"], simulate(source(), spikes.copy()).spikes["y"])


@both
@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("memory", [0, -1, 1e9, float("nan"), float("inf"), None, "1 GB", True]),
        ("threads", [0, -1, 1.5, 2.0, float("nan"), "2", True, False, np.array([1, 2])]),
        ("progress", ["bar", True, 1]),
        ("record", [None, 3, "u", b"u", ["w"], [3], [["u"]]]),
        ("arithmetic", ["float", None, ["lava"]]),
    ],
)
def test_settings_of_another_type_or_range_are_refused(
    source: Callable[[], Program | Network], setting: str, values: list[Any]
) -> None:
    for value in values:
        with pytest.raises(InputError, match=setting):
            simulate(source(), SPIKES, **{setting: value})


@both
def test_settings_may_be_of_any_integer_type_and_records_any_collection(source: Callable[[], Program | Network]) -> None:
    activity = simulate(source(), SPIKES, threads=np.int32(1), memory=np.int64(2**28), record=(name for name in ("u", "v")))
    assert set(activity.states) == {"u", "v"}


@both
def test_memory_that_cannot_hold_one_sample_is_refused(source: Callable[[], Program | Network]) -> None:
    with pytest.raises(InputError, match="bytes"):
        simulate(source(), SPIKES, memory=1)
