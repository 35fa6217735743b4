"""Runs by their training: those that differ in their seed alone are one point, those that differ in their target one curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from filopodia.prune.config import TrainConfig
from filopodia.report.contrast import cells
from filopodia.report.curves import Curve, Trained
from filopodia.report.wording import deviating, over
from filopodia.run import RunFolder
from filopodia.stages.train import header_of

TARGETS = ("target_synops", "target_synapse_sparsity", "threshold", "strength", "target_sparsity")


class Training(msgspec.Struct, frozen=True):
    """A run's training: its settings, and what came of it."""

    name: str
    config: TrainConfig
    came_to: Trained


class Method(msgspec.Struct, frozen=True):
    """Trainings that differ in target and seed alone: a group for each target, from dense to sparse."""

    label: str
    points: tuple[tuple[Training, ...], ...]

    @property
    def curve(self) -> Curve:
        points = tuple(tuple(one.came_to for one in point) for point in self.points)
        return Curve(label=self.label, points=points, level=self.points[0][0].config.prune.method == "dense")


def load_training(name: str, folder: RunFolder) -> Training | None:
    """What the run's weights.safetensors says of itself; None for a network that was not trained here, or by a release that
    did not say it."""
    header = header_of(folder / "weights.safetensors")
    try:
        came_to = Trained(
            accuracy=header["test_accuracy"],
            sparsity=header["ConnectionSparsity"],
            synapse_sparsity=header["synapse_sparsity"],
            synops=header["synops"],
        )
        return Training(name, msgspec.convert(header["config"], TrainConfig), came_to)
    except (KeyError, msgspec.ValidationError):
        return None


def methods_of(trainings: Sequence[Training]) -> list[Method]:
    """The trainings by method and target, labelled with the settings in which the methods differ."""
    groups = grouped(trainings, lambda one: settings_of(one.config))
    settings = [settings_of(group[0].config) for group in groups]
    keys = dict.fromkeys(key for one in settings for key in one if key != "prune.method")
    differing = [key for key in keys if len({str(one[key]) for one in settings if key in one}) > 1]
    out = []
    for group, own in zip(groups, settings, strict=True):
        label = [own["prune.method"].replace("_", " "), *(worded(key, own[key]) for key in differing if key in own)]
        points = grouped(group, lambda one: targets_of(one.config))
        points.sort(key=lambda point: over([one.came_to.sparsity for one in point]).mean)
        out.append(Method(", ".join(label), tuple(points)))
    return out


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """What the runs of one method share, under dotted names: all but seed and target, but which kind of target it is. Nothing
    else of `prune` means anything to a dense network."""
    settings = flattened(msgspec.to_builtins(config))
    del settings["seed"]
    targets = targets_of(config)
    if not targets:
        return {key: value for key, value in settings.items() if key == "prune.method" or not key.startswith("prune.")}
    settings = {key: value for key, value in settings.items() if key.removeprefix("prune.") not in targets}
    return settings | {"prune.target": next((name for name, value in targets.items() if value), "")}


def targets_of(config: TrainConfig) -> dict[str, float]:
    """The targets by which the runs of one method differ; a dense network has none."""
    return {} if config.prune.method == "dense" else {name: getattr(config.prune, name) for name in TARGETS}


def flattened(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= flattened(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def grouped(trainings: Sequence[Training], by: Callable[[Training], dict[str, Any]]) -> list[tuple[Training, ...]]:
    """Those of equal settings together, in the order of the first of each."""
    groups: dict[bytes, list[Training]] = {}
    for one in trainings:
        groups.setdefault(msgspec.json.encode(by(one)), []).append(one)
    return [tuple(group) for group in groups.values()]


def worded(key: str, value: Any) -> str:
    """One setting in a label: "epochs 40", "to synops"."""
    if key == "prune.target":
        return f"to {value.removeprefix('target_').replace('_', ' ')}"
    name = key.rpartition(".")[2].replace("_", " ")
    return f"{name} {' '.join(map(str, value)) if isinstance(value, list | tuple) else value}"


def rows(methods: Sequence[Method], energies: Mapping[str, float]) -> list[list[str]]:
    """A row for each point, over its seeds. `energies`: joules per sample, by run."""
    out = []
    for method in methods:
        for point in method.points:
            priced = [energies[one.name] for one in point if one.name in energies]
            joules = deviating(over(priced), "J") if len(priced) == len(point) else "–"
            out.append([*cells(method.label, [one.came_to for one in point]), joules])
    return out
