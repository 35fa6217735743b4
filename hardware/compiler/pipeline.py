"""Compile: a network to integers on neurocores, in passes that each do one thing.

lower      nodes -> populations joined by linear maps            lower.py, neurons.py, maps.py
latencies  when each population sees a sample                    latency.py
quantize   integers that Lava and Loihi agree on                 quantize.py, scale.py
encode     dense, sparse or convolution, by bytes                encode.py
check      the chip's design rules                               rules.py
place      tiles on cores, cores on the mesh                     place.py, resources.py
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import filopodia
from filopodia.errors import ChipLimitError
from filopodia.hardware.chip import Chip, load_chip
from filopodia.hardware.compiler import latency as latencies
from filopodia.hardware.compiler.encode import encode
from filopodia.hardware.compiler.lower import Lowered, lower
from filopodia.hardware.compiler.place import chips_used, place, utilization
from filopodia.hardware.compiler.quantize import quantize
from filopodia.hardware.compiler.rules import check
from filopodia.hardware.network.network import Network
from filopodia.hardware.program import Connection, Input, Layer, Program


def compile(network: Network, chip: str | Path | Chip = "loihi2") -> Program:
    """Integers on neurocores for a network.

    `chip` is "loihi1", "loihi2", the path of a chip file, or a Chip. The program carries, per layer, its scale and what
    rounding did (`metadata["layers"]`), and what the fullest core uses of each resource (`metadata["utilization"]`).
    Raises UnsupportedError for what cannot be expressed exactly, InputError for values that are no numbers, and ChipLimitError
    with every broken rule when the network does not fit.
    """
    chip = chip if isinstance(chip, Chip) else load_chip(chip)
    lowered = lower(network)
    program = integers(lowered, network.semantics.dt, network.metadata)
    placed = place(program, chip)
    violations = (*check(program, chip), *placed.violations)
    if violations:
        raise ChipLimitError("the network", chip.title, violations)
    metadata = {
        **program.metadata,
        "utilization": {name: list(pair) for name, pair in utilization(placed.cores, chip).items()},
        "chips": chips_used(placed.cores, chip),
    }
    return replace(program, chip=chip.name, cores=placed.cores, metadata=metadata)


def integers(lowered: Lowered, dt: float, source_metadata: Mapping[str, Any]) -> Program:
    """The program without a chip: quantised layers and encoded connections."""
    latency = latencies.latencies(lowered)
    sizes = {name: population.size for name, population in lowered.populations.items()}
    messages = dict.fromkeys((*lowered.inputs, *lowered.populations), 1)
    layers: list[Layer] = []
    connections: list[Connection] = []
    reports: dict[str, Any] = {}
    for name, population in lowered.populations.items():
        incoming = [p for p in lowered.projections if p.target == name]
        made = quantize(population, incoming, sizes, messages)
        layers.append(replace(made.layer, latency=latency[name]))
        reports[name] = dict(made.report)
        connections += [encode(c, latencies.delay(c.projection, latency), 0) for c in made.connections]
    readout = source_metadata.get("readout")
    return Program(
        inputs=tuple(Input(name, shape) for name, shape in lowered.inputs.items()),
        layers=tuple(layers),
        connections=tuple(connections),
        outputs=lowered.outputs,
        metadata={
            "dt": dt,
            **({"readout": dict(readout)} if readout else {}),
            "layers": reports,
            "source": dict(source_metadata),
            "compiled_by": f"filopodia {filopodia.__version__}",
        },
    )
