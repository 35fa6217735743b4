"""The command line's own promises: help at once, one message and exit code 2 for what the user can put right."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from filopodia.cli import EXAMPLES, VERBS, main
from filopodia.errors import InputError


def test_help_answers_within_half_a_second() -> None:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "filopodia", "--help"], capture_output=True, text=True, check=True, cwd="/"
        )
        times.append(time.perf_counter() - began)
    assert min(times) < 0.5
    for verb in VERBS:
        assert f"\n  {verb} " in done.stdout


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from filopodia.cli import main; main(['--help']); "
        "print(sorted({'torch', 'numpy', 'tyro', 'rich', 'msgspec'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_from_its_configuration(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([verb, "--help"])
    assert leaving.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: filopodia {verb}" in shown
    assert VERBS[verb][1:20] in shown.replace("\n", " ")


@pytest.mark.parametrize("verb", ["inspect", "verify", "estimate", "compare", "doctor", "bench", "compile", "simulate"])
def test_reading_verbs_speak_json(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    assert "--json" in capsys.readouterr().out


def test_examples_of_the_help_use_real_verbs() -> None:
    for command, _ in EXAMPLES:
        assert command.split()[1] in VERBS


def test_unknown_verb_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulat"]) == 2
    assert "did you mean `simulate`?" in capsys.readouterr().err


def test_our_own_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("filopodia.cli.doctor.python", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_an_error_of_the_family_is_its_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(words: list[str]) -> None:
        raise InputError("found 3", where="steps", allowed="4", fix="say 4")

    monkeypatch.setattr("filopodia.cli.doctor.main", fail)
    assert main(["doctor"]) == 2
    assert capsys.readouterr().err == "filopodia doctor: steps: found 3\n  allowed: 4\n  fix: say 4\n"


def test_ctrl_c_is_tidy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(words: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("filopodia.cli.doctor.main", stop)
    assert main(["doctor"]) == 130
    assert "goes on from there" in capsys.readouterr().err


def test_doctor_reports_lava_python_and_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for word in ("python", "torch", "nir", "lava", "uv"):
        assert word in shown


@pytest.mark.parametrize(("verb", "flag"), [("lava", "--run-cfg"), ("train", "--tensorboard"), ("compare", "--out")])
def test_flags_that_other_libraries_give_meaning(verb: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    assert flag in capsys.readouterr().out


def test_lava_is_asked_for_the_configuration_that_was_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A board passes through to the library, whose refusal reaches the user as it is."""
    from filopodia import hardware
    from filopodia.config import Config, LavaConfig
    from filopodia.golden import Golden
    from filopodia.run import RunFolder
    from filopodia.stages import lava

    def refuse(program: object, spikes: object, **options: object) -> None:
        raise InputError(str(options["run_cfg"]), where="board")

    for name in ("program.npz", "golden.npz"):
        (tmp_path / name).touch()
    monkeypatch.setattr(hardware, "run_lava", refuse)
    monkeypatch.setattr(hardware, "load_program", lambda path: SimpleNamespace(metadata={}))
    monkeypatch.setattr(lava, "load_golden", lambda path, samples: Golden(np.zeros((1, 1, 1)), None, None))
    config = Config(lava=LavaConfig(use="always", run_cfg="Loihi2HwCfg"))
    with pytest.raises(InputError, match="Loihi2HwCfg"):
        lava.lava(RunFolder(tmp_path), config, None)
