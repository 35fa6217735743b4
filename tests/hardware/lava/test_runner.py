"""`run_lava` gives the same Activity as `simulate`: fields, shapes, types, sample time, whatever the network's form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.lava import run_lava
from filopodia.hardware.lava.exchange import prepare, write
from filopodia.hardware.lava.plan import gap, plan_job
from filopodia.hardware.lava.runner import run_many
from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program, Synapses
from filopodia.hardware.simulator import reference
from filopodia.hardware.simulator.simulate import simulate

Case = tuple[Program, dict[str, np.ndarray]]


def layer(name: str, shape: tuple[int, ...], latency: int, bias: int = 20) -> Layer:
    du, dv, vth = (np.array(value, np.int32) for value in (2000, 100, 200))
    return Layer(name, shape, du, dv, vth, np.array(bias, np.int32), latency=latency)


def random(seed: int, *shape: int) -> np.ndarray:
    return (2 * np.random.default_rng(seed).integers(-60, 100, shape)).astype(np.int16)


def residual() -> Program:
    """A skip connection around two convolutions, balanced by a delay; always-on biases everywhere."""
    layers = (layer("a", (2, 4, 4), 1), layer("b", (2, 4, 4), 2), layer("c", (2, 4, 4), 3))
    conv = [Conv(random(k, 2, 2, 3, 3), padding=(1, 1)) for k in range(3)]
    one = Conv(np.eye(2, dtype=np.int16).reshape(2, 2, 1, 1) * 128)
    connections = (
        Connection("in", "a", conv[0]),
        Connection("a", "b", conv[1]),
        Connection("b", "c", conv[2]),
        Connection("a", "c", one, delay=1),
    )
    return Program((Input("in", (2, 4, 4)),), layers, connections, ("c",))


def recurrent() -> Program:
    """A layer that feeds itself, and a loop over two layers."""
    layers = (layer("a", (6,), 1), layer("b", (5,), 2))
    connections = (
        Connection("in", "a", Dense(random(1, 6, 4))),
        Connection("a", "a", Dense(random(2, 6, 6))),
        Connection("a", "b", Dense(random(3, 5, 6))),
        Connection("b", "a", Dense(random(4, 6, 5)), delay=2),
    )
    return Program((Input("in", (4,)),), layers, connections, ("b",))


def apart() -> Program:
    """Two inputs, graded and binary, into parts that nothing connects, and a layer that only its bias drives."""
    layers = (layer("a", (3,), 1), layer("b", (2,), 1), layer("alone", (2,), 4))
    connections = (
        Connection("graded", "a", Dense(random(1, 3, 2)), message_bits=8),
        Connection("binary", "b", Dense(random(2, 2, 3))),
    )
    return Program((Input("graded", (2,), 8), Input("binary", (3,))), layers, connections, ("b", "a"))


def given(program: Program, steps: int, samples: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    spikes = {node.name: rng.random((steps, samples, *node.shape)) < 0.4 for node in program.inputs}
    return {
        x.name: spikes[x.name] * rng.integers(-255, 256, spikes[x.name].shape) if x.message_bits else spikes[x.name]
        for x in program.inputs
    }


ORDER = [2, 0, 3, 1]


@pytest.fixture(scope="module")
def ran(lava: str) -> tuple[list[Case], list[Activity]]:
    """One start of Lava: networks of three forms, then the recurrent one with samples in another order, then each alone."""
    cases: list[Case] = [(program, given(program, 7, 4)) for program in (residual(), recurrent(), apart())]
    spikes = cases[1][1]["in"]
    cases += [(recurrent(), {"in": spikes[:, picked]}) for picked in (ORDER, [0], [1], [2], [3])]
    return cases, run_many(cases, record=("spikes", "u", "v"), actors="threads")


@pytest.mark.lava
def test_same_activity_as_the_simulator(ran: tuple[list[Case], list[Activity]]) -> None:
    for (program, spikes), activity in list(zip(*ran, strict=True))[:3]:
        expected = simulate(program, spikes, record=("spikes", "u", "v"))
        assert activity.backend == "lava 0.10.0"
        assert (activity.steps, activity.samples) == (7, 4)
        for mine, theirs in ((activity.spikes, expected.spikes), (activity.rates, expected.rates)):
            assert set(mine) == set(theirs)
            for name in theirs:
                assert mine[name].dtype == theirs[name].dtype
                np.testing.assert_array_equal(mine[name], theirs[name])
        for state in ("u", "v"):
            assert set(activity.states[state]) == set(expected.states[state])
            for name, values in expected.states[state].items():
                assert activity.states[state][name].dtype == values.dtype
                np.testing.assert_array_equal(activity.states[state][name], values)


@pytest.mark.lava
def test_samples_do_not_see_each_other(ran: tuple[list[Case], list[Activity]]) -> None:
    """One run of many samples gives what a fresh run of Lava gives for each sample alone, in any order."""
    _, together, _, shuffled, *alone = ran[1]
    for name in ("a", "b"):
        for k in range(4):
            np.testing.assert_array_equal(together.states["v"][name][:, k], alone[k].states["v"][name][:, 0])
            np.testing.assert_array_equal(together.spikes[name][:, k], alone[k].spikes[name][:, 0])
        np.testing.assert_array_equal(shuffled.states["u"][name], together.states["u"][name][:, ORDER])


@pytest.mark.lava
def test_progress_and_rates_without_a_record(lava: str) -> None:
    program, seen = residual(), []
    activity = run_lava(program, given(program, 4, 6)["in"], record=(), progress=lambda *state: seen.append(state))
    assert seen[0] == ("lava", 0, 6)
    assert seen[-1] == ("lava", 6, 6)
    assert activity.spikes == {}
    assert activity.states == {}
    expected = reference.run(program, given(program, 4, 6)).spikes["c"].sum(axis=0)
    np.testing.assert_array_equal(activity.rates["c"].reshape(6, -1), expected)


def test_without_a_record_only_sums_are_kept(tmp_path: Path) -> None:
    program = residual()
    for record, files, size in ((frozenset[str](), ["rates"], 4 * 6 * 32), (frozenset({"spikes"}), ["spikes"], 9 * 6 * 32)):
        run = prepare(program, given(program, 9, 6), record, "job0")
        kept = {layer["name"]: sorted(layer["record"]) for layer in run.job.plan["layers"]}
        assert kept["c"] == files
        write([run], tmp_path, "test", "Loihi2SimCfg", "threads")
        assert sum(path.stat().st_size for path in tmp_path.glob("job0-layer2-*.bin")) == size
        for path in tmp_path.iterdir():
            path.unlink()


def test_gap_is_the_longest_lag() -> None:
    assert gap(residual()) == 0
    assert gap(recurrent()) == 4
    assert gap(apart()) == 0


@pytest.mark.parametrize(
    ("weight", "bits", "exponent", "kind"),
    [
        (254, 0, 0, "sparse"),
        (255, 0, 0, "sparse"),  # one sign keeps its last bit
        (256, 0, 0, "conv"),  # Sparse would clip it to 255
        (254, 16, 0, "conv"),  # the sum may pass the 24 bits that Conv keeps
        (2, 0, 22, "conv"),
    ],
)
def test_a_convolution_becomes_sparse_only_where_that_is_the_same(weight: int, bits: int, exponent: int, kind: str) -> None:
    conv = Conv(np.full((1, 1, 1, 1), weight, np.int16))
    connection = Connection("in", "a", conv, weight_exp=exponent, message_bits=bits)
    program = Program((Input("in", (1, 2, 2), bits),), (layer("a", (1, 2, 2), 1),), (connection,), ("a",))
    assert plan_job(program, steps=1, samples=1, record={}).plan["connections"][0]["kind"] == kind


@pytest.mark.parametrize(("density", "delay", "kind"), [(0.9, 0, "dense"), (0.1, 0, "sparse"), (0.9, 1, "sparse")])
def test_dense_weights_go_where_lava_is_faster(density: float, delay: int, kind: str) -> None:
    rng = np.random.default_rng(0)
    weight = np.where(rng.random((20, 30)) < density, 2, 0).astype(np.int16)
    synapses: Synapses = Dense(weight)
    connection = Connection("in", "a", synapses, delay=delay)
    program = Program((Input("in", (30,)),), (layer("a", (20,), 1),), (connection,), ("a",))
    assert plan_job(program, steps=1, samples=1, record={}).plan["connections"][0]["kind"] == kind


def test_wrong_calls_are_refused_before_lava_starts() -> None:
    program = residual()
    with pytest.raises(InputError, match="record"):
        run_lava(program, given(program, 2, 1), record=("spikes", "w"))
    with pytest.raises(InputError, match=r"shape \[2, 1, 2, 4\]"):
        run_lava(program, np.zeros((2, 1, 2, 4), bool))
