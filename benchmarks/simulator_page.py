"""Write the measured figures into the tables of docs/speed.md, and the cost of counting into that of docs/energy.md.

    python benchmarks/simulator_page.py

Run it after the benchmarks of the simulator have saved their results.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Replace the rows below each head."""
    for page, tables in pages().items():
        path = ROOT / "docs" / page
        lines = path.read_text(encoding="utf-8").splitlines()
        for head, rows in tables.items():
            start = lines.index(head) + 2
            end = next((n for n in range(start, len(lines)) if not lines[n].startswith("|")), len(lines))
            lines[start:end] = ["| " + " | ".join(row) + " |" for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def pages() -> dict[str, dict[str, list[list[str]]]]:
    """Rows of each table, by page and head."""
    speed, floats, rivals, limits = (figures(f"simulator_{name}") for name in ("speed", "floats", "rivals", "limits"))
    return {
        "speed.md": {
            "| network, sparsity / spikes | µs per sample and step | × SpikingJelly | × torch without neurons |": [
                [name, three(x["us_per_sample_step"]), three(x["x_spikingjelly"]), three(x["x_torch"])]
                for name, x in speed.items()
            ],
            "| network in floats, sparsity / spikes | µs per sample and step | × SpikingJelly | × torch without neurons |": [
                [name, three(x["us_per_sample_step"]), three(x["x_spikingjelly"]), three(x["x_torch"])]
                for name, x in floats.items()
            ],
            "| simulator | its µs per sample and step | ours | times longer | fired |": [
                [
                    name,
                    three(x["us_per_sample_step"]),
                    three(x["ours_us_per_sample_step"]),
                    three(x["x"]),
                    f"{100 * x['fired']:.1f} %",
                ]
                for name, x in (rivals | lava()).items()
            ],
            "| figure | measured |": [[name, three(value)] for name, value in limits.items()],
            "| kernel and layer | share of the core's own loop |": [
                [name, f"{100 * value:.0f} %"] for name, value in figures("simulator_peak").items() if "peak" not in name
            ],
            "| cost law | kernel S | kernel G |": cost_law(),
        },
        "energy.md": {
            "| network | cores | share |": [
                [row["network"], str(row["cores"]), f"{100 * row['counting_share']:.0f} %"]
                for row in saved("energy_counting_cost")
            ],
        },
    }


def cost_law() -> list[list[str]]:
    """How well the prices of `hardware/simulator/cost.py` tell the time of single layers."""
    law = saved("simulator_cost")
    both = [law["S"], law["G"]]
    return [
        [f"layers within 20 %, of {law['cases']}", *(f"{100 * x['within_20_percent']:.0f} %" for x in both)],
        *(
            [f"said over measured, {p} of layers below", *(three(x["said_over_measured"][p]) for x in both)]
            for p in ("10%", "90%")
        ),
    ]


def lava() -> dict[str, dict[str, float]]:
    """Lava's row, once it was measured; it fires what we fire, bit by bit."""
    if not (ROOT / "benchmarks" / "results" / "simulator_lava.json").is_file():
        return {}
    x = figures("simulator_lava")
    return {
        "Lava 0.10.0, fixed-point models": {
            "us_per_sample_step": 1e3 * x["lava_ms_per_step"],
            "ours_us_per_sample_step": x["ours_one_sample_us_per_step"],
            "x": x["x_one_sample"],
            "fired": 1.0,
        }
    }


def saved(name: str) -> Any:
    """What a benchmark saved."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def figures(name: str) -> Any:
    """The figures of a benchmark that saves its machine too."""
    return saved(name)["figures"]


def three(x: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


if __name__ == "__main__":
    main()
