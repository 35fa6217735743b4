"""Random networks over all supported layers: how many spikes differ from torch's, wherever an exported network runs?

    python benchmarks/export_random.py [--examples 250] [--seed 0] [--save]

Hypothesis draws the networks (`random_nets.py`): vectors, sequences and images; single- and multi-step; one or two
inputs, one or two outputs; every module that `to_nir` knows. Each is folded, exported, read back and run in torch, numpy and
onnxruntime (scan and step), compiled to integers and run in the integer simulator and in integer ONNX. A network with a layer
used twice cannot be folded, and is compared as it is. `layers whose sums depend on their order` are those that `fold` cannot
make exact: they read values that are no spikes, so the order of adding may move a voltage across the threshold.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import random_nets
import torch
from export_compare import Compared, compare, short
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from torch import nn

from filopodia import export
from filopodia.errors import UnsupportedError
from filopodia.export.containers import ONE_STEP
from filopodia.export.modules import HANDLERS
from filopodia.export.neurons import READERS

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "export_random.json"
STEPS, SAMPLES = 6, 4


def everywhere(drawn: Any, number: int) -> tuple[Compared, bool]:
    """A drawn network with weights of seed `number`, compared everywhere; and whether it could be folded."""
    random_nets.fill(drawn.net, number)
    shapes = [(STEPS, SAMPLES, *shape) for shape in drawn.shapes]
    sample = tuple(torch.rand(shape) if drawn.analog else (torch.rand(shape) < 0.5).float() for shape in shapes)
    try:
        net, folded = export.fold(drawn.net, short(sample, drawn.multi_step)), True
    except UnsupportedError:
        net, folded = drawn.net, False
    return compare(net, sample, multi_step=drawn.multi_step), folded


def measure(examples: int, number: int) -> dict[str, Any]:
    """All figures of `examples` networks."""
    totals: Counter[str] = Counter()
    used: Counter[str] = Counter()
    differing: list[str] = []

    @seed(number)
    @settings(
        max_examples=examples, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(random_nets.nets(), st.integers(0, 2**16))
    def run(drawn: Any, weights: int) -> None:
        found, folded = everywhere(drawn, weights)
        totals.update(networks=1, neuron_steps=found.neuron_steps, spikes=found.spikes, integer_steps=found.integer_steps)
        totals.update({"not folded, a layer being used twice": not folded, "with loose layers": bool(found.loose)})
        totals.update({"single-step": not drawn.multi_step, "analog input": drawn.analog, "two inputs": len(drawn.shapes) > 1})
        totals.update({"loose layers": len(found.loose), f"integers refused: {found.refused or 'never'}": bool(found.refused)})
        totals.update({f"differ, {place}": count for place, count in found.differ.items()})
        used.update({name for module in drawn.net.modules() for name in [known_as(module)] if name})
        for place, layer in found.where.items():
            differing.append(f"{place}, {layer}, {'folded' if folded else 'not folded'}, loose: {found.loose}")

    run()
    every = {cls.__name__ for cls in (*HANDLERS, *READERS, *ONE_STEP)}
    return {
        **{key: totals[key] for key in sorted(totals)},
        "where spikes differ": differing,
        "modules, and networks that hold one": dict(sorted(used.items())),
        "modules never drawn": sorted(every - set(used)),
    }


def known_as(module: nn.Module) -> str:
    """The name of the supported class a module is of, "" for other modules."""
    return type(module).__name__ if type(module) in {*HANDLERS, *READERS, *ONE_STEP} else ""


def main() -> None:
    """Measure, print, and save when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    import hypothesis
    import onnxruntime

    started = time.process_time()
    found = {
        "machine": f"{platform.machine()}, {platform.system()}, python {platform.python_version()}, torch {torch.__version__}, "
        f"onnxruntime {onnxruntime.__version__}, hypothesis {hypothesis.__version__}",
        "seed": asked.seed,
        **measure(asked.examples, asked.seed),
    }
    found["cpu_s"] = round(time.process_time() - started, 1)
    text = json.dumps(found, indent=2) + "\n"
    print(text, end="")
    if asked.save:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
