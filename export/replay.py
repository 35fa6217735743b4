"""What is exported is run beside the model it came from, before anyone gets to see it.

Every spiking layer must spike alike. The one difference that is let through is a tie: float32 sums added in another order, or
a folded BatchNorm, put a voltage on the other side of a threshold it all but touches. `fold` makes a model without ties.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from filopodia.errors import FilopodiaError

from .cells import Neuron
from .nir_to_torch import NirModule, from_nir
from .ops import Graph
from .record import record
from .trace import Sample, input_names, multi_step

TIE = 1e-4  # of the threshold (or of 1): float32 rounding stays far below, a wrong parameter goes far beyond


def replay(model: nn.Module, sample: Sample, graph: Graph, module: NirModule) -> dict[str, int]:
    """Run both on the sample. Returns, per layer, in how many samples a tie made its spikes differ first.

    Raises FilopodiaError, naming the layer and step, where they differ for another reason.
    """
    many = multi_step(model)
    given = {name: x.detach() for name, x in input_names(model, sample).items()}
    sequences = dict(zip(graph.inputs, ((x if many else x.unsqueeze(0)).cpu() for x in given.values()), strict=True))
    spikes, outputs = record(
        model, graph, {n: x if many else x.unsqueeze(0) for n, x in given.items()}, isinstance(sample, Mapping)
    )
    found = module.run(sequences, record=spikes)
    order = [name for name in module.order if name in spikes]
    ties: dict[str, int] = {}
    differs = {name: found.recorded[name].numpy() != spikes[name] for name in order}
    steps, samples = next(iter(sequences.values())).shape[:2]
    for n in range(samples):
        for t in range(steps):
            first = next((name for name in order if differs[name][t, n].any()), None)
            if first is None:
                continue
            distance = _distance(
                module, first, {name: x[: t + 1, n : n + 1] for name, x in sequences.items()}, differs[first][t, n]
            )
            if distance > TIE:
                raise FilopodiaError(
                    f"the exported graph spikes differently in sample {n}, step {t}, {distance:.2g} from the threshold",
                    where=first,
                    fix="this is a bug in filopodia: please report the layer",
                )
            ties[first] = ties.get(first, 0) + 1
            break
    if not ties:
        for name, expected in outputs.items():
            if not np.allclose(found.outputs[name].numpy(), expected, rtol=1e-3, atol=1e-4):
                raise FilopodiaError("the exported graph gives another output", where=name, fix="this is a bug in filopodia")
    return ties


def _distance(
    module: NirModule, name: str, inputs: Mapping[str, Tensor], where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> float:
    """How far from its threshold, at most, the voltage of the neurons `where` is in the last step of `inputs`."""
    cell = module.cell(name)
    sources = module.sources[name]
    done = module.run(inputs, record=set(sources))
    late = {s: torch.cat([torch.zeros_like(v[:1]), v[:-1]]) for s, v in done.recorded.items()}
    x = sum(late[s] if (s, name) in module.late else done.recorded[s] for s in sources)
    assert isinstance(x, Tensor)
    if not isinstance(cell, Neuron):
        return float("inf")
    state = cell.begin(x[0])
    for t in range(x.shape[0] - 1):
        _, state = cell.advance(x[t], state)
    v, _ = cell.charge(x[-1], state)
    threshold = cell.threshold
    assert isinstance(threshold, Tensor)
    away = ((v - threshold).abs() / threshold.abs().clamp(min=1.0)).numpy()[0]
    return float(away[where].max())


def checked(model: nn.Module, sample: Sample, graph: Graph, nir_graph: object) -> None:
    """Replay a graph that was just made of `model`; see `replay`."""
    replay(model, sample, graph, from_nir(nir_graph))
