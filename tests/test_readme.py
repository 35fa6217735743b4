"""The README cannot rot: its Python runs, its commands parse, its files and links exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from filopodia.cli import VERBS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def setting() -> dict[str, Any]:
    """What the README says the reader has: a model, its optimizer, a loader, test spikes."""
    import torch
    from spikingjelly.activation_based.functional import reset_net

    from filopodia import prune

    torch.manual_seed(0)
    config = prune.TrainConfig(net=prune.NetConfig(channels=(4,), pool=(2,), hidden=(16,), votes=1))
    model, data = prune.build_net(config), prune.load_data(config.data)
    spikes = prune.encode(data.train.images[:64], 4).float()
    return {
        "model": model,
        "optimizer": torch.optim.Adam(model.parameters()),
        "loader": [(spikes, data.train.labels[:64])] * 3,
        "epochs": 1,
        "loss_fn": lambda out, labels: torch.nn.functional.cross_entropy(prune.readout(out, 10), labels),
        "reset_net": reset_net,
        "spikes": spikes[:, :8].numpy().astype("uint8"),
    }


def test_the_first_python_block_runs(
    setting: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("python")
    assert sum(bool(line.strip()) for line in block.splitlines()) <= 12
    exec(compile(block, "README.md", "exec"), setting)
    assert "nominal" in capsys.readouterr().out
    weights = [weight for weight in setting["model"].parameters() if weight.dim() > 1]
    zeros = sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
    assert zeros == pytest.approx(0.9, abs=1e-3)


def test_commands_are_real() -> None:
    commands = [
        line[2:].partition("#")[0].strip() for block in blocks("console") for line in block.splitlines() if line[:2] == "$ "
    ]
    ours = [shlex.split(command) for command in commands if "filopodia" in command]
    assert len(ours) >= 6
    for words in ours:
        verb = words[words.index("filopodia") + 1]
        assert verb in VERBS
        for flag in (word for word in words if word.startswith("--")):
            assert flag in flags_of(verb), f"{verb} has no {flag}"


def flags_of(verb: str) -> str:
    import contextlib
    import io

    from filopodia.cli import main

    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
        main([verb, "--help"])
    return shown.getvalue()


@pytest.mark.repository
def test_linked_files_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_it_opens_with_the_two_commands_and_a_picture() -> None:
    top = README[: README.index("\n## ")]
    assert top.index("uv run filopodia run") < top.index("uv run pytest") < top.index("docs/report.png")


def test_the_table_names_every_file_of_a_run() -> None:
    from filopodia.run import FILES

    for name in set(FILES) - {"config.toml", "telemetry.jsonl"}:
        assert f"`{name}`" in README
