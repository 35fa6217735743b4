"""The table a run closes with: what it came to, at 80 columns, and where the report is."""

from __future__ import annotations

from filopodia.cli import screen
from filopodia.report.contest import TWIN
from filopodia.report.data import Report, decode_report
from filopodia.report.wording import count, percent, ratio, si, si_range
from filopodia.run import RunFolder


def closing_table(folder: RunFolder) -> None:
    """Print the headline of report.json."""
    path = folder.require("report.json")
    report = decode_report(path.read_bytes(), str(path))
    screen.heading(f"{report.title} on {report.chip_title}")
    screen.table((), headline(report))
    screen.paragraph(report.verdict)
    screen.paragraph(report.remark)
    screen.say(f"\nreport: {folder / 'report.html'}")


def headline(report: Report) -> list[list[str]]:
    """Rows of (what, value, remark)."""
    rows = [[f"accuracy, {a.by}", percent(a.value, 2), f"{count(a.correct)} of {count(a.samples)}"] for a in report.accuracies]
    rows.append(
        ["weight sparsity", percent(report.sparsity), f"{count(report.nonzero)} of {count(report.weights)} weights left"]
    )
    for link in report.links:
        same = link.differing == 0
        value = "identical" if same else percent(link.share, 2) + " differ"
        rows.append([f"{link.before} → {link.after}", value, f"{count(link.spikes)} spikes in {len(link.layers)} layers"])
    dense = f"dense twin: {ratio(report.dense_synops / report.synops)} as many" if report.dense_synops and report.synops else ""
    rows.append(["synops per sample", count(report.synops), dense])
    own = report.own
    rows.append(["energy per sample", si(own.energy.nominal, "J"), f"{si_range(own.energy, 'J')} (an estimate)"])
    for other in report.contestants:
        if other.name in {TWIN, "ANN, int8"}:
            right = f", {percent(other.accuracy, 2)} right" if other.accuracy is not None else ""
            rows.append([f"  {other.name}", si(other.energy.nominal, "J"), si_range(other.energy, "J") + right])
    if own.latency:
        rows.append(["latency per sample", si(own.latency.nominal, "s"), si_range(own.latency, "s")])
    if report.cores:
        rows.append(["neurocores", str(len(report.cores)), f"of {report.cores_per_chip} on a chip"])
    return rows
