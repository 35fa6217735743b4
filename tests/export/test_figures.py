"""The figures of docs/export.md are those that the benchmarks saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf8")
NETWORKS = ("cifar10net", "sew_resnet18", "vggsnn", "recurrent")


def result(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    return found


def spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def test_random_networks() -> None:
    found = result("export_random")
    differing = {key: count for key, count in found.items() if key.startswith("differ, ")}
    assert len(differing) == 6
    assert not any(differing.values())
    assert all(name in PAGE for name in found["modules never drawn"])
    assert f"draws {found['networks']} networks" in PAGE
    assert (
        f"of {spaced(found['neuron_steps'])} neuron-steps and {spaced(found['integer_steps'])} in integers, none differs"
        in PAGE
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str) -> None:
    found = result("export_networks")[name]
    differing = sum(found["differ"].values())
    assert differing == 0
    assert found["neuron_steps"] > 1_000_000
    integers = spaced(found["integer_neuron_steps"]) if found["integer_neuron_steps"] else "–"
    cells = (spaced(found["parameters"]), spaced(found["neuron_steps"]), integers, "0", str(found["ties_trained_to_folded"]))
    assert f"| {' | '.join((f'`{name}`', *cells))} |" in PAGE
