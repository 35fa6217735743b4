"""A run folder's files to one Report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from filopodia.config import Config
from filopodia.errors import FileError
from filopodia.golden import Golden, load_golden
from filopodia.provenance import load_provenance, now
from filopodia.report import anatomy, contest, glance
from filopodia.report.data import Accuracy, Epoch, Limit, Report, StageTime
from filopodia.run import RunFolder
from filopodia.stage import holds, plain
from filopodia.stages.answers import correct
from filopodia.stages.lava import LAVA
from filopodia.stages.verify import load_proofs

if TYPE_CHECKING:
    from filopodia.hardware.activity import Activity
    from filopodia.hardware.program import Program


def collect(folder: RunFolder, config: Config) -> Report:
    """Everything the page says, from what the earlier stages wrote. Raises FileError for what is missing."""
    from filopodia import hardware

    program = hardware.load_program(folder.require("program.npz"))
    activity = hardware.load_activity(folder.require("activity.npz"))
    network = hardware.load(folder.require("model.nir"))
    golden = load_golden(folder.require("golden.npz"), activity.samples)
    estimate = load_estimate(folder)
    proofs = load_proofs(folder)
    chip = hardware.load_chip(program.chip)
    own = next((a for a in proofs.accuracies if a.by == "integers"), None)
    rows = contest.contestants(estimate, own, twin_accuracy(folder))
    chip_name = chip.title.partition(" (")[0]
    sentence, standing = contest.verdict(rows, contest.place(estimate, chip_name))
    causes, levers, remark = contest.causes(estimate), contest.levers(estimate), contest.remark(estimate)
    product = estimate["pruned"]["edp"]
    layers = anatomy.layers(network, program, estimate, proofs.links)
    per_core = {name: limit for name, limit in chip.limits.items() if any(name in core.used for core in program.cores)}
    provenance = load_provenance(folder)
    sample = min(config.report.sample, activity.samples - 1)
    return Report(
        title=config.name,
        created=now(),
        chip=program.chip,
        chip_title=chip_name,
        steps=activity.steps,
        dt=network.semantics.dt,
        backend=activity.backend,
        verdict=sentence,
        remark=remark,
        standing=standing,
        accuracies=proofs.accuracies,
        weights=sum(layer.weights for layer in layers),
        nonzero=sum(layer.nonzero for layer in layers),
        synops=estimate["pruned"]["synop_spread"]["mean"],
        synops_sd=estimate["pruned"]["synop_spread"]["sd"],
        dense_synops=estimate["twin"]["synop_spread"]["mean"] if estimate["twin"] else None,
        links=proofs.links,
        layers=layers,
        epochs=epochs(folder, config.train.epochs),
        contestants=rows,
        causes=causes,
        levers=levers,
        swings=contest.swings(estimate),
        constants=contest.constants(estimate),
        cores=anatomy.cores(program, estimate),
        limits={name: Limit(value=limit.value, unit=limit.unit, source=limit.source) for name, limit in per_core.items()},
        cores_per_chip=chip.limits["cores_per_chip"].value if "cores_per_chip" in chip.limits else len(program.cores),
        rasters=anatomy.rasters(program, activity, sample),
        raster_sample=described_sample(program, activity, golden, sample),
        notes=notes(folder),
        settings=plain(config),
        stages=stage_times(folder),
        versions=provenance.versions,
        machine=provenance.machine,
        git=provenance.git,
        neurobench=estimate["metrics"],
        glance=glance.glance(estimate, rows[0], chip_name, causes, levers, remark),
        judgements=glance.judgements(estimate),
        pace=glance.pace(estimate["pruned"]),
        spreads=contest.spreads(estimate["pruned"]),
        evidence=estimate["pruned"]["evidence"],
        edp=contest.amount(product) if product else None,
    )


def load_estimate(folder: RunFolder) -> dict[str, Any]:
    """The content of estimate.json."""
    path = folder.require("estimate.json")
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise FileError(f"not JSON ({error})", where=str(path), fix=f"`filopodia estimate {folder.path}`") from None
    if not isinstance(value, dict) or value.get("format") != "filopodia estimate" or value.get("version") != 1:
        raise FileError("not an estimate of this version", where=str(path), fix=f"`filopodia estimate {folder.path}`")
    return value


def twin_accuracy(folder: RunFolder) -> Accuracy | None:
    """Right answers of the dense twin in integers; None where there is no twin."""
    from filopodia import hardware

    twin = folder.twin
    if not all((twin / name).is_file() for name in ("program.npz", "activity.npz", "golden.npz")):
        return None
    activity = hardware.load_activity(twin / "activity.npz")
    right = correct(hardware.load_program(twin / "program.npz"), activity, load_golden(twin / "golden.npz", activity.samples))
    return None if right is None else Accuracy(by="integers", correct=right, samples=activity.samples)


def epochs(folder: RunFolder, last: int) -> tuple[Epoch, ...]:
    """The training's telemetry; empty for a network that came as a NIR file. Epochs after the `last` were in fixed point."""
    path = folder / "telemetry.jsonl"
    if not path.is_file():
        return ()
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise FileError(f"not JSON lines ({error})", where=str(path), fix="`filopodia train --force` writes it anew") from None
    return tuple(
        Epoch(
            epoch=row["epoch"],
            loss=row["loss"],
            accuracy=row["test_accuracy"],
            sparsity=row["sparsity"],
            threshold=row["threshold"],
            phase="fixed point" if row["epoch"] > last else "mask frozen" if row["frozen"] else "pruning",
        )
        for row in rows
    )


def described_sample(program: Program, activity: Activity, golden: Golden, sample: int) -> str:
    """ "Test sample 0, a 7, read as 7"."""
    text = f"Sample {sample}"
    readout = program.metadata.get("readout")
    if golden.labels is None or not readout or len(program.outputs) != 1:
        return text
    answer = activity.predictions(program.outputs[0], readout["classes"], readout["votes"])[sample]
    return f"{text}, class {golden.labels[sample]}, read as {answer}"


def notes(folder: RunFolder) -> tuple[str, ...]:
    """What a reader must know about how the numbers came about."""
    record = load_provenance(folder).stages.get("lava")
    if record is None:
        return ("Real Lava was not run; the integer simulator served.",)
    if record.skipped:
        return (f"Real Lava was not run: {record.skipped}.",)
    if not holds(LAVA, folder):
        return ("Real Lava ran an earlier program of this folder, not this one; the integer simulator served.",)
    return (f"Real Lava ran it too: {record.summary}.",)


def stage_times(folder: RunFolder) -> tuple[StageTime, ...]:
    """The steps in the order they were first done, the twin's behind."""
    out = []
    for prefix, place in (("", folder), ("twin ", folder.twin)):
        for name, record in load_provenance(place).stages.items():
            if name != "report":
                out.append(
                    StageTime(
                        name=prefix + name,
                        command=record.command,
                        started=record.started,
                        seconds=record.seconds,
                        skipped=record.skipped,
                    )
                )
    return tuple(out)
