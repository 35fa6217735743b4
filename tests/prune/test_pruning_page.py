"""docs/pruning.md cannot rot: its code runs, what it names exists, and its tables are what the results say."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from filopodia.prune import RECIPES, PruneConfig

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pruning.md").read_text(encoding="utf-8")
RESULTS = ROOT / "benchmarks" / "results"

pytestmark = pytest.mark.repository


def runs(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((RESULTS / f"{name}.json").read_text())["runs"]
    return found


def rows(head: str) -> list[list[str]]:
    """Cells of the table whose first line is `head`."""
    lines = PAGE.splitlines()
    start = lines.index(head) + 2
    end = next((n for n in range(start, len(lines)) if not lines[n].startswith("|")), len(lines))
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[start:end]]


def shown(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def test_the_example_prunes() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    found: dict[str, Any] = {}
    exec(compile(code, "pruning.md", "exec"), found)
    assert found["zeros"] == round(0.9 * (20 * 64 + 64 * 4))


def test_what_the_page_names_exists() -> None:
    for path in re.findall(r"(?:`|python |\()((?:\.\./)?(?:benchmarks|prune|tests)/[\w/.]+)", PAGE):
        assert (ROOT / path.removeprefix("../")).exists(), path
    assert [name for name in RECIPES if f"`{name}`" not in PAGE] == []
    methods = get_args(get_type_hints(PruneConfig)["method"])
    assert [name for name in methods if name not in ("stds", "dense") and f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("data", ["mnist", "nmnist"])
def test_the_rivals_tables_are_what_was_measured(data: str) -> None:
    found = runs(f"prune_rivals_{data}")
    table = rows(f"| {'MNIST' if data == 'mnist' else 'N-MNIST'}, accuracy % | 90 % zero | 95 % | 98 % | SynOps at 95 % |")
    assert {row[0] for row in table} == {"dense", *(run["name"].rpartition(" ")[0] for run in found if run["name"] != "dense")}
    for name, *cells in table:
        for cell, target in zip(cells, ("90%", "95%", "98%"), strict=False):
            some = [run for run in found if run["name"] == (name if name == "dense" else f"{name} {target}")]
            assert len({run["seed"] for run in some}) >= 3 or (cell == "–" and not some)
            assert not some or cell == shown([100 * run["accuracy"] for run in some])
        middle = [run["synops"] for run in found if run["name"] == (name if name == "dense" else f"{name} 95%")]
        assert cells[-1] == (f"{statistics.mean(middle):,.0f}" if middle else "–")


def test_the_confirmation_is_what_was_measured() -> None:
    found = runs("prune_rivals_nmnist_from_seed_3")
    table = rows("| N-MNIST, seeds 3 to 5, accuracy % | 98 % zero |")
    assert {f"{name} 98%" for name, _ in table} == {run["name"] for run in found} - {"dense"}
    for name, cell in table:
        some = [run for run in found if run["name"] == f"{name} 98%"]
        assert sorted(run["seed"] for run in some) == [3, 4, 5]
        assert cell == shown([100 * run["accuracy"] for run in some])


def test_the_digits_are_what_was_measured() -> None:
    found = runs("prune_digits")
    sparse, dense = (shown([100 * run["accuracy"] for run in found if run["name"] == name]) for name in ("stds", "dense"))
    assert f"three seeds: {sparse} % of the 360 test\nimages; dense {dense} %." in PAGE


def test_the_headline_runs_are_what_was_measured() -> None:
    for name, *cells in rows("| MNIST, whole | seeds | weights zero | accuracy | SynOps per sample | CPU time |"):
        found = runs(f"prune_mnist_{name}")
        accuracies, synops, cpu = ([run[key] for run in found] for key in ("accuracy", "synops", "cpu_s"))
        accuracy = shown([100 * x for x in accuracies]) if len(found) > 1 else f"{accuracies[0]:.2%}".removesuffix("%")
        zeros = {f"{run['sparsity']:.2%}".replace("%", " %") for run in found}
        measured = [f"{accuracy} %", f"{statistics.mean(synops):,.0f}", f"{statistics.mean(cpu) / 60:.1f} min"]
        assert cells == [str(len(found)), *zeros, *measured]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("mnist", "MNIST, MLP"),
        ("mnist-csnn", "MNIST, CSNN"),
        ("nmnist", "N-MNIST, CSNN"),
        ("nmnist_from_seed_3", "N-MNIST, CSNN, seeds 3 to 5"),
    ],
)
def test_the_synops_tables_are_what_was_measured(data: str, what: str) -> None:
    found = runs(f"prune_synops_{data}")
    table = rows(f"| {what} | accuracy % | SynOps per sample | weights zero % |")
    assert {name for name, *_ in table} == {run["name"] for run in found}
    for name, accuracy, synops, sparsity in table:
        some = [run for run in found if run["name"] == name]
        assert len(some) >= 3
        assert accuracy == shown([100 * run["accuracy"] for run in some])
        assert synops == f"{statistics.mean(run['synops'] for run in some):,.0f}"
        assert sparsity == f"{100 * statistics.mean(run['sparsity'] for run in some):.1f}"


def test_the_step_costs_are_what_was_measured() -> None:
    ratios = [f"{run['ratio']:.2f}" for run in runs("prune_step_cost")]
    assert f"takes {ratios[0]}, {ratios[1]} and {ratios[2]} times" in PAGE
