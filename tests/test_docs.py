"""The pages under docs/ cannot rot: links lead somewhere, code runs, and tables say what the chip files and the results say."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from filopodia import hardware

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RESULTS = ROOT / "benchmarks" / "results"

pytestmark = pytest.mark.repository


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page(name), re.DOTALL | re.MULTILINE)


def rows(name: str, head: str) -> list[list[str]]:
    """Cells of the table whose first line is `head`."""
    lines = page(name).splitlines()
    start = lines.index(head) + 2
    end = next((n for n in range(start, len(lines)) if not lines[n].startswith("|")), len(lines))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[start:end]]


def anchors(text: str) -> set[str]:
    """Headings as GitHub names them."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def run(name: str, language: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    found: dict[str, Any] = {}
    (code,) = blocks(name, language)
    exec(compile(code, name, "exec"), found)
    return found


@pytest.mark.parametrize("name", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_lead_somewhere(name: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page(name)):
        file, _, part = link.partition("#")
        path = DOCS / (file or name)
        assert path.exists(), link
        assert not part or part in anchors(path.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("name", ["chip-files.md", "energy.md", "fixed-point.md", "lava.md", "semantics.md", "speed.md"])
def test_files_and_commands_that_a_page_names_exist(name: str) -> None:
    named = re.findall(r"(?:`|python )((?:benchmarks|hardware|tests|export)/[\w/.]+)", page(name))
    for path in named:
        assert (ROOT / path).exists(), path
    for result in re.findall(r"`((?:energy|network|compiler|simulator)_\w+\.json)`", page(name)):
        assert (RESULTS / result).is_file(), result


def test_the_chip_of_the_example_loads_and_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = blocks("chip-files.md", "toml")
    (tmp_path / "my-chip.toml").write_text(example)
    found = run("chip-files.md", "python", tmp_path, monkeypatch)
    chip, program, estimate = found["chip"], found["program"], found["estimate"]
    assert set(program.metadata["utilization"]) == {"neurons", "synapse_bits"}
    assert len(program.cores) == 1
    assert 0 < estimate.total.low < estimate.total.nominal < estimate.total.high
    assert [item.split(" (")[0] for item in estimate.unpriced] == ["inputs", "spikes", "outputs"]
    assert hardware.load_costs("my-chip.toml/bench") == chip.costs["bench"]


@pytest.mark.parametrize("name", ["energy.md", "fixed-point.md", "semantics.md"])
def test_python_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(name, "python", tmp_path, monkeypatch)


@pytest.mark.lava
def test_python_on_lava_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filopodia.errors import LavaError
    from filopodia.hardware.lava.python import find_python

    try:
        if find_python() is None:
            pytest.skip("no CPython 3.10 was found for Lava 0.10.0")
    except LavaError as error:
        pytest.skip(str(error))
    found = run("lava.md", "python lava", tmp_path, monkeypatch)
    assert found["lava"].backend == "lava 0.10.0"


def test_the_table_of_chips_is_that_of_the_files() -> None:
    shown = rows("chip-files.md", "| chip | limits | table | scope | evidence |")
    made = []
    for name in hardware.chip_names():
        chip = hardware.load_chip(name)
        for n, (table, costs) in enumerate(chip.costs.items()):
            prices = [*costs.energy.values(), *costs.power.values(), *costs.time.values(), *costs.barrier]
            grades = sorted(Counter(price.evidence for price in prices).items())
            first = [f"`{name}`", "yes" if chip.limits else "no"] if n == 0 else ["", ""]
            scope = "all_in" if costs.all_in else "per_op"
            made.append([*first, f"`{table}`", scope, ", ".join(f"{grade} {count}" for grade, count in grades)])
    assert shown == made


def test_limits_and_terms_are_all_explained() -> None:
    from filopodia.hardware.energy.prices import TERMS, UNITS

    explained = {
        name for row in rows("chip-files.md", "| limit | meaning | left out |") for name in re.findall(r"`(\w+)`", row[0])
    }
    shipped = {limit for name in hardware.chip_names() for limit in hardware.load_chip(name).limits}
    assert explained == shipped
    for section, units, terms in rows("chip-files.md", "| section | units | terms |"):
        key = re.findall(r"\w+", section)[0]
        assert units.split(", ") == list(UNITS[key])
        assert set(re.findall(r"`(\w+)`", terms)) == set(TERMS[key])


def test_figures_are_those_of_the_results() -> None:
    def result(name: str) -> Any:
        return json.loads((RESULTS / f"{name}.json").read_text())

    def number(x: float) -> str:
        return f"{x:,.0f}".replace(",", " ") if x >= 1000 else f"{x:.3f}" if x < 10 else f"{x:.2f}"

    def signed(text: str) -> str:
        return text.replace("%", " %").replace("-", "−")

    pilotnet = result("energy_pilotnet")
    assert rows("energy.md", "| figure | ours | measured | difference |") == [
        [what, number(ours), number(theirs), signed(error)] for what, ours, theirs, error in pilotnet["rows"]
    ]
    priced = []
    for table, found in pilotnet["energy"].items():
        low, nominal, high = (f"{joules:.3f}" for joules in found["dynamic_mJ"])
        holds = "yes" if found["holds_every_run"] else "no"
        priced.append([f"`{table}`", nominal, f"{low}–{high}", holds, f"{found['total_mJ']:.3f}"])
    assert rows("energy.md", "| table | nominal | range | holds every published run | total, nominal |") == priced
    assert rows("energy.md", "| figure | ours | SANA-FE |") == [
        [what, f"{ours:.10g}", f"{theirs:.10g}"] for what, ours, theirs in result("energy_sanafe")
    ]
    assert rows("energy.md", "| figure | table | low | nominal | high | measured |") == [
        [what, f"`{table}`", *(f"{value:.3g}" for value in values)]
        for what, table, *values, _ in result("energy_published")["rows"]
        if not what.startswith("spotter")
    ]
    neurobench = result("energy_neurobench")
    rival = "SpikingJelly SynOps"
    assert rows("energy.md", "| network | ours | SpikingJelly | ratio |") == [
        [name, f"{ours:.10g}", f"{theirs:.10g}", f"{theirs / ours:.2f}"]
        for name, what, ours, theirs, _ in neurobench
        if what == rival
    ]
    equal = [same for _, what, _, _, same in neurobench if what != rival]
    assert all(equal)
    assert f"All\n{len(equal)} NeuroBench metrics are equal" in page("energy.md")
    assert rows("energy.md", "| network | cores | share |") == [
        [row["network"], str(row["cores"]), f"{100 * row['counting_share']:.0f} %"] for row in result("energy_counting_cost")
    ]
    mnist = result("compiler_mnist")
    for accuracy in (mnist["torch accuracy"], *(mnist[way]["accuracy"] for way in ("blind", "calibrated", "wide"))):
        assert f"{accuracy:.2f} %" in page("semantics.md")


def test_fixed_point_brings_what_the_benchmark_measured() -> None:
    head = (
        "| network, 90 % pruned | test samples | trained | in integers | hidden spikes identical "
        "| fine-tuned | in integers | hidden spikes identical |"
    )
    measured = json.loads((RESULTS / "deploy_mnist.json").read_text())
    keys = ("torch accuracy %", "integer accuracy %", "hidden spikes identical %")
    for row, name in zip(rows("fixed-point.md", head), ("mlp", "csnn", "nmnist"), strict=True):
        found = measured[name]
        assert row[1] == str(found["test samples"])
        assert row[2:] == [f"{found[way][key]:.2f}" for way in ("post-training", "fine-tuned") for key in keys]
        assert not any(found["lava"]["differing"].values())
        assert found["lava"]["samples"] == min(300, found["test samples"])


def test_figures_of_speed_are_those_of_the_results() -> None:
    import simulator_page  # benchmarks/, which an installed wheel does not have

    for name, tables in simulator_page.pages().items():
        for head, expected in tables.items():
            assert expected
            assert rows(name, head) == expected, "run python benchmarks/simulator_page.py"
    for figures in simulator_page.figures("simulator_rivals").values():
        assert abs(figures["fired"] - 1) < 0.05  # the same work


def test_differences_from_the_silicon_are_those_of_the_test() -> None:
    shown = rows("semantics.md", "| difference | example | Lava adds up | the chip adds up | why compiled programs are safe |")
    tested = (ROOT / "tests" / "hardware" / "lava" / "test_silicon.py").read_text()
    names = re.findall(r'^    "(.+? bits|.+?): Lava', tested, re.MULTILINE)
    assert [row[0].partition(":")[0] for row in shown] == names


def test_every_metadata_key_that_export_writes_is_explained() -> None:
    source = (ROOT / "export" / "torch_to_nir.py").read_text(encoding="utf-8")
    body = source[source.index("facts: dict[str, Any] = {") : source.index("return facts")]
    written = {first or second for first, second in re.findall(r'^ {8}"(\w+)":|facts\["(\w+)"\]', body, re.MULTILINE)}
    assert written == {row[0].strip("`") for row in rows("semantics.md", "| key | example | meaning |")}


def test_no_page_is_an_island() -> None:
    """Every page links to another and is linked from another."""
    pages = {
        name: set(re.findall(r"\]\((\w[\w-]*\.md)", page(name)))
        for name in ("chip-files.md", "energy.md", "fixed-point.md", "lava.md", "semantics.md", "speed.md")
    }
    for name, links in pages.items():
        assert links & (set(pages) - {name}), name
    assert set(pages) <= set().union(*pages.values())
