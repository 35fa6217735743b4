"""lava-dl's own files and recorded runs: every spike and current of a loaded `.net`, and the firing measured on Loihi 2.

    uv pip install --target lava_dl --no-deps --python-version 3.10 lava-dl==0.6.0       (its wheel carries the recordings)
    FILOPODIA_DATA=... uv run python benchmarks/network_lava_dl.py lava_dl/tests/lava/lib/dl/netx [--save]

- `gts/pilotnet_lif`: u, v and spikes of PilotNet-LIF for one image, every layer, 16 steps (lava-dl tests the chip with them).
  Where a neuron has just fired the recording holds v = 128, on the chip a mark of the spike it seems; these are left out of v.
- `gts/ntidigits`: axonal delays up to 62 steps, 3000 steps of 242 output neurons.
- `tiny.net`, `gts/tinynet`: input neurons, two convolutions.
- loihi2_pilotnet/README.md: 34 607 spikes per step with a silent input, 2.290e6 synops per step on the chip's counters,
  which also count columns that the last, partly filled cores do not hold.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path

import numpy as np

from filopodia import hardware

MEMORY = 2**33
Rows = list[tuple[str, int, int]]


def channels_first(array: np.ndarray) -> np.ndarray:
    """Recorded [width, height, channels, time] or [n, time] as [time, channels, height, width] or [time, n]."""
    return array.transpose(range(array.ndim)[::-1])


def pilotnet(folder: Path) -> Rows:
    program = hardware.load(folder / "gts" / "pilotnet_lif" / "network.net")
    image = channels_first(np.load(folder / "gts" / "pilotnet_lif" / "image.npy"))
    steps = program.metadata["steps_per_sample"]
    activity = hardware.simulate(
        program, np.broadcast_to(image, (steps, 1, *image.shape)), record=("spikes", "u", "v"), memory=MEMORY
    )
    recordings = [f"conv-{i}" for i in range(5)] + [f"fc-{i}" for i in range(3)]
    rows: Rows = []
    for delay, (recording, layer) in enumerate(zip(recordings, program.layers[1:-1], strict=True), start=1):
        for what, mine in (("spikes", activity.spikes), ("u", activity.states["u"]), ("v", activity.states["v"])):
            name = recording if what == "spikes" else f"{recording}-{what}"
            theirs = channels_first(np.load(folder / "gts" / "pilotnet_lif" / f"{name}.npy"))[delay : delay + steps]
            ours = mine[layer.name][:, 0]
            differ = ours != theirs
            if what == "v":
                differ &= ~((theirs == 128) & activity.spikes[layer.name][:, 0])
            rows.append((f"pilotnet {layer.name} {what}", int(differ.sum()), differ.size))
    return rows


def ntidigits(folder: Path) -> Rows:
    program = hardware.load(folder / "gts" / "ntidigits" / "ntidigits.net")
    given = np.load(folder / "gts" / "ntidigits" / "input.npy").T
    theirs = np.load(folder / "gts" / "ntidigits" / "output.npy").T
    shape = program.inputs[0].shape
    mine = hardware.simulate(program, given.reshape(len(given), 1, *shape), memory=MEMORY).spikes[program.outputs[0]][:, 0]
    late = 4  # slayer shifts the input and each of three layers by a step; sample time has none of these
    differ = mine[:-late] != (theirs[late:] != 0)
    return [("ntidigits output", int(differ.sum()), differ.size)]


def tiny(folder: Path) -> Rows:
    program = hardware.load(folder / "tiny.net")
    bias = channels_first(np.load(folder / "gts" / "tinynet" / "input_bias.npy")).astype(np.int32)
    theirs = np.moveaxis(np.load(folder / "gts" / "tinynet" / "output.npy")[0], -1, 0)
    mine = hardware.simulate(program, np.broadcast_to(bias, (len(theirs), 1, *bias.shape))).spikes[program.outputs[0]][:, 0]
    differ = mine[:-1] != (theirs[1:] != 0)
    return [("tiny output", int(differ.sum()), differ.size)]


def chip(path: Path) -> dict[str, float]:
    program = hardware.load(path)
    steps = program.metadata["steps_per_sample"]
    activity = hardware.simulate(program, np.zeros((steps, 1, *program.inputs[0].shape), np.int32), record=(), memory=MEMORY)
    return {
        "spikes per step": sum(int(c.spikes.sum()) for c in activity.counts.values()) / steps,
        "synops per step": sum(int(c.synops.sum()) for c in activity.counts.values()) / steps,
        "neurons": float(sum(layer.size for layer in program.layers)),
    }


def main() -> None:
    folders = [Path(a) for a in sys.argv[1:] if not a.startswith("--")]
    print(f"{platform.platform()}, Python {platform.python_version()}, numpy {np.__version__}")
    rows: Rows = []
    for folder in folders:
        rows += pilotnet(folder) + ntidigits(folder) + tiny(folder)
    for name, differ, of in rows:
        print(f"{name:28s} {differ:6d} of {of} differ")
    silent: dict[str, float] = {}
    if "FILOPODIA_DATA" in os.environ:
        silent = chip(Path(os.environ["FILOPODIA_DATA"]) / "loihi2_pilotnet" / "pilotnet_lif_network.net")
        for key, value in silent.items():
            print(f"pilotnet, silent input: {value:.1f} {key}")
    if "--save" in sys.argv:
        results = Path(__file__).parent / "results" / "network_lava_dl.json"
        machine = {"platform": platform.platform(), "python": platform.python_version(), "numpy": np.__version__}
        results.write_text(json.dumps({"machine": machine, "differences": rows, "silent": silent}, indent=1) + "\n")


if __name__ == "__main__":
    main()
