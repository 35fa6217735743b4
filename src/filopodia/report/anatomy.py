"""The network's side of a report: its layers, its cores, and what one sample looks like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from filopodia.report.contest import amount
from filopodia.report.data import CoreUse, Layer, Link, Raster

if TYPE_CHECKING:
    from filopodia.hardware.activity import Activity
    from filopodia.hardware.network.network import Network
    from filopodia.hardware.program import Program

SHOWN = 120  # neurons per layer that a raster has room for


def layers(network: Network, program: Program, estimate: Mapping[str, Any], links: tuple[Link, ...]) -> tuple[Layer, ...]:
    """One row per layer on the chip; weights are those of the trained network, events those of the integer run."""
    priced = {row["name"]: row for row in estimate["pruned"]["by_layer"]}
    dense = {row["name"]: row["synops"] for row in estimate["twin"]["by_layer"]} if estimate["twin"] else {}
    rounded = [match for link in links if link.after == "integers" for match in link.layers]
    unlike = {match.layer: match.differing / max(1, match.either) for match in rounded}
    reports = program.metadata.get("layers", {})
    rows = []
    for layer in program.layers:
        kinds, weights, nonzero = feeding(network, layer.name)
        row = priced[layer.name]
        rows.append(
            Layer(
                name=layer.name,
                kind=" + ".join(kinds),
                shape=tuple(layer.shape),
                neurons=layer.size,
                weights=weights,
                nonzero=nonzero,
                cores=row["cores"],
                spikes=row["spikes"],
                rate=row["rate"],
                synops=row["synops"],
                dense_synops=dense.get(layer.name),
                energy=amount(row["energy"]),
                mismatch=unlike.get(layer.name),
                weight_error=reports.get(layer.name, {}).get("weight_error"),
            )
        )
    return tuple(rows)


def feeding(network: Network, name: str) -> tuple[list[str], int, int]:
    """What lies between the neurons before and a layer of the trained network: kinds of nodes, weights, non-zero weights."""
    if name not in network.nodes:
        return ["added by the compiler"], 0, 0
    kinds = [type(network.nodes[name]).__name__]
    weights = nonzero = 0
    waiting, seen = list(network.sources(name)), set()
    while waiting:
        source = waiting.pop()
        node = network.nodes[source]
        if source in seen or hasattr(node, "v_threshold") or type(node).__name__ == "Input":
            continue
        seen.add(source)
        waiting += network.sources(source)
        if type(node).__name__ != "Flatten":
            kinds.insert(0, type(node).__name__)
        weight = getattr(node, "weight", None)
        if weight is not None:
            weights += int(weight.size)
            nonzero += int(np.count_nonzero(weight))
    return kinds, weights, nonzero


def cores(program: Program, estimate: Mapping[str, Any]) -> tuple[CoreUse, ...]:
    """The neurocores in use."""
    priced = {row["index"]: row for row in estimate["pruned"]["by_core"]}
    nothing: dict[str, Any] = {"synops": 0.0, "energy": None, "busy_s": None}
    rows = [(core, priced.get(core.index, nothing)) for core in program.cores]
    return tuple(
        CoreUse(
            index=core.index,
            chip=core.chip,
            position=core.position,
            layers={name: len(neurons) for name, neurons in core.neurons.items()},
            used=dict(core.used),
            synops=row["synops"],
            energy=amount(row["energy"]) if row["energy"] else None,
            busy=row["busy_s"],
        )
        for core, row in rows
    )


def rasters(program: Program, activity: Activity, sample: int) -> tuple[Raster, ...]:
    """The spikes of one sample in the inputs and all layers, thinned evenly where a layer has more neurons than fit."""
    out = []
    for name in program.nodes:
        if name not in activity.spikes:
            continue
        fired = np.asarray(activity.spikes[name][:, sample]).reshape(activity.steps, -1) != 0
        stride = max(1, -(-fired.shape[1] // SHOWN))
        steps, indices = np.nonzero(fired[:, ::stride])
        out.append(
            Raster(
                layer=name,
                neurons=fired.shape[1],
                stride=stride,
                steps=tuple(int(step) for step in steps),
                indices=tuple(int(index) * stride for index in indices),
            )
        )
    return tuple(out)
