"""Watch: a run made again in parts, for what only its states tell: active neurons, and potentials that moved.

Recorded u and v of a whole test set would not fit where its spikes do; a part at a time, they need not be kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.energy.count import active_updates
from filopodia.hardware.energy.events import Ints, LayerEvents
from filopodia.hardware.energy.neurobench import membrane_updates
from filopodia.hardware.program import Program
from filopodia.hardware.simulator.simulate import simulate

BYTES = 2**28  # of recorded states at a time


Fed = NDArray[Any] | Mapping[str, NDArray[Any]]


def watch(
    events: Mapping[str, LayerEvents], activity: Activity, program: Program, fed: Fed
) -> tuple[dict[str, LayerEvents], float]:
    """The events with active updates counted, and membrane updates per sample (NeuroBench's, see `membrane_updates`).

    `fed`: spikes or messages [T, N, *shape] as `simulate` takes them, by name where there are several inputs. Raises
    InputError when the program does not fire on them as `activity` says it did.
    """
    inputs = fed if isinstance(fed, Mapping) else {program.inputs[0].name: fed}
    neurons = sum(layer.size for layer in program.layers)
    at_once = max(1, BYTES // max(9 * activity.steps * neurons, 1))
    active: dict[str, list[Ints]] = {layer.name: [] for layer in program.layers}
    moved = 0
    for first in range(0, activity.samples, at_once):
        some = {name: values[:, first : first + at_once] for name, values in inputs.items()}
        part = simulate(program, some, record=("spikes", "u", "v"))
        for layer in program.layers:
            name, here = layer.name, slice(first, first + part.samples)
            if (part.spikes[name].sum() if name in part.spikes else 0) != events[name].spikes[:, :, here].sum():
                raise InputError(
                    "other spikes than the run's", where=f"watch: {name}", fix="simulate again with these input spikes"
                )
            counted = active_updates(part, program, name)
            assert counted is not None
            active[name].append(counted)
            moved += membrane_updates(part.states["v"][name])
    done = {
        name: replace(layer, active=np.concatenate(active[name], axis=2)) if active.get(name) else layer
        for name, layer in events.items()
    }
    return done, moved / activity.samples
