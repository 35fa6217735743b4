"""NeuroBench's metrics, by its names and definitions (NeuroBench 2.3), of a program and a run of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.activity import Activity
from filopodia.hardware.energy.count import count_events
from filopodia.hardware.energy.events import LayerEvents
from filopodia.hardware.energy.work import work
from filopodia.hardware.network.network import Network
from filopodia.hardware.program import Program, Sparse


def neurobench_metrics(activity: Activity, program: Program, network: Network | None = None) -> dict[str, Any]:
    """The metrics as NeuroBench nests and names them; synops and updates are means per sample (a whole run of T steps).

    `Footprint`: bytes of the parameters as the program holds them: weights at their bits (zeros included), the indices of
    sparse synapses, 4 bytes per neuron parameter. `ConnectionSparsity`: zeros over weights, shared weights once.
    `ActivationSparsity`: zeros over all outputs of all layers. `SynapticOperations`: spikes (ACs) and graded messages (MACs)
    over non-zero synapses, and both over all synapses with every input non-zero ("Dense"). `MembraneUpdates`: potentials that
    differ from the step before, all of them in the first; only where the run recorded "v". With the `network` that the program
    was compiled from, weights are those that were trained, not what the compiler made of them.
    """
    return metrics_of(count_events(activity, program), activity, program, network)


def metrics_of(
    events: Mapping[str, LayerEvents],
    activity: Activity,
    program: Program,
    network: Network | None = None,
    *,
    moved: float | None = None,
) -> dict[str, Any]:
    """The same from events that were counted already. `moved`: membrane updates per sample, where the run kept no "v"."""
    done, trained = work(program), work(network or program)
    layers = [layer.name for layer in program.layers]
    outputs = sum(layer.size for layer in program.layers) * activity.steps * activity.samples
    spikes = sum(int(events[name].spikes.sum()) for name in layers)
    macs = sum(int(events[name].macs.sum()) for name in layers)
    synops = sum(int(events[name].all_synops.sum()) for name in layers)
    found: dict[str, Any] = {
        "Footprint": footprint(program),
        "ConnectionSparsity": 1 - trained.nonzero_weights / trained.weights,
        "ActivationSparsity": (outputs - spikes) / outputs,
        "SynapticOperations": {
            "Effective_MACs": macs / activity.samples,
            "Effective_ACs": (synops - macs) / activity.samples,
            "Dense": float(done.dense_macs * activity.steps),
        },
    }
    voltages = activity.states.get("v", {})
    if all(name in voltages for name in layers):
        moved = sum(membrane_updates(voltages[name]) for name in layers) / activity.samples
    if moved is not None:
        found["MembraneUpdates"] = moved
    return found


def membrane_updates(v: NDArray[Any]) -> int:
    """Potentials [T, N, ...] that differ from the step before, all of them in the first step."""
    return int(np.count_nonzero(v[1:] != v[:-1])) + int(v[0].size)


def footprint(program: Program) -> int:
    """Bytes of a program's parameters: weights at `weight_bits` each, indices of sparse synapses, neuron parameters."""
    total = 0
    for connection in program.connections:
        synapses = connection.synapses
        if isinstance(synapses, Sparse):
            total += synapses.indices.nbytes + synapses.indptr.nbytes
        stored = synapses.data.size if isinstance(synapses, Sparse) else synapses.weight.size
        total += -(-stored * connection.weight_bits // 8)
    for layer in program.layers:
        total += sum(np.asarray(value).size * 4 for value in (layer.du, layer.dv, layer.vth, layer.bias))
    return total
