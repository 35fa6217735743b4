"""Every pass of the compiler replayed against what the network itself does, on random networks of every kind.

lower, balance   floats: the same spikes, before and after, and the same with every connection taking its steps
quantize         each weight, threshold, bias and decay within what its report says
encode           the program's synapses are the quantised maps, one by one
compile          the program, run in integers, against the network in floats
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nir_networks
import numpy as np
import pytest

from filopodia import hardware
from filopodia.hardware.compiler import maps
from filopodia.hardware.compiler.latency import Timed, balance
from filopodia.hardware.compiler.lower import ALWAYS_ON, Lowered, lower
from filopodia.hardware.compiler.neurons import Population
from filopodia.hardware.compiler.pipeline import DELAY_LIMIT, Options, integers
from filopodia.hardware.network import simulate_network
from filopodia.hardware.network.network import Network
from filopodia.hardware.program import Connection, Conv, Dense, Program

SEEDS = range(120)


def _run_floats(timed: Timed, values: dict[str, np.ndarray], chip_time: bool) -> dict[str, dict[str, np.ndarray]]:
    """Spikes and v [T, N, n] of all populations in float64: in sample time by `Projection.steps`, or as a chip would run them,
    every connection taking one step and its delay, every population starting at its latency."""
    lowered, latency = timed.lowered, timed.latency
    steps, samples = next(iter(values.values())).shape[:2]
    late = {name: latency[name] if chip_time else 0 for name in latency}
    total = steps + max(late.values())
    sent = {name: _shifted(x.reshape(steps, samples, -1).astype(float), 0, total) for name, x in values.items()}
    sent |= {name: np.zeros((total, samples, p.size)) for name, p in lowered.populations.items()}
    held = {name: np.zeros((total, samples, p.size)) for name, p in lowered.populations.items()}
    u = {name: np.zeros((samples, p.size)) for name, p in lowered.populations.items()}
    v = {name: np.zeros((samples, p.size)) for name, p in lowered.populations.items()}
    for t in range(total):
        for name, neurons in lowered.populations.items():
            if not 0 <= t - late[name] < steps:  # before and after its sample it is reset
                continue
            arriving = np.zeros((samples, neurons.size))
            for p in lowered.into(name):
                at = t - (timed.delay(p) + 1 if chip_time else p.steps)
                if at >= late[p.source]:
                    arriving += np.stack([maps.apply(p.map, x) for x in sent[p.source][at]])
            u[name] = neurons.keep_u * u[name] + arriving
            v[name] = neurons.keep_v * v[name] + u[name] + neurons.bias
            fired = v[name] > neurons.threshold if neurons.comparison == ">" else v[name] >= neurons.threshold
            after = v[name] - neurons.threshold if neurons.reset == "subtract" else 0.0
            v[name] = np.where(fired, after, v[name])
            sent[name][t], held[name][t] = fired, v[name]
    window = {name: slice(late[name], late[name] + steps) for name in lowered.populations}
    return {"spikes": {n: sent[n][w] for n, w in window.items()}, "v": {n: held[n][w] for n, w in window.items()}}


def _shifted(x: np.ndarray, by: int, total: int) -> np.ndarray:
    made = np.zeros((total, *x.shape[1:]))
    made[by : by + len(x)] = x
    return made


def _expected(network: Network, values: dict[str, np.ndarray]) -> Any:
    return simulate_network(network, values, dtype=np.float64, record=("spikes", "v"))


@pytest.mark.parametrize("seed", SEEDS)
def test_lowering_and_balancing_change_nothing(seed: int) -> None:
    made = nir_networks.make(seed)
    expected = _expected(made.network, made.values)
    lowered = lower(made.network)
    before = Timed(lowered, dict.fromkeys((*lowered.inputs, *lowered.populations), 0))
    timed = balance(lowered, DELAY_LIMIT)
    assert all(0 <= timed.delay(p) <= DELAY_LIMIT for p in timed.lowered.projections)
    for ran in (_run_floats(before, made.values, chip_time=False), _run_floats(timed, made.values, chip_time=True)):
        compared = 0
        for name, neurons in lowered.populations.items():
            if name in expected.spikes and neurons.spikes:
                wanted = expected.spikes[name].reshape(ran["spikes"][name].shape)
                np.testing.assert_array_equal(ran["spikes"][name], wanted, name)
                compared += 1
            elif name in expected.states["v"]:
                wanted = expected.states["v"][name].reshape(ran["v"][name].shape)
                # time constants stored in float32 are put back on the fraction they stand for
                np.testing.assert_allclose(ran["v"][name], wanted, rtol=1e-5, atol=1e-6, err_msg=name)
                compared += 1
        assert compared


@pytest.mark.parametrize("seed", SEEDS)
def test_quantising_and_encoding_keep_what_the_report_says(seed: int) -> None:
    made = nir_networks.make(seed)
    options = Options(wide=made.options["wide"], graded=made.options.get("graded", {}))
    program, _ = integers(made.network, options)
    lowered = balance(lower(made.network), DELAY_LIMIT).lowered
    for layer in program.layers:
        report, neurons = program.metadata["layers"][layer.name], lowered.populations[layer.name]
        scale = report["scale"]
        lost = total = 0.0
        for projection, parts in _by_projection(program, layer.name, lowered):
            unit = options.graded[projection.source].unit if projection.source in options.graded else 1.0
            sources = int(np.prod(lowered.shape(projection.source)))
            floats = maps.matrix(projection.map, sources).toarray() * unit
            whole = sum(_matrix(program, part) * 2.0**part.weight_exp for part in parts) / scale
            assert not np.any(whole[floats == 0])
            kernel = projection.map.weight.size / floats.size if isinstance(projection.map, maps.ConvMap) else 1.0
            lost, total = lost + kernel * np.sum((whole - floats) ** 2), total + kernel * np.sum(floats**2)
        if total and not any(isinstance(p.map, maps.ConvMap) for p in lowered.into(layer.name)):
            np.testing.assert_allclose(np.sqrt(lost / total), report["weight_error"], rtol=1e-3, atol=1e-6)
        graded = any(p.source in options.graded for p in lowered.into(layer.name))  # large messages leave weights few bits
        assert graded or np.sqrt(lost / total if total else 0.0) < 0.05
        _neurons_within(layer, neurons, report)


def _by_projection(program: Program, name: str, lowered: Lowered) -> Iterator[tuple[Any, list[Connection]]]:
    """Projections into a layer, each with its one connection, or its two where weights are wide, in the compiler's order."""
    left = list(program.into(name))
    for projection in lowered.into(name):
        parts = [left.pop(0)]
        while left and left[0].source == projection.source and left[0].delay == parts[0].delay:
            parts.append(left.pop(0))
        assert {part.source for part in parts} == {projection.source}
        yield projection, parts
    assert not left


def _matrix(program: Program, connection: Connection) -> np.ndarray:
    synapses = connection.synapses
    if isinstance(synapses, Dense):
        return synapses.weight.astype(float)
    if isinstance(synapses, Conv):
        source, target = (program.nodes[end].shape for end in (connection.source, connection.target))
        from filopodia.hardware.compiler.resources import as_image

        shapes = (
            as_image(source),
            maps.conv_target(as_image(source), synapses.weight, synapses.stride, synapses.padding, synapses.dilation),
        )
        assert np.prod(shapes[1]) == np.prod(target)
        made = maps.ConvMap(
            synapses.weight, synapses.stride, synapses.padding, synapses.dilation, synapses.groups, shapes[0], shapes[1]
        )
        return maps.matrix(made, 0).toarray().astype(float)
    dense = np.zeros(synapses.shape)
    dense[np.repeat(np.arange(len(dense)), np.diff(synapses.indptr)), synapses.indices] = synapses.data
    return dense


def _neurons_within(layer: Any, neurons: Population, report: dict[str, Any]) -> None:
    scale, slack = report["scale"], 1e-9
    if neurons.spikes:
        assert (
            np.max(np.abs(np.asarray(layer.vth).reshape(-1) - neurons.threshold.reshape(-1) * scale))
            <= report["threshold_error"] * scale + slack
        )
        assert report["threshold_error"] * scale <= 1.0 + 1e-6
    bias = np.asarray(layer.bias).reshape(-1) * 2.0 ** (layer.bias_exp - 6)
    assert np.max(np.abs(bias - neurons.bias * scale)) <= report["bias_error"] * scale + slack
    wanted = 1 - np.asarray(neurons.keep_v)
    assert np.max(np.abs(np.asarray(layer.dv).reshape(-1) / 4096 - wanted)) <= report["decay_error"] + slack


def test_programs_spike_nearly_as_their_networks_do() -> None:
    """All seeds together: what quantisation changes is little, and nothing is silent."""
    differing = compared = spikes = 0
    for seed in SEEDS:
        made = nir_networks.make(seed)
        expected = _expected(made.network, made.values)
        program = hardware.compile(made.network, **made.options)
        found = hardware.simulate(program, hardware.analog_messages(program, made.values))
        for layer in program.layers:
            if layer.name in expected.spikes and layer.name != ALWAYS_ON:
                wanted = expected.spikes[layer.name].reshape(found.spikes[layer.name].shape)
                differing += int(np.sum(found.spikes[layer.name] != wanted))
                compared, spikes = compared + wanted.size, spikes + int(np.sum(wanted))
    assert spikes > 0.05 * compared
    assert differing < 0.02 * compared
