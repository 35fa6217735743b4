"""Verification: runs of one network compared layer by layer and step by step, from torch down to Lava.

    torch (golden vectors) -> float network -> integer program -> Lava

Each comparison counts the spikes that differ in every layer and says where the first difference is. Nothing is judged here
but equality: where a step must be exact, `Comparison.exact` has to hold; where it quantises, the counts are its error.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import FileError, InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.network.network import Network
from filopodia.hardware.network.simulate import simulate_network
from filopodia.hardware.program import Program
from filopodia.hardware.simulator.simulate import simulate

GOLDEN_FORMAT = "filopodia golden"
GOLDEN_VERSION = 1

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Difference:
    """One place where two runs differ: `neuron` in the layer's own coordinates, and what each run sent there."""

    layer: str
    step: int
    sample: int
    neuron: tuple[int, ...]
    expected: int
    found: int


@dataclass(frozen=True)
class LayerMatch:
    """One layer in two runs: places compared (steps x samples x neurons), how many differ, mean messages per place, the first
    difference."""

    layer: str
    compared: int
    mismatches: int
    expected_rate: float
    found_rate: float
    first: Difference | None

    @property
    def exact(self) -> bool:
        return self.mismatches == 0

    @property
    def either(self) -> int:
        """Places where at least one of the runs fired."""
        return round((self.compared * (self.expected_rate + self.found_rate) + self.mismatches) / 2)

    @property
    def agreement(self) -> float:
        """Share of the spikes of either run that both have: 1 - mismatches / spikes in either; 1 when neither spikes."""
        return 1.0 - self.mismatches / self.either if self.either else 1.0


@dataclass(frozen=True)
class Comparison:
    """Two runs compared over the layers that both recorded, in the order of the first run."""

    expected: str
    found: str
    layers: tuple[LayerMatch, ...]

    @property
    def exact(self) -> bool:
        return all(layer.exact for layer in self.layers)

    @property
    def first(self) -> Difference | None:
        """The earliest difference in time; among those of one step, that of the earliest layer."""
        differences = [layer.first for layer in self.layers if layer.first is not None]
        return min(differences, key=lambda difference: difference.step, default=None)


@dataclass(frozen=True)
class Verification:
    """All comparisons of a chain of runs, each with the run before it."""

    comparisons: tuple[Comparison, ...]


def load_golden(path: str | Path) -> tuple[Activity, NDArray[np.int64] | None]:
    """Golden vectors made by torch: an Activity of backend "torch" (input among its spikes), and the labels [N] if any."""
    where = str(path)
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(_text(arrays.pop("header")))
    except FileNotFoundError:
        raise FileError("no such file", where=where, fix="export a trained model first") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise FileError(f"not a whole golden file ({error})", where=where, fix="export the model again") from None
    if (header.get("format"), header.get("version")) != (GOLDEN_FORMAT, GOLDEN_VERSION):
        raise FileError(
            f"format {header.get('format')!r}, version {header.get('version')!r}",
            where=where,
            allowed=f'"{GOLDEN_FORMAT}", version {GOLDEN_VERSION}',
        )
    spikes: dict[str, NDArray[Any]] = {}
    for name in ("input", *(key for key in arrays if key.startswith("spikes/"))):
        values = arrays[name]
        binary = values.dtype != np.uint8 or values.max(initial=0) <= 1
        spikes[name.removeprefix("spikes/")] = values.astype(np.bool_) if values.dtype == np.uint8 and binary else values
    steps, samples = arrays["input"].shape[:2]
    rates = {name: values.sum(axis=0, dtype=np.int32) for name, values in spikes.items() if name != "input"}
    labels = arrays.get("labels")
    activity = Activity("torch", steps, samples, spikes, rates, metadata=header)
    return activity, None if labels is None else labels.astype(np.int64)


def verify(
    spikes: NDArray[Any] | Mapping[str, NDArray[Any]],
    *,
    golden: Activity | None = None,
    network: Network | None = None,
    program: Program | None = None,
    lava: Activity | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Run what is given on `spikes` [T, N, *shape] and compare each run with the one before it: torch, float, integer, Lava.

    `golden` and `lava` are runs made elsewhere on the same spikes; `network` and `program` are simulated here.
    """
    runs: list[Activity] = [] if golden is None else [golden]
    if network is not None:
        runs.append(simulate_network(network, spikes, record=("spikes",), progress=progress))
    if program is not None:
        runs.append(simulate(program, spikes, record=("spikes",), progress=progress))
    if lava is not None:
        runs.append(lava)
    if len(runs) < 2:
        raise InputError(f"{len(runs)} run to compare", allowed="at least two of golden, network, program, lava")
    return Verification(tuple(compare(one, other) for one, other in pairwise(runs)))


def compare(expected: Activity, found: Activity, layers: Sequence[str] | None = None) -> Comparison:
    """Compare the spikes of two runs over `layers`, or over all layers that both recorded."""
    if (expected.steps, expected.samples) != (found.steps, found.samples):
        raise InputError(
            f"{found.backend} ran {found.steps} steps of {found.samples} samples,"
            f" {expected.backend} {expected.steps} of {expected.samples}",
            allowed="runs of the same length on the same samples",
        )
    names = layers if layers is not None else [name for name in expected.spikes if name in found.spikes and name != "input"]
    missing = [name for name in names if name not in expected.spikes or name not in found.spikes]
    if missing or not names:
        raise InputError(
            f"no spikes recorded of {', '.join(missing) or 'any common layer'}",
            where=f"{expected.backend} and {found.backend}",
            allowed=", ".join(expected.spikes),
            fix='run with record=("spikes",)',
        )
    return Comparison(
        expected.backend, found.backend, tuple(_match(name, expected.spikes[name], found.spikes[name]) for name in names)
    )


def _match(layer: str, expected: NDArray[Any], found: NDArray[Any]) -> LayerMatch:
    """Both [T, N, *shape]; a layer may be flattened in one of them."""
    steps, samples = expected.shape[:2]
    if expected.size != found.size:
        raise InputError(f"shape {list(found.shape)} against {list(expected.shape)}", where=layer, allowed="the same neurons")
    differs = expected.reshape(steps, samples, -1) != found.reshape(steps, samples, -1)
    first = None
    mismatches = int(np.count_nonzero(differs))
    if mismatches:
        step, sample, neuron = (int(i) for i in np.unravel_index(int(differs.argmax()), differs.shape))
        values = [int(run.reshape(steps, samples, -1)[step, sample, neuron]) for run in (expected, found)]
        place = tuple(int(i) for i in np.unravel_index(neuron, found.shape[2:] or (1,)))
        first = Difference(layer, step, sample, place, *values)
    rates = [float(np.count_nonzero(run)) / max(run.size, 1) for run in (expected, found)]
    return LayerMatch(layer, int(expected.size), mismatches, rates[0], rates[1], first)


def _text(entry: NDArray[Any]) -> str:
    return bytes(entry).decode() if entry.dtype == np.uint8 else str(entry[()])
