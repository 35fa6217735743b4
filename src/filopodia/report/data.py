"""What a report says, as data: report.json is this structure, and the page is a view of it and of nothing else."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from filopodia.errors import FileError
from filopodia.report.costs import Amount, Cause, Constant, Contestant, Judgement, Lever, Pace, Spread, Swing


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Correct answers of one run over the test set. `by` says who ran it: torch, float32, integers, lava 0.10.0 ..."""

    by: str
    correct: int
    samples: int

    @property
    def value(self) -> float:
        return self.correct / self.samples if self.samples else 0.0


class LayerMatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One layer compared in one link of the chain, over all steps and samples.

    `compared` places, of which the first run fired in `spikes`, one run or both in `either`, and exactly one in `differing`.
    """

    layer: str
    compared: int
    differing: int
    spikes: int
    either: int
    first: str = ""


class Link(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of the chain of proofs: two runs of the same samples. `exact` links must not differ in a single spike."""

    before: str
    after: str
    exact: bool
    samples: int
    layers: tuple[LayerMatch, ...]
    note: str = ""

    @property
    def differing(self) -> int:
        return sum(layer.differing for layer in self.layers)

    @property
    def share(self) -> float:
        """Differing spikes over all that either run fired; measured on places, most of them silent, it would look smaller."""
        return self.differing / max(1, sum(layer.either for layer in self.layers))

    @property
    def spikes(self) -> int:
        return sum(layer.spikes for layer in self.layers)


class Layer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One layer of the chip's network, per sample where a number is an event count. `energy` in joules per sample.

    `weight_error`: root mean square of what rounding did to the weights, over their own root mean square.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    neurons: int
    weights: int
    nonzero: int
    cores: int
    spikes: float
    rate: float
    synops: float
    dense_synops: float | None
    energy: Amount | None
    mismatch: float | None
    weight_error: float | None = None


class Epoch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the training's telemetry."""

    epoch: int
    loss: float
    accuracy: float
    sparsity: float
    threshold: float
    phase: str = ""


class CoreUse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One neurocore: where it is, whose neurons it holds, how much of each limit it uses; per sample its synops and dynamic
    joules; the seconds it works in a mean step, where time has a price."""

    index: int
    chip: int
    position: tuple[int, int, int]
    layers: dict[str, int]
    used: dict[str, int]
    synops: float = 0.0
    energy: Amount | None = None
    busy: float | None = None


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a core allows of a resource, and where the number stands."""

    value: int
    unit: str
    source: str


class Raster(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Spikes of one sample in one layer: step and neuron of each; `neurons` in all, of which every `stride`-th is shown."""

    layer: str
    neurons: int
    stride: int
    steps: tuple[int, ...]
    indices: tuple[int, ...]


class StageTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of the chain: the exact command, and how long it took."""

    name: str
    command: str
    started: str
    seconds: float
    skipped: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the questions a reader has at a glance, and its answer."""

    question: str
    answer: str


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result of a run. Energies in joules, times in seconds, counts per sample unless said otherwise."""

    format: Literal["filopodia report"] = "filopodia report"
    version: Literal[1] = 1
    title: str
    created: str
    chip: str
    chip_title: str
    steps: int
    dt: float
    backend: str
    verdict: str
    remark: str
    standing: Literal["wins", "loses", "undecided"]
    accuracies: tuple[Accuracy, ...]
    weights: int
    nonzero: int
    synops: float
    synops_sd: float
    dense_synops: float | None
    links: tuple[Link, ...]
    layers: tuple[Layer, ...]
    epochs: tuple[Epoch, ...]
    contestants: tuple[Contestant, ...]
    causes: tuple[Cause, ...]
    levers: tuple[Lever, ...]
    swings: tuple[Swing, ...]
    constants: tuple[Constant, ...]
    cores: tuple[CoreUse, ...]
    limits: dict[str, Limit]
    cores_per_chip: int
    rasters: tuple[Raster, ...]
    raster_sample: str
    notes: tuple[str, ...]
    settings: dict[str, Any]
    stages: tuple[StageTime, ...]
    versions: dict[str, str]
    machine: dict[str, str]
    git: str
    neurobench: dict[str, Any] = {}
    glance: tuple[Answer, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    pace: Pace | None = None
    spreads: tuple[Spread, ...] = ()
    evidence: dict[str, float] = {}
    edp: Amount | None = None

    @property
    def sparsity(self) -> float:
        return 1 - self.nonzero / self.weights if self.weights else 0.0

    @property
    def own(self) -> Contestant:
        return next(contestant for contestant in self.contestants if contestant.own)


def encode_report(report: Report) -> str:
    """report.json's text, indented."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1).decode()


def decode_report(text: bytes, where: str) -> Report:
    """Read report.json back; raises FileError naming the file and the key."""
    try:
        return msgspec.json.decode(text, type=Report)
    except msgspec.MsgspecError as error:
        raise FileError(
            f"not a report of this version ({error})", where=where, fix="`filopodia report` writes it anew"
        ) from None
