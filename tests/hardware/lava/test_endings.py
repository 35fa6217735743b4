"""Every bad ending of Lava: one clear message, the complete samples kept, and nothing left behind."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from filopodia.errors import InputError, LavaError, UnsupportedError
from filopodia.hardware.lava import LavaStopped, exchange, follow, plan, process, run_lava, runner
from filopodia.hardware.program import Connection, Dense, Input, Layer, Program
from filopodia.hardware.simulator import reference

SHM = Path("/dev/shm")


def number(value: int) -> np.ndarray:
    return np.array(value, np.int32)


def chain(delay: int = 0, reset: str = "zero") -> Program:
    rng = np.random.default_rng(3)
    weight = (2 * rng.integers(-60, 100, (7, 5))).astype(np.int16)
    layer = Layer("a", (7,), number(4095), number(100), number(60), number(1), reset=reset, latency=1)  # type: ignore[arg-type]
    return Program((Input("in", (5,)),), (layer,), (Connection("in", "a", Dense(weight), delay=delay),), ("a",))


def spikes(steps: int, samples: int) -> np.ndarray:
    return np.random.default_rng(4).random((steps, samples, 5)) < 0.4


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The exchange folders lie here under a name of their own, so that they can be told from other runs on this machine."""
    name = f"filopodia-{secrets.token_hex(4)}"
    (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    monkeypatch.setattr(runner, "FOLDER_PREFIX", f"{name}-")
    return tmp_path / name


def workers(folder: Path) -> list[int]:
    """Processes, Lava's children included, that run a worker with an exchange folder in `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if b"worker.py" in words and os.fsencode(folder) in words and state != "Z":
            found.append(int(entry.name))
    return sorted(found)


def assert_nothing_left(folder: Path) -> None:
    assert workers(folder) == []
    assert list(folder.iterdir()) == []
    assert list(SHM.glob(f"{folder.name}*")) == []


@pytest.mark.lava
def test_time_limit_keeps_the_complete_samples(lava: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = 0.0  # seconds that our clock jumps ahead once samples are done, so that a slow machine changes nothing

    def jump(stage: str, done: int, total: int) -> None:
        nonlocal passed
        passed = 1000.0 if done else 0.0

    monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed))
    program, given = chain(), spikes(50, 40000)
    with pytest.raises(LavaStopped, match=r"ran into its time limit of 600 s after [0-9]+ of 40000 samples") as stopped:
        run_lava(program, given, record=("spikes", "v"), progress=jump)
    partial = stopped.value.partial
    assert partial is not None
    assert 0 < partial.samples < 40000
    assert f"{partial.samples} complete samples are kept" in str(stopped.value)
    trace = reference.run(program, {"in": given[:, : partial.samples]})
    np.testing.assert_array_equal(partial.spikes["a"], trace.spikes["a"])
    np.testing.assert_array_equal(partial.states["v"]["a"], trace.v["a"])
    assert_nothing_left(folder)


@pytest.mark.lava
def test_a_killed_process_of_lava_is_noticed(lava: str, folder: Path) -> None:
    def kill_one(stage: str, done: int, total: int) -> None:
        if done > 0:
            os.kill(workers(folder)[-2], signal.SIGKILL)

    with pytest.raises(LavaStopped, match="one of its processes was ended by SIGKILL") as stopped:
        run_lava(chain(), spikes(50, 40000), progress=kill_one)
    assert "memory runs out" in str(stopped.value)
    assert stopped.value.partial is not None
    assert_nothing_left(folder)


def test_a_bus_error_means_full_shared_memory() -> None:
    found, detail, fix = follow.death({"ends": ["SIGBUS"], "traceback": ""})
    assert "no room was left in /dev/shm" in found
    assert detail == ""
    assert "--shm-size" in fix


@pytest.mark.lava
def test_an_exception_inside_lava_is_shown(lava: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_DELAY", 1000)
    with pytest.raises(LavaStopped, match="raised an exception") as stopped:
        run_lava(chain(delay=70), spikes(3, 2))
    assert "'delays' expects values between 0 and 63" in str(stopped.value).replace("\n", " ").replace("    ", " ")
    assert stopped.value.partial is None
    assert_nothing_left(folder)


@pytest.mark.lava
def test_our_own_death_leaves_nothing(lava: str, folder: Path) -> None:
    code = (
        "import sys, tempfile; sys.path.insert(0, sys.argv[1]); tempfile.tempdir = sys.argv[2]; import test_endings as t;"
        "t.runner.FOLDER_PREFIX = sys.argv[3];"
        "t.run_lava(t.chain(), t.spikes(50, 40000), progress=lambda *state: print(*state, flush=True))"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(folder), f"{folder.name}-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("lava 0")
        assert len(workers(folder)) > 3
        assert len(list(SHM.glob(f"{folder.name}*"))) > 3
        running.kill()
    for _ in range(100):
        if not workers(folder) and not list(folder.iterdir()):
            break
        time.sleep(0.1)
    assert_nothing_left(folder)


def test_no_environment_says_what_uv_said(lava: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(folder / "cache"))
    with pytest.raises(LavaError, match="while uv prepared its environment") as error:
        run_lava(chain(), spikes(3, 1))
    assert "lava-nc==0.10.0" in str(error.value)
    assert "FILOPODIA_LAVA_PYTHON" in str(error.value)
    for left in list(folder.glob("cache")):
        subprocess.run(["rm", "-r", str(left)], check=True)
    assert_nothing_left(folder)


def test_full_shared_memory_is_seen_before_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(exchange.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(LavaError, match=r"MiB of shared memory, 0.0 MiB are free") as error:
        run_lava(chain(), spikes(3, 1))
    assert "--shm-size" in str(error.value)
    assert_nothing_left(folder)


def test_a_full_disk_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exchange.os, "posix_fallocate", full)
    with pytest.raises(LavaError, match="no room for the recordings of this run: No space left on device"):
        run_lava(chain(), spikes(3, 1))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("program", "said"), [(chain(reset="subtract"), "no counterpart in Lava"), (chain(delay=64), "delay 64")]
)
def test_what_lava_cannot_express_is_refused(program: Program, said: str) -> None:
    with pytest.raises(UnsupportedError, match=said):
        run_lava(program, spikes(3, 1))


@pytest.mark.lava
def test_without_a_board_it_is_said(lava: str, folder: Path) -> None:
    with pytest.raises(LavaError, match="no Loihi 2 board can be reached") as error:
        run_lava(chain(), spikes(3, 1), run_cfg="Loihi2HwCfg")
    assert "Loihi2SimCfg" in str(error.value)
    assert_nothing_left(folder)


def test_what_a_board_cannot_do_is_refused(folder: Path) -> None:
    with pytest.raises(UnsupportedError, match="not read back"):
        run_lava(chain(), spikes(3, 1), record=("u",), run_cfg="Loihi2HwCfg")
    with pytest.raises(UnsupportedError, match="from one sample into the next"):
        run_lava(chain(delay=2), spikes(3, 1), run_cfg="Loihi2HwCfg")
    with pytest.raises(InputError, match="Loihi2SimCfg or Loihi2HwCfg"):
        run_lava(chain(), spikes(3, 1), run_cfg="Loihi1")  # type: ignore[arg-type]
    assert list(folder.iterdir()) == []
