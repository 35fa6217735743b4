"""`filopodia verify`: torch, float NIR, integers and Lava compared, layer by layer and step by step."""

from __future__ import annotations

from collections.abc import Sequence

from filopodia.cli import screen
from filopodia.cli.steps import StepArguments, print_json, step
from filopodia.report.wording import count, percent
from filopodia.stages.verify import VERIFY, load_proofs


class Arguments(StepArguments, frozen=True, kw_only=True):
    pass


def main(words: Sequence[str]) -> None:
    arguments, folder, _ = step("verify", Arguments, words, VERIFY)
    proofs = load_proofs(folder)
    if arguments.json:
        print_json(proofs)
        return
    rows = []
    for link in proofs.links:
        for layer in link.layers:
            share = percent(layer.differing / layer.either, 2) if layer.differing else "none"
            rows.append([f"{link.before} → {link.after}", layer.layer, count(layer.spikes), share, layer.first])
    screen.heading("Spikes that differ")
    screen.table(["link", "layer", "spikes", "differing", "first difference"], rows, left=2, prose=1)
    rows = [[a.by, percent(a.value, 2), f"{count(a.correct)} of {count(a.samples)}"] for a in proofs.accuracies]
    if rows:
        screen.heading("Accuracy")
        screen.table(["run", "right", "samples"], rows)
