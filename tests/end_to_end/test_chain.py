"""The whole chain on a tiny network: every file written, every proof held, every step reused, redone and readable alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from filopodia.cli import main
from filopodia.provenance import load_provenance, save_provenance
from filopodia.report import decode_report
from filopodia.run import FILES, RunFolder
from filopodia.stage import fingerprints


def test_a_run_leaves_every_file_and_nothing_else(tiny_run: Path) -> None:
    there = {path.name for path in tiny_run.iterdir()}
    expected = {*FILES, "provenance.json", "checkpoint.safetensors", "twin"} - {"lava.npz"}
    assert there == expected


def test_it_prints_progress_a_table_and_the_path(tiny_run: Path) -> None:
    printed = (tiny_run.parent.parent / "printed.txt").read_text()
    assert "epoch 1: " in printed
    assert "epoch 2: " in printed
    for word in ("accuracy, torch", "weight sparsity", "energy per sample", "Dense twin", "report: runs/tiny/report.html"):
        assert word in printed
    table = printed[printed.index("\ntiny on ") :]
    assert max(map(len, table.splitlines())) <= 80


def test_torch_and_nir_agree_on_every_spike(tiny_run: Path) -> None:
    report = decode_report((tiny_run / "report.json").read_bytes(), "report.json")
    first = report.links[0]
    assert (first.before, first.exact, first.differing) == ("torch", True, 0)
    assert first.spikes > 0
    assert {layer.name for layer in report.layers} == {match.layer for match in first.layers}


def test_what_is_exported_is_the_folded_model_whose_sums_need_no_order(tiny_run: Path) -> None:
    from filopodia import hardware

    exact = hardware.load(tiny_run / "model.nir").metadata["exact_sums"]
    assert exact
    assert all(exact.values())


def test_report_counts_what_the_simulation_counted(tiny_run: Path) -> None:
    from filopodia import hardware

    report = decode_report((tiny_run / "report.json").read_bytes(), "report.json")
    activity = hardware.load_activity(tiny_run / "activity.npz")
    synops = sum(int(counts.synops.sum()) for counts in activity.counts.values()) / activity.samples
    assert report.synops == pytest.approx(synops)
    assert sum(layer.synops for layer in report.layers) == pytest.approx(synops)
    assert 0.49 < report.sparsity < 0.51
    assert report.own.energy.low <= report.own.energy.nominal <= report.own.energy.high


def test_baselines_have_the_trained_layers(tiny_run: Path) -> None:
    """Not what the compiler composed of them: a pooling folded into the next layer would count for many more operations."""
    from filopodia import hardware

    estimate = json.loads((tiny_run / "estimate.json").read_text())
    network = hardware.load(tiny_run / "model.nir")
    assert estimate["anns"][0]["macs"] == hardware.ann(network, "cmos45/fp32").macs
    assert len(estimate["verdicts"]) == len(estimate["anns"])


def test_baselines_have_measured_accuracies(tiny_run: Path) -> None:
    scores = json.loads((tiny_run / "ann.json").read_text())
    estimate = json.loads((tiny_run / "estimate.json").read_text())
    assert scores["samples"] == 24
    for one in estimate["anns"]:
        score = scores["networks"][f"{one['costs']} {one['name']}"]
        assert one["accuracy"] == score["correct"] / 24
        assert one["assumptions"][0] == score["made"]
        assert not any("not measured" in text for text in one["assumptions"])
    report = decode_report((tiny_run / "report.json").read_bytes(), "report.json")
    assert [row.accuracy for row in report.contestants if row.group == "artificial"][1:] == [
        one["accuracy"] for one in estimate["anns"]
    ]
    assert "MembraneUpdates" in estimate["metrics"]
    assert [one.name for one in report.spreads] == ["SynOps", "Dynamic energy", "Latency"]


def test_scores_of_other_weights_are_not_used(copied: Path) -> None:
    assert main(["train", "runs/tiny", "--epochs", "1"]) == 0
    assert main(["estimate", "runs/tiny", "--force"]) == 0
    found = json.loads((copied / "estimate.json").read_text())
    assert [one["accuracy"] for one in found["anns"]] == [None] * 4
    assert any("not measured" in text for text in found["anns"][0]["assumptions"])


def test_a_second_run_does_nothing(tiny_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tiny_run.parent.parent)
    before = {path: path.stat().st_mtime_ns for path in tiny_run.glob("*.npz")}
    assert main(["run", "tiny.toml"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("up to date") == 9  # train, export, compile, simulate, twin, verify, ann, estimate, report
    assert printed.count("skipped") == 1  # lava
    assert {path: path.stat().st_mtime_ns for path in tiny_run.glob("*.npz")} == before


@pytest.fixture
def copied(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run that a test may change, and the folder around it as the working one."""
    shutil.copytree(tiny_run, tmp_path / "runs" / "tiny")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "tiny"


def test_a_changed_setting_redoes_what_depends_on_it(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "runs/tiny", "--chip", "loihi1"]) == 0
    assert "loihi1" in capsys.readouterr().out
    assert load_provenance(RunFolder(copied)).stages["compile"].settings["compile"]["chip"] == "loihi1"
    assert main(["run", "runs/tiny"]) == 0  # goes on with the folder's own settings, loihi1 among them
    printed = capsys.readouterr().out
    assert "✓ simulate" in printed
    assert "= train" in printed
    assert json.loads((copied / "report.json").read_text())["chip"] == "loihi1"


@pytest.mark.parametrize("verb", ["verify", "estimate", "compile", "simulate", "inspect"])
def test_reading_verbs_print_json_alone(copied: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "runs/tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_inspect_reads_every_kind_of_file(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, word in (
        ("model.nir", "NIR graph"),
        ("program.npz", "program"),
        ("activity.npz", "activity"),
        ("golden.npz", "golden"),
    ):
        assert main(["inspect", f"runs/tiny/{name}"]) == 0
        assert word in capsys.readouterr().out
    assert main(["inspect", "runs/tiny"]) == 0
    assert "a run folder" in capsys.readouterr().out


def test_a_nir_file_from_elsewhere_gets_its_own_run(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(copied / "model.nir", "mine.nir")
    with np.load(copied / "golden.npz") as golden:
        np.save("spikes.npy", golden["input"])
    assert main(["compile", "mine.nir", "--spikes", "spikes.npy"]) == 0
    assert main(["simulate", "runs/mine"]) == 0
    assert main(["verify", "runs/mine"]) == 0
    assert main(["estimate", "runs/mine"]) == 0
    assert main(["report", "runs/mine"]) == 0
    printed = capsys.readouterr().out
    assert "runs/mine/report.html" in printed
    mine = decode_report(Path("runs/mine/report.json").read_bytes(), "report.json")
    theirs = decode_report((copied / "report.json").read_bytes(), "report.json")
    assert mine.synops == pytest.approx(theirs.synops, rel=0.05)  # calibrated on other spikes
    assert mine.accuracies == ()


def test_compare_and_bench(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(copied, "runs/other")
    assert main(["compare", "runs/tiny", "runs/other", "--json"]) == 0
    picture = json.loads(capsys.readouterr().out)
    assert not Path("compare.html").exists()
    assert [point["name"] for point in picture["points"]] == ["runs/tiny", "runs/other"]
    rivals = picture["rivals"]["runs/tiny"]
    assert [one["name"] for one in rivals] == ["ANN, fp32", "ANN, int8", "Pruned ANN, int8", "QNN 3-bit"]
    assert all(0 < one["accuracy"] <= 1 for one in rivals)
    assert picture["front"] == ["runs/tiny", "runs/other"]  # equal runs do not beat each other
    (method,) = picture["methods"]
    assert [point["runs"] for point in method["points"]] == [["runs/tiny", "runs/other"]]
    assert method["points"][0]["synops"] == {"mean": picture["trained"]["runs/tiny"]["synops"], "sd": 0.0}
    assert main(["compare", "runs/tiny", "runs/other"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("● runs/") == 2
    assert "picture: compare.html" in printed
    page = Path("compare.html").read_text()
    assert page.count("<svg") == 4  # accuracy over what is left and over costs, each for wide and for narrow pages
    assert page.count(" ×2</th>") == printed.count("stds ×2") == 1
    assert "None beats another" in page
    assert "Against networks without spikes" in page
    assert page.count("<td>QNN 3-bit</td>") == printed.count("QNN 3-bit") == 2
    assert main(["compare", "runs/tiny", "runs/tiny/"]) == 2
    assert "1 run folder" in capsys.readouterr().err
    assert main(["compare", "runs/tiny", "runs/other", "--out", "nowhere/page.html"]) == 2
    assert "nowhere/page.html" in capsys.readouterr().err
    assert main(["bench", "runs/tiny", "--repeats", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 24


def test_the_report_is_the_same_bytes_for_the_same_result(copied: Path) -> None:
    from filopodia.report import render

    report = decode_report((copied / "report.json").read_bytes(), "report.json")
    assert render(report) == render(report) == (copied / "report.html").read_text()


def test_lava_spikes_of_an_earlier_program_prove_nothing(copied: Path) -> None:
    shutil.copy(copied / "activity.npz", copied / "lava.npz")  # the record says that Lava was skipped
    assert main(["verify", "runs/tiny", "--force"]) == 0
    assert [link["after"] for link in json.loads((copied / "verify.json").read_text())["links"]][-1] == "integers"
    provenance = load_provenance(RunFolder(copied))
    program = fingerprints(RunFolder(copied), ("program.npz", "golden.npz"))
    record = msgspec.structs.replace(provenance.stages["lava"], skipped="", inputs=program)
    save_provenance(RunFolder(copied), provenance.with_stage("lava", record))
    assert main(["verify", "runs/tiny", "--force"]) == 0
    assert len(json.loads((copied / "verify.json").read_text())["links"]) == 3
