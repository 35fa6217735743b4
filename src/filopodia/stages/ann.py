"""weights.safetensors to ann.json: the ANN of the same shape, trained by the same recipe, and what it answers rightly."""

from __future__ import annotations

import msgspec

from filopodia.config import Config
from filopodia.errors import FileError, UnsupportedError
from filopodia.report.wording import count, percent
from filopodia.run import RunFolder, write_text
from filopodia.stage import Progress, Stage, StageSkipped, holds


class Score(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One network without spikes: its right answers, and how it was made."""

    correct: int
    made: str


class Scores(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """ann.json: by baseline, "cost table name" as `hardware.against_baselines` takes them."""

    format: str = "filopodia ann"
    version: int = 1
    samples: int
    networks: dict[str, Score]

    def accuracies(self) -> dict[str, float]:
        return {name: score.correct / self.samples for name, score in self.networks.items()}


def ann(folder: RunFolder, config: Config, progress: Progress | None) -> str:
    from filopodia import prune
    from filopodia.hardware.energy.baselines import fair_bits

    if config.estimate.ann == "untrained":
        raise StageSkipped("estimate.ann is untrained; its accuracy stays unknown")
    model = prune.load_model(config.train, folder.require("weights.safetensors"))
    bits = fair_bits(config.train.data.steps)
    try:
        found = prune.train_anns(
            config.train, prune.layer_sparsities(model), bits, samples=config.export.samples, progress=progress
        )
    except UnsupportedError as error:
        raise StageSkipped(f"no ANN is equivalent to this network ({error.found})") from None
    recipe = f"trained by this network's recipe, {found.epochs} epochs: a ReLU for its neurons, a value for its steps"
    networks = {
        "cmos45/fp32 ANN": (found.fp32, recipe),
        "cmos45/int8 ANN": (found.int8, "the fp32 ANN, weights and the layers' inputs rounded to 8 bits after training"),
        "cmos45/int8 pruned ANN": (
            found.pruned_int8,
            "the fp32 ANN, as many zeros in each layer as here, trained on as long again, then rounded to 8 bits",
        ),
        f"cmos45/int8 QNN {bits}-bit": (
            found.qnn,
            f"the fp32 ANN, weights and the layers' inputs of {bits} bits, trained on half as long again",
        ),
    }
    scores = Scores(
        samples=found.samples,
        networks={name: Score(correct=correct, made=made) for name, (correct, made) in networks.items()},
    )
    write_text(folder / "ann.json", msgspec.json.format(msgspec.json.encode(scores), indent=1).decode())
    rows = ("fp32", found.fp32), ("int8", found.int8), ("pruned", found.pruned_int8), (f"{bits}-bit", found.qnn)
    said = ", ".join(f"{name} {percent(correct / found.samples, 2)}" for name, correct in rows)
    return f"{said} of {count(found.samples)} samples right"


ANN = Stage(
    "ann",
    reads=("weights.safetensors",),
    writes=("ann.json",),
    settings=lambda config: {"train": config.train, "samples": config.export.samples, "ann": config.estimate.ann},
    work=ann,
)


def load_scores(folder: RunFolder) -> Scores | None:
    """ann.json, if there is one and it is of the weights that are here. Raises FileError for what is none."""
    if not holds(ANN, folder):
        return None
    path = folder / "ann.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Scores)
    except msgspec.MsgspecError as error:
        raise FileError(f"not the scores of ANNs ({error})", where=str(path), fix="`filopodia run` makes them anew") from None
