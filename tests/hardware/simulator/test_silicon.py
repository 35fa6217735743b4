"""The silicon's arithmetic: against a second, naive way to write it, and the same as Lava's wherever the compiler stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lava_programs
import nir_networks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filopodia import hardware
from filopodia.errors import ChipLimitError, InputError
from filopodia.hardware.network.load import load
from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program, Sparse
from filopodia.hardware.simulator import on_silicon, reference, silicon

STATES = ("spikes", "u", "v")


def _layer(size: int, **fields: Any) -> Layer:
    values = {"du": 4095, "dv": 0, "vth": 100, "bias": 0} | fields
    exp = values.pop("bias_exp", 6)
    return Layer("a", (size,), **{name: np.asarray(value, np.int32) for name, value in values.items()}, bias_exp=exp)


def _naive(program: Program, sent: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spikes, u, v [T, n] of one dense layer and one sample, number by number in Python's own integers."""

    def wrapped(x: int, bits: int) -> int:
        kept = x & ((2 << bits) - 1)
        return kept - (2 << bits) if kept >> bits else kept

    (connection,), (layer,) = program.connections, program.layers
    bits = 8 - connection.weight_bits + (connection.sign_mode == "mixed")
    weights = connection.synapses.weight.tolist()  # type: ignore[union-attr]
    low, high = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0)}[connection.sign_mode]
    size, out = layer.size, []
    du, dv, vth, bias = (np.broadcast_to(x, (size,)).tolist() for x in (layer.du, layer.dv, layer.vth, layer.bias))
    u, v = [0] * size, [0] * size
    for messages in sent.astype(int).tolist():
        fired = [False] * size
        for i in range(size):
            total = 0
            for weight, message in zip(weights[i], messages, strict=True):
                held = int(min(max(weight, low), high) / 2**bits) * 2**bits  # int() cuts towards zero
                one = held << connection.weight_exp if connection.weight_exp >= 0 else held >> -connection.weight_exp
                total += one * (message if connection.message_bits else int(message != 0))
            kept = abs(u[i]) * (4095 - du[i]) >> 12
            u[i] = wrapped((kept if u[i] >= 0 else -kept) + (wrapped(total, 15) << 6), 23)
            kept = abs(v[i]) * (4096 - dv[i]) >> 12
            constant = bias[i] << layer.bias_exp
            v[i] = (kept if v[i] >= 0 else -kept) + wrapped(u[i] + constant, 23)
            v[i] = min(max(v[i], 1 - 2**23), 2**23 - 1)
            fired[i] = v[i] > vth[i] << 6
            v[i] = 0 if fired[i] else v[i]
        out.append((fired, list(u), list(v)))
    return tuple(np.array([step[k] for step in out]) for k in range(3))  # type: ignore[return-value]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_dense_layer_follows_the_naive_rules(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    n, m = data.draw(st.integers(1, 4)), data.draw(st.sampled_from([1, 3, 40, 300]))
    graded = data.draw(st.sampled_from([0, 0, 4, 12]))
    largest = data.draw(st.sampled_from([3, 255, 400]))
    weight = rng.integers(-largest, largest + 1, (n, m)) * (rng.random((n, m)) < 0.7)
    mode = data.draw(st.sampled_from(["mixed", "mixed", "excitatory", "inhibitory"]))
    layer = _layer(
        n,
        du=rng.choice([0, 7, 400, 4000, 4095], data.draw(st.sampled_from([(), (n,)]))),
        dv=int(rng.choice([0, 1, 128, 4095])),
        vth=int(rng.choice([0, 100, 5000, 131071])),
        bias=int(rng.choice([0, -20, 4095, -4095])),
        bias_exp=int(rng.choice([0, 6, 7])),
    )
    exponent, bits = data.draw(st.sampled_from([0, 0, 1, 5, 7, -1, -2, -6, -8])), data.draw(st.sampled_from([8, 8, 6, 1]))
    dense = Dense(weight.astype(np.int16))
    connection = Connection("in", "a", dense, exponent, bits, graded, mode)  # type: ignore[arg-type]
    program = Program((Input("in", (m,), graded),), (layer,), (connection,), ("a",))
    present = rng.random((8, 1, m)) < 0.6
    sent = present * rng.integers(1 - 2**graded, 2**graded, present.shape) if graded else present
    ran = hardware.simulate(program, sent, record=STATES, arithmetic="loihi")
    for found, expected in zip((ran.spikes, *ran.states.values()), _naive(program, sent[:, 0]), strict=True):
        np.testing.assert_array_equal(found["a"][:, 0], expected)


def test_kernels_and_reference_agree_on_random_programs() -> None:
    """Every topology and connection; those with numbers that no chip can hold are refused."""
    ways = {"kernels": 0, "kernels, other weights": 0, "reference": 0, "refused": 0}
    for case in lava_programs.draw_cases(400, seed=3):
        try:
            chip = silicon.on_silicon(case.program)
        except ChipLimitError:
            ways["refused"] += 1
            continue
        steps = next(iter(case.spikes.values())).shape[0]
        safe = silicon.cannot_overflow(chip, steps)
        ways["reference" if not safe else "kernels" if chip is case.program else "kernels, other weights"] += 1
        trace = reference.run(chip, case.spikes, silicon.update)
        ran = hardware.simulate(case.program, case.spikes, record=STATES, arithmetic="loihi")
        for layer in case.program.layers:
            shape = ran.spikes[layer.name].shape
            np.testing.assert_array_equal(ran.spikes[layer.name], trace.spikes[layer.name].reshape(shape))
            np.testing.assert_array_equal(ran.states["u"][layer.name], trace.u[layer.name].reshape(shape))
            np.testing.assert_array_equal(ran.states["v"][layer.name], trace.v[layer.name].reshape(shape))
    assert min(ways.values()) >= 5, ways


def test_compiled_programs_mean_the_same_in_both() -> None:
    safe = 0
    for seed in range(40):
        program, messages = nir_networks.compiled(seed)
        assert silicon.on_silicon(program) is program
        steps = next(iter(messages.values())).shape[0]
        safe += silicon.cannot_overflow(program, steps)
        lava, loihi = (hardware.simulate(program, messages, record=STATES, arithmetic=a) for a in ("lava", "loihi"))
        for layer in program.layers:
            np.testing.assert_array_equal(lava.spikes[layer.name], loihi.spikes[layer.name])
            np.testing.assert_array_equal(lava.states["v"][layer.name], loihi.states["v"][layer.name])
    assert safe > 30  # the kernels serve nearly all


def test_counts_are_those_of_the_program_as_it_was_given() -> None:
    """Synapses whose weight vanishes on the chip are there all the same; both ways of counting agree on a placed program."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-3, 4, (30, 20)).astype(np.int16)
    layer = _layer(30, vth=0)
    rows, columns = np.nonzero(weight)
    sparse = Sparse((30, 20), np.searchsorted(rows, np.arange(31)), columns.astype(np.int32), weight[rows, columns])
    program = Program((Input("in", (20,)),), (layer,), (Connection("in", "a", sparse, weight_exp=-1),), ("a",))
    spikes = rng.random((6, 3, 20)) < 0.4
    ran = hardware.simulate(program, spikes, arithmetic="loihi")
    hardware.estimate(ran, program, "loihi2")  # counts again from the spikes, and refuses counts that differ
    lava = hardware.simulate(program, spikes)
    np.testing.assert_array_equal(ran.counts["a"].synops, lava.counts["a"].synops)
    assert not np.array_equal(ran.spikes["a"], lava.spikes["a"])


def test_counts_from_spikes_are_those_of_the_kernels() -> None:
    rng = np.random.default_rng(1)
    conv = Conv((2 * rng.integers(-60, 100, (4, 2, 3, 3))).astype(np.int16), padding=(1, 1), stride=(2, 1))
    fc = Dense((2 * rng.integers(-60, 100, (9, 4 * 3 * 6))).astype(np.int16))
    layers = (
        Layer("a", (4, 3, 6), *(np.asarray(x, np.int32) for x in (4095, 0, 100, 0)), latency=1),
        Layer("b", (9,), *(np.asarray(x, np.int32) for x in (4095, 0, 100, 0)), latency=2),
    )
    connections = (
        Connection("in", "a", conv),
        Connection("a", "b", fc),
        Connection("b", "b", Dense(fc.weight[:, :9]), delay=1),
    )
    program = Program((Input("in", (2, 6, 6)),), layers, connections, ("b",))
    from filopodia.hardware.chip import load_chip
    from filopodia.hardware.compiler.place import place

    placed = Program(program.inputs, layers, connections, ("b",), cores=place(program, load_chip("loihi1")).cores)
    spikes = rng.random((7, 4, 2, 6, 6)) < 0.3
    ran = hardware.simulate(placed, spikes)
    for name, found in on_silicon.counts(placed, ran.spikes).items():
        for event in ("spikes", "synops", "updates", "messages"):
            np.testing.assert_array_equal(getattr(found, event), getattr(ran.counts[name], event), f"{name} {event}")


def test_current_and_bias_wrap_where_lava_holds_them() -> None:
    program = Program(
        (Input("in", (1,)),),
        (_layer(1, du=0, dv=4095, vth=131071, bias=4095, bias_exp=7),),
        (Connection("in", "a", Dense(np.array([[250]], np.int16)), weight_exp=7),),
        ("a",),
    )
    always = np.ones((4, 1, 1), bool)
    lava, loihi = (hardware.simulate(program, always, record=STATES, arithmetic=a) for a in ("lava", "loihi"))
    np.testing.assert_array_equal(lava.states["u"]["a"], loihi.states["u"]["a"])
    assert lava.states["v"]["a"].ravel()[-1] == 0  # over the threshold: fired
    assert loihi.states["v"]["a"].ravel()[-1] < 0  # u + bias went past 2^23
    u = np.array([[2**23 - 64]], np.int32)
    edge = _layer(1, du=-1, vth=131071)  # keeps all of u, for the edge itself
    on_lava, on_chip = (
        rule(edge, u, u * 0, np.array([[1]], np.int32))[0].item() for rule in (reference.update, silicon.update)
    )
    assert (on_lava, on_chip) == (2**23, -(2**23))


def test_numbers_no_field_can_hold_are_refused_all_at_once() -> None:
    layer = _layer(1, du=-1, vth=2**18)
    program = Program((Input("in", (1,)),), (layer,), (Connection("in", "a", Dense(np.ones((1, 1), np.int16)), 9),), ("a",))
    with pytest.raises(ChipLimitError) as caught:
        hardware.simulate(program, np.ones((1, 1, 1), bool), arithmetic="loihi")
    assert {violation.rule for violation in caught.value.violations} == {"du", "vth", "weight_exp"}


def test_memory_is_kept_and_progress_told() -> None:
    rng = np.random.default_rng(2)
    dense = Dense(rng.integers(-255, 256, (50, 400)).astype(np.int16))
    program = Program((Input("in", (400,)),), (_layer(50),), (Connection("in", "a", dense, weight_exp=3),), ("a",))
    spikes, seen = rng.random((5, 8, 400)) < 0.5, list[int]()
    in_parts = hardware.simulate(
        program, spikes, arithmetic="loihi", memory=9 * 5 * 50 * 3, progress=lambda _, done, total: seen.append(done)
    )
    assert seen == [3, 6, 8]
    whole = hardware.simulate(program, spikes, arithmetic="loihi")
    np.testing.assert_array_equal(in_parts.spikes["a"], whole.spikes["a"])


def test_wrong_wishes_are_refused(tmp_path: Path) -> None:
    program = Program((Input("in", (1,)),), (_layer(1),), (Connection("in", "a", Dense(np.ones((1, 1), np.int16))),), ("a",))
    with pytest.raises(InputError, match="lava or loihi"):
        hardware.simulate(program, np.ones((1, 1, 1), bool), arithmetic="silicon")  # type: ignore[arg-type]
    import nir

    nodes = {
        "input": nir.Input({"input": np.array([1])}),
        "fc": nir.Linear(np.ones((1, 1), np.float32)),
        "n": nir.IF(np.full(1, 1e3), np.ones(1), np.zeros(1)),
        "output": nir.Output({"output": np.array([1])}),
    }
    network = load(nir.NIRGraph(nodes, [("input", "fc"), ("fc", "n"), ("n", "output")], type_check=False), dt=1e-3)
    with pytest.raises(InputError, match="compile it first"):
        hardware.simulate(network, np.ones((1, 1, 1), bool), arithmetic="loihi")
