"""What must not change a count or a cost, and what must change it in one way only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from filopodia.hardware import Estimate, estimate
from filopodia.hardware.activity import Activity
from filopodia.hardware.energy.count import count_events
from filopodia.hardware.energy.neurobench import footprint
from filopodia.hardware.program import Connection, Core, Dense, Input, Layer, Program, Sparse

TABLE = "loihi1/davies2018"


def layer(name: str, size: int, latency: int) -> Layer:
    one, none = np.array(1, np.int32), np.array(0, np.int32)
    return Layer(name, (size,), du=one, dv=one, vth=one, bias=none, latency=latency)


def sparse(kept: NDArray[np.bool_]) -> Sparse:
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    return Sparse(kept.shape, indptr, np.nonzero(kept)[1].astype(np.int32), np.full(int(kept.sum()), 2, np.int16))


def made(seed: int, positions: tuple[tuple[int, int, int], ...] = ((0, 0, 0), (3, 2, 0))) -> tuple[Program, Activity]:
    """Input 9 -> 14 on two cores -> 5 beside the second part; input 8 never fires; random spikes [6, 4, ...]."""
    rng = np.random.default_rng(seed)
    halves = np.array_split(np.arange(14, dtype=np.int32), 2)
    program = Program(
        (Input("in", (9,)),),
        (layer("h", 14, 1), layer("o", 5, 2)),
        (Connection("in", "h", sparse(rng.random((14, 9)) < 0.5)), Connection("h", "o", sparse(rng.random((5, 14)) < 0.5))),
        ("o",),
        "loihi1",
        (
            Core(0, 0, positions[0], {"h": halves[0]}, {}),
            Core(1, 0, positions[1], {"h": halves[1], "o": np.arange(5, dtype=np.int32)}, {}),
        ),
    )
    spikes = {name: rng.random((6, 4, size)) < 0.3 for name, size in (("in", 9), ("h", 14), ("o", 5))}
    spikes["in"][..., 8] = False
    return program, Activity("drawn", 6, 4, spikes, {})


def causes(found: Estimate) -> dict[str, tuple[float, float]]:
    return {c.name: (c.count, c.energy.nominal if c.energy else 0.0) for c in found.by_cause}


@given(st.integers(0, 50), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_counts_of_parts_of_the_samples_add_up(seed: int, cut: int) -> None:
    program, activity = made(seed)
    parts = [
        Activity("drawn", 6, n, {name: spikes[:, some] for name, spikes in activity.spikes.items()}, {})
        for some, n in ((slice(0, cut), cut), (slice(cut, 4), 4 - cut))
    ]
    whole, halves = count_events(activity, program), [count_events(part, program) for part in parts]
    for name, events in whole.items():
        for field in ("all_synops", "updates", "spikes", "messages", "hops_x", "hops_y", "arrivals"):
            joined = np.concatenate([getattr(half[name], field) for half in halves], axis=2)
            np.testing.assert_array_equal(getattr(events, field), joined)
    found = estimate(activity, program, TABLE)
    mean = sum(part.samples * estimate(part, program, TABLE).dynamic.nominal for part in parts) / 4
    assert found.dynamic.nominal == pytest.approx(mean)
    assert found.dynamic.nominal == pytest.approx(sum(one.energy.nominal for one in found.by_layer))


@given(st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_pruning_an_input_that_never_fires_changes_memory_alone(seed: int) -> None:
    program, activity = made(seed)
    first = program.connections[0]
    assert isinstance(first.synapses, Sparse)
    kept = np.zeros(first.synapses.shape, bool)
    kept[np.repeat(np.arange(14), np.diff(first.synapses.indptr)), first.synapses.indices] = True
    kept[0, 8] = True
    full = replace(program, connections=(replace(first, synapses=sparse(kept)), *program.connections[1:]))
    kept[:, 8] = False
    pruned = replace(program, connections=(replace(first, synapses=sparse(kept)), *program.connections[1:]))
    assert estimate(activity, full, TABLE) == estimate(activity, pruned, TABLE)
    assert footprint(pruned) < footprint(full)


@given(st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_the_order_of_neurons_within_a_core_costs_nothing(seed: int) -> None:
    program, activity = made(seed)
    order = np.concatenate([np.random.default_rng(seed).permutation(7), 7 + np.random.default_rng(seed).permutation(7)])
    matrices = []
    for connection in program.connections:
        assert isinstance(connection.synapses, Sparse)
        dense = np.zeros(connection.synapses.shape, bool)
        rows = np.repeat(np.arange(len(dense)), np.diff(connection.synapses.indptr))
        dense[rows, connection.synapses.indices] = True
        matrices.append(dense)
    moved = replace(
        program,
        connections=(
            replace(program.connections[0], synapses=sparse(matrices[0][order])),
            replace(program.connections[1], synapses=sparse(matrices[1][:, order])),
        ),
    )
    other = replace(activity, spikes={**activity.spikes, "h": activity.spikes["h"][..., order]})
    ours, theirs = estimate(activity, program, TABLE), estimate(other, moved, TABLE)
    assert causes(ours) == causes(theirs)
    assert [one.energy for one in ours.by_core] == [one.energy for one in theirs.by_core]


def test_more_steps_without_spikes_add_updates_and_static_energy_alone() -> None:
    program, activity = made(7)
    longer = {name: np.concatenate([spikes, np.zeros_like(spikes)]) for name, spikes in activity.spikes.items()}
    for spikes in longer.values():
        spikes[5] = False  # what the last step sends would arrive in the first step more
    short = replace(activity, spikes={name: spikes[:6] for name, spikes in longer.items()})
    long = Activity("drawn", 12, 4, longer, {})
    before, after = estimate(short, program, TABLE), estimate(long, program, TABLE)
    events, more = causes(before), causes(after)
    assert more.pop("neuron updates") == pytest.approx(tuple(2 * value for value in events.pop("neuron updates")))
    assert more == events
    assert before.static is not None
    assert after.static is not None
    assert after.static.nominal > before.static.nominal


def test_messages_within_a_tile_take_no_hops() -> None:
    apart, together = (made(3, positions)[0] for positions in (((0, 0, 0), (3, 2, 0)), ((2, 1, 0), (2, 1, 1))))
    _, activity = made(3)
    there = causes(estimate(activity, apart, TABLE))
    here = causes(estimate(activity, together, TABLE))
    assert there.pop("hops")[0] > 0
    assert "hops" not in here
    assert here == there


def test_dense_weights_cost_what_sparse_ones_do_but_for_their_zeros() -> None:
    program, activity = made(5)
    last = program.connections[1]
    assert isinstance(last.synapses, Sparse)
    weight = np.zeros(last.synapses.shape, np.int16)
    weight[np.repeat(np.arange(5), np.diff(last.synapses.indptr)), last.synapses.indices] = 2
    dense = replace(program, connections=(program.connections[0], replace(last, synapses=Dense(weight))))
    ours, theirs = causes(estimate(activity, program, TABLE)), causes(estimate(activity, dense, TABLE))
    assert theirs.pop("stored zeros")[0] > 0
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name] == pytest.approx(theirs[name])
