"""Traffic: messages counted as the simulator counts them, and swaps that shorten their ways."""

from itertools import pairwise

import msgspec
import numpy as np

from filopodia import hardware
from filopodia.hardware.chip import Limit, load_chip
from filopodia.hardware.compiler.place import place
from filopodia.hardware.compiler.traffic import _gains, arrange, distances, message_hops
from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program


def _layer(name, shape, vth, latency):
    return Layer(name, shape, *(np.asarray(x, np.int32) for x in (4095, 0, vth, 0)), latency=latency)


def test_messages_are_those_of_the_simulator():
    rng = np.random.default_rng(0)
    conv = Conv((rng.integers(-9, 20, (12, 4, 3, 3)) * 2).astype(np.int16), padding=(1, 1))
    fc = Dense((rng.integers(-9, 9, (20, 12 * 64)) * 2).astype(np.int16))
    program = Program(
        (Input("input", (4, 8, 8)),),
        (_layer("a", (12, 8, 8), 60, 1), _layer("b", (20,), 100, 2)),
        (Connection("input", "a", conv), Connection("a", "b", fc)),
        ("b",),
    )
    spikes = rng.random((6, 3, 4, 8, 8)) < 0.2
    loihi1 = load_chip("loihi1")
    chip = msgspec.structs.replace(loihi1, limits={**loihi1.limits, "neurons": Limit(100, "neurons", "this test")})
    first = hardware.simulate(program, spikes)
    rates = {name: first.spikes[name].reshape(18, -1).mean(axis=0, dtype=float) for name in ("a", "b")}
    placed = place(program, chip, "traffic", rates)
    assert len(placed.cores) > 6
    ran = hardware.simulate(Program(program.inputs, program.layers, program.connections, ("b",), cores=placed.cores), spikes)
    np.testing.assert_allclose(ran.counts["a"].messages.sum() / 18, placed.traffic["messages_per_step"])
    assert placed.traffic["hops_per_step"] <= placed.traffic["hops_per_step_in_order"]
    assert len({(core.chip, core.position) for core in placed.cores}) == len(placed.cores)
    packed = place(program, chip, "cores", rates)
    ran = hardware.simulate(Program(program.inputs, program.layers, program.connections, ("b",), cores=packed.cores), spikes)
    np.testing.assert_allclose(ran.counts["a"].messages.sum() / 18, packed.traffic["messages_per_step"])
    assert packed.traffic["hops_per_step"] == packed.traffic["hops_per_step_in_order"]
    assert place(program, chip, "cores").traffic == {}


def test_every_gain_is_what_the_swap_brings():
    rng = np.random.default_rng(1)
    places = [(i // 12, (int(x), int(y), 0)) for i, (x, y) in enumerate(rng.integers(0, 5, (15, 2)))]
    distance = distances(places)
    sent = rng.random((15, 15)) * (rng.random((15, 15)) < 0.4)
    np.fill_diagonal(sent, 0)
    place_of = rng.permutation(15)
    for core in range(15):
        gains = _gains(core, sent + sent.T, distance, place_of)
        for other in range(15):
            swapped = place_of.copy()
            swapped[[core, other]] = swapped[[other, core]]
            lost = message_hops(sent, distance, place_of) - message_hops(sent, distance, swapped)
            np.testing.assert_allclose(gains[other], lost, atol=1e-9)


def test_neighbours_end_up_side_by_side():
    places = [(0, (x, 0, 0)) for x in range(8)]
    sent = np.zeros((8, 8))
    ring = [0, 4, 1, 5, 2, 6, 3, 7]
    for a, b in pairwise(ring):
        sent[a, b] = 1
    distance = distances(places)
    order = arrange(sent, distance)
    assert message_hops(sent, distance, order) < message_hops(sent, distance, np.arange(8)) / 2
