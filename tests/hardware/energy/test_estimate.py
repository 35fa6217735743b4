"""Counting against brute force, pricing by hand, and what an estimate says about itself."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from filopodia.errors import InputError
from filopodia.hardware import against_baselines, ann, estimate
from filopodia.hardware.activity import Activity, Counts
from filopodia.hardware.chip import load_costs
from filopodia.hardware.energy.baselines import fair_bits
from filopodia.hardware.energy.count import count_events
from filopodia.hardware.energy.fanout import conv_shape, fanout, image_shape
from filopodia.hardware.energy.work import work
from filopodia.hardware.program import Connection, Conv, Core, Dense, Input, Layer, Program, Sparse, Synapses


def matrix(synapses: Synapses, source: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Weights [n_target, n_source] one by one, and which synapses are stored."""
    if isinstance(synapses, Dense):
        return synapses.weight.astype(np.int64), np.ones(synapses.weight.shape, bool)
    if isinstance(synapses, Sparse):
        weight, stored = np.zeros(synapses.shape, np.int64), np.zeros(synapses.shape, bool)
        rows = np.repeat(np.arange(synapses.shape[0]), np.diff(synapses.indptr))
        weight[rows, synapses.indices], stored[rows, synapses.indices] = synapses.data, True
        return weight, stored
    channels, height, width = image_shape(source)
    c_out, h_out, w_out = conv_shape(synapses, (channels, height, width))
    weight = np.zeros((c_out, h_out, w_out, channels, height, width), np.int64)
    stored = np.zeros(weight.shape, bool)
    per_group = c_out // synapses.groups
    for o, i, ky, kx in np.ndindex(*synapses.weight.shape):
        channel = o // per_group * synapses.weight.shape[1] + i
        for y, x in np.ndindex(h_out, w_out):
            row = y * synapses.stride[0] + ky * synapses.dilation[0] - synapses.padding[0]
            column = x * synapses.stride[1] + kx * synapses.dilation[1] - synapses.padding[1]
            if 0 <= row < height and 0 <= column < width:
                weight[o, y, x, channel, row, column] = synapses.weight[o, i, ky, kx]
                stored[o, y, x, channel, row, column] = True
    size = c_out * h_out * w_out
    return weight.reshape(size, -1), stored.reshape(size, -1)


def sparse(weight: NDArray[np.int16], stored: NDArray[np.bool_]) -> Sparse:
    indptr = np.concatenate([[0], np.cumsum(stored.sum(axis=1))])
    return Sparse(weight.shape, indptr, np.nonzero(stored)[1].astype(np.int32), weight[stored])


def layer(name: str, shape: tuple[int, ...], latency: int = 1) -> Layer:
    one, none = np.array(1, np.int32), np.array(0, np.int32)
    return Layer(name, shape, du=one, dv=one, vth=one, bias=none, latency=latency)


def small(seed: int = 0, *, cores: bool = True) -> tuple[Program, Activity]:
    """Input [2, 5, 6] -> conv [4, 3, 3] -> sparse 7 -> dense 3, and a skip from the conv to the last; random spikes."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> NDArray[np.int16]:
        return (2 * rng.integers(-9, 9, shape) * (rng.random(shape) < 0.4)).astype(np.int16)

    hidden = weights(7, 36)
    program = Program(
        inputs=(Input("in", (2, 5, 6)),),
        layers=(layer("c", (4, 3, 3)), layer("s", (7,), 2), layer("d", (3,), 3)),
        connections=(
            Connection("in", "c", Conv(weights(4, 2, 3, 3), stride=(2, 2), padding=(1, 1))),
            Connection("c", "s", sparse(hidden, (hidden != 0) | (rng.random(hidden.shape) < 0.1))),
            Connection("s", "d", Dense(weights(3, 7))),
            Connection("c", "d", Dense(weights(3, 36)), delay=2),
        ),
        outputs=("d",),
        chip="loihi2",
        cores=(
            Core(0, 0, (0, 0, 0), {"c": np.array([i for i in range(36) if i % 3 < 2], np.int32)}, {}),
            Core(1, 0, (1, 0, 0), {"c": np.array([i for i in range(36) if i % 3 == 2], np.int32)}, {}),
            Core(2, 0, (2, 3, 0), {"s": np.arange(7, dtype=np.int32), "d": np.arange(2, dtype=np.int32)}, {}),
            Core(3, 1, (0, 0, 0), {"d": np.array([2], np.int32)}, {}),
        )
        if cores
        else (),
    )
    shapes = {"in": (2, 5, 6), "c": (4, 3, 3), "s": (7,), "d": (3,)}
    spikes = {name: rng.random((4, 3, *shape)) < 0.3 for name, shape in shapes.items()}
    return program, Activity("test", 4, 3, spikes, {})


def lagged(spikes: NDArray[np.bool_], lag: int) -> NDArray[np.int64]:
    flat = spikes.reshape(*spikes.shape[:2], -1).astype(np.int64)
    return np.concatenate([np.zeros_like(flat[:lag]), flat[: len(flat) - lag]])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_fanout_of_a_convolution_is_that_of_its_matrix(data: st.DataObject) -> None:
    groups = data.draw(st.sampled_from([1, 2]))
    c_in, c_out = groups * data.draw(st.integers(1, 2)), groups * data.draw(st.integers(1, 3))
    height, width = data.draw(st.integers(3, 7)), data.draw(st.integers(3, 7))
    kernel = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    conv = Conv(
        rng.integers(-1, 2, (c_out, c_in // groups, *kernel)).astype(np.int16),
        stride=(data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))),
        padding=(data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))),
        dilation=(1, data.draw(st.integers(1, 2)) if kernel[1] < 3 else 1),
        groups=groups,
    )
    weight, stored = matrix(conv, (c_in, height, width))
    labels = rng.integers(-1, 3, len(weight))
    for which, mask in (("nonzero", weight != 0), ("stored", stored), ("dense", stored)):
        expected = np.stack([mask[labels == g].sum(axis=0) for g in range(3)], axis=1)
        np.testing.assert_array_equal(fanout(conv, (c_in, height, width), labels, 3, which), expected)


def test_events_are_those_counted_one_by_one() -> None:
    program, activity = small()
    events = count_events(activity, program)
    synops = {name: np.zeros((4, 3), np.int64) for name in events}
    stored = {name: np.zeros((4, 3), np.int64) for name in events}
    reach = {name: np.zeros((program.nodes[name].size, 4), bool) for name in events}
    for c in program.connections:
        weight, held = matrix(c.synapses, program.nodes[c.source].shape)
        sent = lagged(activity.spikes[c.source], program.lag(c))
        synops[c.target] += (sent @ (weight != 0).T).sum(axis=2)
        stored[c.target] += (sent @ (held & (weight == 0)).T).sum(axis=2)
        for i, core in enumerate(program.cores):
            if c.target in core.neurons:
                reach[c.source][:, i] |= (weight != 0)[core.neurons[c.target]].any(axis=0)
    for name, mine in events.items():
        flat = activity.spikes[name].reshape(4, 3, -1).astype(np.int64)
        np.testing.assert_array_equal(mine.all_synops.sum(axis=0), synops[name])
        np.testing.assert_array_equal(sum(mine.zeros.values()).sum(axis=0), stored[name])
        np.testing.assert_array_equal(mine.spikes.sum(axis=0), flat.sum(axis=2))
        np.testing.assert_array_equal(mine.messages.sum(axis=0), flat @ reach[name].sum(axis=1))
    arrived = sum(mine.arrivals.sum() for mine in events.values())
    on_time = sum((lagged(activity.spikes[n], 0)[:, :, :] @ reach[n].sum(axis=1)).sum() for n in events)
    assert arrived <= on_time  # what arrives after the sample's last step is lost
    assert events["c"].crossings.sum() > 0
    assert events["c"].hops_x.shape == (2, 4, 3)


def test_idle_neurons_are_those_at_rest() -> None:
    program, activity = small()
    rng = np.random.default_rng(1)
    shapes = {x.name: (4, 3, *x.shape) for x in program.layers}
    states = {s: {n: rng.integers(0, 2, shape) for n, shape in shapes.items()} for s in ("u", "v")}
    events = count_events(replace(activity, states=states), program)["d"]
    some = activity.spikes["d"] | (states["u"]["d"] != 0) | (states["v"]["d"] != 0)
    some[1:] |= some[:-1].copy()
    assert events.active is not None
    np.testing.assert_array_equal(events.active.sum(axis=0), some.sum(axis=2))
    found = estimate(replace(activity, states=states), program, "loihi1/davies2018")
    counts = {c.name: c.count for c in found.by_cause}
    assert counts["neuron updates, active"] + counts["neuron updates, idle"] == 4 * 46
    biased = replace(program, layers=tuple(replace(x, bias=np.array(1, np.int32)) for x in program.layers))
    always = count_events(activity, biased)["c"]
    assert always.active is not None
    np.testing.assert_array_equal(always.active, always.updates)


def test_totals_from_counts_alone_price_the_same_synops() -> None:
    program, activity = small()
    program = replace(program, connections=program.connections[:3])
    full = count_events(activity, program)
    counts = {
        name: Counts(e.spikes.sum(axis=0), e.all_synops.sum(axis=0), e.updates.sum(axis=0), e.messages.sum(axis=0))
        for name, e in full.items()
    }
    bare = replace(activity, spikes={}, counts=counts)
    ours, theirs = estimate(activity, program, "loihi1/davies2018"), estimate(bare, program, "loihi1/davies2018")
    synops = {c.name: c.count for c in ours.by_cause}["synops"]
    assert {c.name: c.count for c in theirs.by_cause}["synops"] == synops
    assert ours.placed
    assert not theirs.placed
    assert any("totals only" in text for text in theirs.uncounted)
    assert theirs.timing is not None
    assert theirs.timing.bottleneck in ("c", "s", "d")


def test_neuron_updates_of_the_lsnn_on_loihi() -> None:
    """330 neurons, sequential MNIST: 26.4 nJ per step measured on Loihi 1's cores (intel-nrc-ecosystem/models)."""
    program, activity = small(cores=False)
    program = replace(program, layers=(layer("s", (330,)),), connections=(), outputs=("s",))
    activity = replace(activity, spikes={"in": activity.spikes["in"], "s": np.zeros((4, 3, 330), bool)})
    found = estimate(activity, program, "loihi1/davies2018").dynamic
    assert found.low / 4 < 26.4e-9 < found.high / 4


def test_energy_is_counts_times_prices() -> None:
    program, activity = small()
    found = estimate(activity, program, "loihi1/davies2018")
    by_cause = {c.name: c for c in found.by_cause}
    assert by_cause["synops"].energy is not None
    assert by_cause["synops"].energy.nominal == pytest.approx(by_cause["synops"].count * 23.6e-12)
    assert by_cause["neuron updates"].count == 4 * 46
    assert found.dynamic.nominal == pytest.approx(sum(c.energy.nominal for c in found.by_cause if c.energy))
    assert found.dynamic.nominal == pytest.approx(sum(x.energy.nominal for x in found.by_layer))
    in_layers = sum(x.energy.nominal for x in found.by_layer if x.name != "in")
    assert in_layers == pytest.approx(sum(c.energy.nominal for c in found.by_core))
    assert found.dynamic_spread.mean == pytest.approx(found.dynamic.nominal)
    assert found.dynamic.low < found.dynamic.nominal < found.dynamic.high
    assert found.timing is not None
    assert found.static is not None
    assert found.static.nominal == pytest.approx(96e-3 * 2 * found.timing.period.nominal)  # two chips
    assert found.total.nominal == pytest.approx(found.dynamic.nominal + found.static.nominal)


def test_what_has_no_price_is_said() -> None:
    program, activity = small()
    found = estimate(activity, program, "loihi1/sanafe")
    assert not found.complete
    assert any(text.startswith("chip crossings") for text in found.unpriced)
    assert estimate(*reversed(small(cores=False)), "loihi1/sanafe").uncounted


@pytest.mark.parametrize("table", ["loihi2/pilotnet", "loihi1/davies2018", "loihi1/sanafe"])
def test_inputs_and_outputs_cost_messages_over_the_mesh_or_nothing(table: str) -> None:
    program, activity = small()
    by_cause = {c.name: c for c in estimate(activity, program, table).by_cause}
    assert by_cause["outputs"].count * 3 == activity.spikes["d"].sum()
    price = load_costs(table).energy
    nominal = price["message"].nominal + 3.5 * price["hop_x"].nominal + 1.5 * price["hop_y"].nominal
    high = sum(price[term].high * n for term, n in (("message", 1), ("hop_x", 7), ("hop_y", 3)))
    for name, more in (("inputs", price["spike"].high), ("outputs", 0.0)):
        found = by_cause[name]
        assert found.energy is not None
        assert found.energy.low == 0
        assert found.energy.nominal == pytest.approx(found.count * nominal * 1e-12, rel=3e-3)
        assert found.energy.high == pytest.approx(found.count * (high + more) * 1e-12, rel=3e-3)


def test_a_paced_chip_pays_static_power_for_the_pace() -> None:
    program, activity = small()
    found = estimate(activity, program, step_s=1e-3)
    assert found.timing is not None
    assert found.static is not None
    assert found.timing.period.nominal == pytest.approx(4e-3)
    assert found.static.nominal == pytest.approx(2 * 0.309 * 4e-3)


def test_an_all_in_price_holds_the_rest() -> None:
    program, activity = small()
    found = estimate(activity, program, "truenorth")
    assert found.all_in
    assert found.static is None
    assert found.dynamic.nominal == pytest.approx(26e-12 * found.synop_spread.mean)


def test_an_all_in_price_of_other_work_prices_nothing() -> None:
    program, activity = small()
    found = estimate(activity, program, "gpu/ann")
    assert found.dynamic.nominal == 0
    assert any(text.startswith("synops") for text in found.unpriced)
    assert estimate(activity, program, "gpu").dynamic.nominal > 0


def test_evidence_is_shared_out() -> None:
    program, activity = small()
    found = estimate(activity, program, "loihi2")
    assert sum(found.evidence.values()) == pytest.approx(1)
    assert set(found.evidence) == {"calibrated", "projected"}


def test_estimate_is_json() -> None:
    program, activity = small()
    text = json.dumps(estimate(activity, program).to_dict())
    back = json.loads(text)
    assert set(back["dynamic"]) == {"low", "nominal", "high"}
    assert back["by_cause"][0]["name"]
    assert json.dumps(against_baselines(activity, program).to_dict())


def test_an_activity_of_another_program_is_refused() -> None:
    program, activity = small()
    with pytest.raises(InputError, match="does not have"):
        estimate(replace(activity, spikes={**activity.spikes, "x": np.zeros((4, 3, 1), bool)}), program)
    with pytest.raises(InputError, match="shape"):
        estimate(replace(activity, spikes={**activity.spikes, "s": np.zeros((4, 3, 8), bool)}), program)
    events = count_events(activity, program)
    wrong = Counts(
        *(np.asarray(x.sum(axis=0)) for x in (events["s"].spikes, events["s"].all_synops + 1, events["s"].updates)),
        np.zeros((4, 3), np.int64),
    )
    with pytest.raises(InputError, match="another program"):
        estimate(replace(activity, counts={"s": wrong}), program)
    with pytest.raises(InputError, match="neither spikes nor counts"):
        estimate(replace(activity, spikes={}), program)


def test_a_format_the_chip_does_not_have_is_refused() -> None:
    program, activity = small()
    costs = load_costs("loihi2")
    import msgspec

    no_dense = msgspec.structs.replace(costs, formats={f: costs.formats[f] for f in ("sparse", "conv")})
    with pytest.raises(InputError, match=r"dense weights on a chip without that format") as caught:
        estimate(activity, program, no_dense)
    assert "s->d" in str(caught.value)


def test_columns_that_do_not_exist() -> None:
    """Three columns on cores of two: the second works on a fourth column, which only the image's last column reaches."""
    program, activity = small()
    weight = np.ones((4, 2, 3, 3), np.int16)
    conv = Connection("in", "c", Conv(weight, stride=(2, 2), padding=(1, 1)))
    program = replace(program, connections=(conv, *program.connections[1:]))
    events = count_events(activity, program)["c"]
    last = activity.spikes["in"][..., 5].astype(np.int64)  # column 5 = 2 * 3 - 1 + 0: the first kernel column of column 3
    rows = np.array([1, 2, 1, 2, 1])  # output rows each input row reaches
    expected = 4 * (last * rows).sum(axis=(2, 3))
    np.testing.assert_array_equal(events.missing["conv"][1], expected)
    assert not events.missing["conv"][0].any()


def test_the_ann_does_one_mac_per_synapse() -> None:
    program, _ = small()
    done = work(program)
    dense = sum(
        matrix(c.synapses, program.nodes[c.source].shape)[1].sum()
        for c in program.connections
        if not isinstance(c.synapses, Sparse)
    )
    assert done.dense_macs == dense + 7 * 36
    assert done.macs == sum((matrix(c.synapses, program.nodes[c.source].shape)[0] != 0).sum() for c in program.connections)
    fp32 = ann(program, "cmos45/fp32")
    assert fp32.causes[0].energy is not None
    assert fp32.causes[0].energy.nominal == pytest.approx(done.dense_macs * 4.6e-12)
    assert ann(program, pruned=True).energy.nominal < ann(program).energy.nominal
    assert [fair_bits(t) for t in (1, 3, 4, 15, 16)] == [1, 2, 3, 4, 5]


def test_unpruned_twin_costs_more_and_spikes_the_same() -> None:
    program, activity = small()
    both = against_baselines(activity, program, "loihi1/davies2018")
    assert both.unpruned.dynamic.nominal > both.pruned.dynamic.nominal
    assert [x.spikes for x in both.unpruned.by_layer] == [x.spikes for x in both.pruned.by_layer]
    weight = {c.name: np.ones_like(matrix(c.synapses, program.nodes[c.source].shape)[1]) for c in program.connections}
    conv = matrix(program.connections[0].synapses, (2, 5, 6))[1]
    expected = sum(
        (lagged(activity.spikes[c.source], program.lag(c)) @ (conv if c.target == "c" else weight[c.name]).T).sum()
        for c in program.connections
    )
    assert both.unpruned.synop_spread.mean * 3 == pytest.approx(expected)
