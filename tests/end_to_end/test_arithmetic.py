"""`filopodia simulate --arithmetic loihi`: the same program by the silicon's rules, done anew when the wish changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from filopodia import hardware
from filopodia.cli import main
from filopodia.hardware.program import Connection, Dense, Input, Layer, Program


def test_the_wish_reaches_the_simulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    number = np.int32
    layer = Layer("a", (1,), *(np.array(value, number) for value in (4095, 4095, 2, 0)))
    weight = Dense(np.array([[6, 6]], np.int16))  # >> 2: 3 of the sum, 2 of each weight
    program = Program((Input("in", (2,)),), (layer,), (Connection("in", "a", weight, weight_exp=-2),), ("a",))
    hardware.save_program(program, "odd.npz")
    np.save("spikes.npy", np.ones((4, 1, 2), bool))
    fired = {}
    for arithmetic in ("lava", "loihi"):
        assert main(["simulate", "odd.npz", "--spikes", "spikes.npy", "--arithmetic", arithmetic]) == 0
        activity = hardware.load_activity("runs/odd/activity.npz")
        fired[arithmetic] = int(activity.spikes["a"].sum())
        assert ("silicon" in activity.backend) == (arithmetic == "loihi")
    assert fired == {"lava": 4, "loihi": 0}
    capsys.readouterr()
    with pytest.raises(SystemExit) as leaving:
        main(["simulate", "odd.npz", "--arithmetic", "chip"])
    assert leaving.value.code == 2
