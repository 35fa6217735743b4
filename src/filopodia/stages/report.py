"""Everything a run folder knows to report.json, and report.json to report.html."""

from __future__ import annotations

from filopodia.config import Config
from filopodia.run import RunFolder, write_text
from filopodia.stage import Progress, Stage


def report(folder: RunFolder, config: Config, progress: Progress | None) -> str:
    from filopodia.report import encode_report, render
    from filopodia.report.collect import collect

    result = collect(folder, config)
    write_text(folder / "report.json", encode_report(result))
    write_text(folder / "report.html", render(result))
    return str(folder / "report.html")


REPORT = Stage(
    "report",
    reads=("model.nir", "golden.npz", "program.npz", "activity.npz", "verify.json", "estimate.json"),
    uses=("telemetry.jsonl", "lava.npz", "twin/activity.npz"),
    writes=("report.json", "report.html"),
    settings=lambda config: {"report": config.report, "name": config.name},
    work=report,
)
