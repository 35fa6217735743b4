"""`simulate` as a user meets it: what it returns, what it counts, what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from filopodia.errors import InputError
from filopodia.hardware import simulate
from filopodia.hardware.program import Connection, Conv, Core, Dense, Input, Layer, Program


def layer(name: str, shape: tuple[int, ...], vth: int = 10, latency: int = 1) -> Layer:
    du, dv, bias = (np.int32(x) for x in (4095, 100, 0))
    return Layer(name, shape, np.asarray(du), np.asarray(dv), np.asarray(vth, np.int32), np.asarray(bias), latency=latency)


def small(cores: tuple[Core, ...] = ()) -> Program:
    rng = np.random.default_rng(3)
    kernel = (rng.integers(-20, 30, (3, 2, 3, 3)) * (rng.random((3, 2, 3, 3)) < 0.5)).astype(np.int16) * 2
    matrix = (rng.integers(-20, 30, (4, 75)) * (rng.random((4, 75)) < 0.3)).astype(np.int16) * 2
    return Program(
        (Input("x", (2, 5, 5)),),
        (layer("conv", (3, 5, 5), 40), layer("fc", (4,), 60, 2)),
        (Connection("x", "conv", Conv(kernel, padding=(1, 1))), Connection("conv", "fc", Dense(matrix))),
        ("fc",),
        cores=cores,
    )


def spikes(steps: int = 6, samples: int = 3) -> np.ndarray:
    return np.random.default_rng(4).random((steps, samples, 2, 5, 5)) < 0.3


def test_an_activity_holds_what_was_asked() -> None:
    activity = simulate(small(), spikes(), record=["spikes", "u", "v"])
    assert (activity.backend, activity.steps, activity.samples) == ("simulator", 6, 3)
    assert {name: (x.shape, x.dtype) for name, x in activity.spikes.items()} == {
        "x": ((6, 3, 2, 5, 5), np.bool_),
        "conv": ((6, 3, 3, 5, 5), np.bool_),
        "fc": ((6, 3, 4), np.bool_),
    }
    assert activity.states["u"]["conv"].shape == (6, 3, 3, 5, 5)
    np.testing.assert_array_equal(activity.rates["fc"], activity.spikes["fc"].sum(axis=0))
    assert activity.spikes["conv"].any()
    bare = simulate(small(), spikes(), record=[])
    assert (dict(bare.spikes), dict(bare.states)) == ({}, {})
    np.testing.assert_array_equal(bare.rates["fc"], activity.rates["fc"])


def test_counts_are_exact() -> None:
    program, sent = small(), spikes()
    activity = simulate(program, sent)
    kernel = program.connections[0].synapses
    assert isinstance(kernel, Conv)
    synops = np.zeros((6, 3), int)
    for t, n, c, y, x in np.argwhere(sent):
        for k_y, k_x in np.ndindex(3, 3):
            if 0 <= y + 1 - k_y < 5 and 0 <= x + 1 - k_x < 5:
                synops[t, n] += np.count_nonzero(kernel.weight[:, c, k_y, k_x])
    np.testing.assert_array_equal(activity.counts["conv"].synops, synops)
    np.testing.assert_array_equal(activity.counts["x"].spikes, sent.sum(axis=(2, 3, 4)))
    assert (activity.counts["conv"].updates == 75).all()
    assert (activity.counts["x"].updates == 0).all()
    assert (activity.counts["x"].synops == 0).all()
    assert (activity.counts["x"].messages == 0).all()
    matrix = program.connections[1].synapses
    assert isinstance(matrix, Dense)
    arriving = activity.spikes["conv"].reshape(6, 3, 75) @ np.count_nonzero(matrix.weight, axis=0)
    np.testing.assert_array_equal(activity.counts["fc"].synops, arriving)


def test_messages_count_destination_cores_once() -> None:
    halves = np.array_split(np.arange(75, dtype=np.int32), 2)
    cores = (
        Core(0, 0, (0, 0, 0), {"conv": halves[0]}, {}),
        Core(1, 0, (1, 0, 0), {"conv": halves[1], "fc": np.arange(2, dtype=np.int32)}, {}),
        Core(2, 0, (2, 0, 0), {"fc": np.arange(2, 4, dtype=np.int32)}, {}),
    )
    program, sent = small(cores), spikes()
    activity = simulate(program, sent)
    matrix = program.connections[1].synapses
    assert isinstance(matrix, Dense)
    reached = (matrix.weight[:2] != 0).any(axis=0).astype(int) + (matrix.weight[2:] != 0).any(axis=0)
    np.testing.assert_array_equal(activity.counts["conv"].messages, activity.spikes["conv"].reshape(6, 3, 75) @ reached)
    kernel = program.connections[0].synapses
    assert isinstance(kernel, Conv)
    home = np.where(np.arange(75) < len(halves[0]), 0, 1).reshape(3, 5, 5)
    expected = np.zeros((6, 3), int)
    for t, n, c, y, x in np.argwhere(sent):
        found = set()
        for o, k_y, k_x in np.ndindex(3, 3, 3):
            y_out, x_out = y + 1 - k_y, x + 1 - k_x
            if 0 <= y_out < 5 and 0 <= x_out < 5 and kernel.weight[o, c, k_y, k_x]:
                found.add(int(home[o, y_out, x_out]))
        expected[t, n] += len(found)
    np.testing.assert_array_equal(activity.counts["x"].messages, expected)
    assert (activity.counts["fc"].messages == 0).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_any_numeric_type_of_whole_numbers_is_taken(dtype: type) -> None:
    expected, got = simulate(small(), spikes()), simulate(small(), spikes().astype(dtype))
    np.testing.assert_array_equal(got.spikes["fc"], expected.spikes["fc"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (spikes()[:, :, 0], r"shape \[6, 3, 5, 5\]"),
        (spikes()[:0], "T = 0"),
        (spikes()[:, :0], "N = 0"),
        (np.where(spikes(), np.nan, 0), "NaN"),
        (spikes() * 0.5, "not whole numbers"),
        (np.where(spikes(), np.inf, 0), "values from 0.0 to inf"),
        (spikes() * 3, "values from 0 to 3"),
        (-spikes().astype(int), "values from -1 to 0"),
        (spikes().astype(complex), "type complex128"),
        (spikes().astype(str), "type <U"),
        ({"y": spikes()}, "arrays for y"),
        ({}, "arrays for nothing"),
    ],
)
def test_bad_spikes_are_refused_before_any_work(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate(small(), given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"memory": 1000}, "memory of 1000"),
        ({"threads": 0}, "threads: found 0"),
        ({"record": ["spike"]}, "record"),
        ({"record": "spikes"}, "record"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate(small(), spikes(), **arguments)
    with pytest.raises(InputError, match="Program or a Network"):
        simulate("model.nir", spikes())  # type: ignore[arg-type]


def test_a_simulated_program_cannot_be_changed_in_place() -> None:
    whole = np.full((4, 4), 2, np.int16)
    program = Program((Input("x", (4,)),), (layer("y", (2,)),), (Connection("x", "y", Dense(whole[:2])),), ("y",))
    simulate(program, np.ones((2, 1, 4), bool))
    for array in (whole, program.connections[0].synapses.weight, program.layers[0].vth):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1


def test_graded_messages_keep_their_range() -> None:
    connection = Connection("x", "y", Dense(np.full((1, 2), 2, np.int16)), message_bits=4)
    program = Program((Input("x", (2,), 4),), (layer("y", (1,)),), (connection,), ("y",))
    activity = simulate(program, np.full((2, 1, 2), 15), record=["spikes", "u"])
    assert activity.states["u"]["y"][0].item() == 60 << 6
    assert activity.spikes["x"].dtype == np.int32
    with pytest.raises(InputError, match="values from 16 to 16"):
        simulate(program, np.full((2, 1, 2), 16))


def test_programs_whose_arrays_do_not_fit_are_refused() -> None:
    def program(connection: Connection) -> Program:
        return Program((Input("x", (2, 4, 4)),), (layer("y", (2, 4, 4)),), (connection,), ("y",))

    for synapses, message in (
        (Dense(np.zeros((3, 32), np.int16)), "weight of shape"),
        (Dense(np.zeros((32, 32))), "type float64"),
        (Conv(np.zeros((2, 3, 3, 3), np.int16), padding=(1, 1)), "2 channels into"),
        (Conv(np.zeros((2, 2, 3, 3), np.int16)), r"gives \[2, 2, 2\]"),
    ):
        with pytest.raises(InputError, match=message):
            simulate(program(Connection("x", "y", synapses)), np.zeros((1, 1, 2, 4, 4), bool))
    loop = Connection("y", "y", Dense(np.zeros((32, 32), np.int16)))
    assert simulate(program(loop), np.zeros((2, 1, 2, 4, 4), bool)).steps == 2
