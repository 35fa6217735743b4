"""`filopodia compile`: integers on cores, and how full the cores are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import tyro

from filopodia.cli import screen
from filopodia.cli.steps import FileArguments, print_json, step
from filopodia.config import CompileConfig
from filopodia.provenance import load_provenance
from filopodia.report.wording import count, percent
from filopodia.stages.compile import COMPILE

if TYPE_CHECKING:
    from filopodia.hardware.program import Program

ROWS = 24  # cores listed one by one; of more, the fullest


class Arguments(FileArguments, frozen=True, kw_only=True):
    compile: Annotated[CompileConfig, tyro.conf.arg(name="")] = CompileConfig()


def main(words: Sequence[str]) -> None:
    from filopodia import hardware

    arguments, folder, _ = step("compile", Arguments, words, COMPILE)
    program = hardware.load_program(folder / "program.npz")
    if arguments.json:
        known = program.metadata
        print_json(
            {
                "summary": load_provenance(folder).stages["compile"].summary,
                "chip": program.chip,
                "layers": dict(known.get("layers", {})),
                "traffic": known.get("traffic"),
                "cores": core_rows(program),
            }
        )
        return
    rounding_table(program)
    core_table(program)


def rounding_table(program: Program) -> None:
    """What becoming integers did to each layer; wrong spikes where a calibration counted them."""
    rows = []
    for layer in program.layers:
        report = program.metadata.get("layers", {}).get(layer.name)
        if report is not None:
            wrong = percent(report["mismatch"], 2) if "mismatch" in report else "–"
            lost = f"{count(report['vanished'])} of {count(report['weights'])}"
            rows.append([layer.name, f"{report['scale']:.5g}", percent(report["weight_error"], 2), lost, wrong])
    if rows:
        screen.heading("Rounding: what integers changed")
        screen.table(["layer", "units per 1.0", "weight error", "weights lost", "wrong spikes"], rows)


def core_rows(program: Program) -> list[dict[str, object]]:
    """Each core's place, neurons by layer, and what it uses of each limit."""
    return [
        {
            "core": core.index,
            "chip": core.chip,
            "position": list(core.position),
            "layers": {name: len(neurons) for name, neurons in core.neurons.items()},
            "used": dict(core.used),
        }
        for core in program.cores
    ]


def core_table(program: Program) -> None:
    """Used/max per core, the fullest first when there are too many to list."""
    from filopodia import hardware

    limits = hardware.load_chip(program.chip).limits
    names = [name for name in limits if any(name in core.used for core in program.cores)]
    fill = {core.index: max((core.used.get(n, 0) / limits[n].value for n in names), default=0.0) for core in program.cores}
    shown = sorted(program.cores, key=lambda core: -fill[core.index])[:ROWS] if len(program.cores) > ROWS else program.cores
    screen.heading(f"Cores of {program.chip}: used / max")
    rows = []
    for core in shown:
        used = [
            f"{count(core.used.get(name, 0))} ({percent(core.used.get(name, 0) / limits[name].value, 0)})" for name in names
        ]
        x, y, slot = core.position
        rows.append([str(core.index), f"{core.chip}:{x},{y}.{slot}", ", ".join(core.neurons), *used])
    rows.append(["max", "", "", *(count(limits[name].value) for name in names)])
    screen.table(["core", "chip:x,y.slot", "holds", *(name.replace("_", " ") for name in names)], rows, left=3)
    traffic = program.metadata.get("traffic")
    if traffic:
        sent, hops = traffic["messages_per_step"], traffic["hops_per_step"]
        screen.say(
            f"{sent:.1f} messages per step at the calibration's rates, {hops:.1f} hops between cores (a chip's border: 16)"
        )
    if len(program.cores) > ROWS:
        screen.say(f"the fullest {ROWS} of {len(program.cores)} cores; --json lists all")
