"""The silicon's arithmetic against two emulators of Loihi that their authors checked against boards.

    python benchmarks/simulator_silicon.py [--cases 150] [--save]

Random layers run here with `arithmetic="loihi"`, and on nengo-loihi 1.1.0 (even weights of mixed sign, all exponents, biases,
sums that overflow) and brian2_loihi 0.5.2 (odd weights, all sign modes and numbers of bits; it has neither biases nor limits of
sums and voltages, so that none are reached). Spikes and v of every step are compared, and u on nengo-loihi. What the same
layers make of it in Lava's arithmetic is counted beside. The emulators run in a Python 3.10 of their own, which uv prepares
(about 60 MB).
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from filopodia import hardware
from filopodia.hardware.lava.python import find_python, uv_binary
from filopodia.hardware.program import Connection, Dense, Input, Layer, Program
from filopodia.hardware.simulator.reference import STATE_LIMIT
from filopodia.hardware.simulator.silicon import cannot_overflow, on_silicon

WORKER = Path(__file__).with_name("silicon_worker.py")
STEPS = 12
STATES = ("s", "u", "v")

Case = tuple[dict[str, Any], np.ndarray, np.ndarray]


def nengo_case(rng: np.random.Generator) -> Case:
    """Everything but the first numbers of a layer is drawn: du, dv, vth, bias, exponent, weights [n, m], spikes [T, m]."""
    size, inputs = int(rng.integers(1, 20)), int(rng.choice([4, 40, 300]))
    settings = {
        "on": "nengo-loihi",
        "du": int(rng.choice([0, 40, 400, 4095])),
        "dv": int(rng.choice([0, 13, 128, 2048, 4095])),
        "vth": int(rng.choice([10, 500, 20000, 131071])),
        "bias": int(rng.choice([0, 0, 100, -100, 4095])),
        "bias_exp": int(rng.choice([0, 6, 7])),
        "weight_exp": int(rng.integers(-7, 8)),
        "weight_bits": 8,
        "sign_mode": "mixed",
    }
    positive = rng.random() < 0.3  # so that sums overflow now and then
    unit = 2 ** max(1, -settings["weight_exp"])  # its discretisation would round weights before a right shift loses bits
    weights = unit * rng.integers(0 if positive else -(254 // unit), 254 // unit + 1, (size, inputs))
    return settings, weights, rng.random((STEPS, inputs)) < 0.5


def brian_case(rng: np.random.Generator) -> Case:
    mode = str(rng.choice(["mixed", "mixed", "excitatory", "inhibitory"]))
    low, high = {"mixed": (-256, 255), "excitatory": (0, 256), "inhibitory": (-255, 1)}[mode]
    while True:
        size, inputs = int(rng.integers(1, 20)), int(rng.choice([4, 40]))
        settings = {
            "on": "brian2_loihi",
            "du": int(rng.choice([0, 40, 400, 4095])),
            "dv": int(rng.choice([0, 13, 128, 2048, 4095])),
            "vth": int(rng.choice([10, 500, 20000, 131071])),
            "bias": 0,
            "bias_exp": 6,
            "weight_exp": int(rng.integers(-8, 7)),
            "weight_bits": int(rng.choice([8, 8, 7, 6, 4, 2])),
            "sign_mode": mode,
        }
        weights = rng.integers(low, high, (size, inputs))
        spikes, made = rng.random((STEPS, inputs)) < 0.5, program(settings, weights)
        v = hardware.simulate(made, spikes[:, None], record=("v",), arithmetic="loihi").states["v"]["a"]
        if cannot_overflow(on_silicon(made), STEPS) and np.abs(v).max() < STATE_LIMIT - 1:
            return settings, weights, spikes


def program(settings: dict[str, Any], weights: np.ndarray) -> Program:
    size, inputs = weights.shape
    numbers = (np.asarray(settings[name], np.int32) for name in ("du", "dv", "vth", "bias"))
    layer = Layer("a", (size,), *numbers, bias_exp=settings["bias_exp"])
    dense = Dense(weights.astype(np.int16))
    how = {name: settings[name] for name in ("weight_exp", "weight_bits", "sign_mode")}
    return Program((Input("in", (inputs,)),), (layer,), (Connection("in", "a", dense, **how),), ("a",))


def emulated(cases: list[Case]) -> list[dict[str, np.ndarray]]:
    """Spikes, v and (of nengo-loihi) u [T, n] of each case as its emulator has them."""
    python = find_python()
    wanted = str(python.path) if python is not None else "cpython@3.10"
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "cases.npz", Path(folder) / "results.npz"
        arrays = {f"weights{k}": w for k, (_, w, _) in enumerate(cases)} | {
            f"spikes{k}": s for k, (_, _, s) in enumerate(cases)
        }
        np.savez(given, cases=json.dumps([settings for settings, _, _ in cases]), **arrays)
        command = [str(uv_binary()), "run", "--no-project", "--python", wanted, "--script", str(WORKER), str(given), str(made)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with np.load(made) as file:
            return [{s: file[f"{s}{k}"] for s in STATES if f"{s}{k}" in file} for k in range(len(cases))]


def compare(cases: list[Case], found: list[dict[str, np.ndarray]]) -> dict[str, dict[str, int]]:
    """Per emulator: cases, values compared, values that differ in Loihi's and in Lava's arithmetic."""
    out: dict[str, dict[str, int]] = {}
    for (settings, weights, spikes), theirs in zip(cases, found, strict=True):
        figures = out.setdefault(
            settings["on"], dict.fromkeys(("cases", "values", "differ, loihi", "differ, lava", "spikes"), 0)
        )
        figures["cases"] += 1
        figures["spikes"] += int(theirs["s"].sum())
        for arithmetic in ("loihi", "lava"):
            ran = hardware.simulate(
                program(settings, weights), spikes[:, None], record=("spikes", "u", "v"), arithmetic=arithmetic
            )
            ours = {"s": ran.spikes["a"][:, 0], "u": ran.states["u"]["a"][:, 0], "v": ran.states["v"]["a"][:, 0]}
            figures[f"differ, {arithmetic}"] += sum(int(np.sum(ours[s] != theirs[s])) for s in theirs)
        figures["values"] += sum(x.size for x in theirs.values())
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=150, help="per emulator")
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    cases = [draw(rng) for draw in (nengo_case, brian_case) for _ in range(given.cases)]
    figures = compare(cases, emulated(cases))
    for name, values in figures.items():
        print(name, values)
    if given.save:
        versions = {"nengo-loihi": "1.1.0", "brian2_loihi": "0.5.2", "python": platform.python_version()}
        path = Path(__file__).parent / "results" / "simulator_silicon.json"
        path.write_text(json.dumps(figures | {"versions": versions}, indent=1) + "\n")


if __name__ == "__main__":
    main()
