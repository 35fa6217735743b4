"""What the prune benchmarks share: running a configuration, describing the machine, a table, and saving."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec
import numpy
import spikingjelly
import torch

import filopodia
from filopodia.prune import DataSet, Samples, TrainConfig, evaluate, train
from filopodia.prune.data import info

GLIMPSE = 500  # test samples looked at after every epoch
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Outcome:
    """One run's finished network on the test samples, and what it took."""

    name: str
    seed: int
    accuracy: float
    sparsity: float
    synapse_sparsity: float
    synops: float
    macs: float  # those of the synops that are multiplications: of a layer fed with values
    strength: float
    firing_rate: float
    wall_s: float
    cpu_s: float


def machine() -> dict[str, object]:
    """Where and with what a figure was measured."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    versions = {"filopodia": filopodia.__version__, "torch": torch.__version__, "numpy": numpy.__version__}
    versions |= {"spikingjelly": getattr(spikingjelly, "__version__", "2"), "python": platform.python_version()}
    return {"processor": _processor(), "cores": os.cpu_count(), "gpu": gpu, "load": os.getloadavg()[0], "versions": versions}


def run(name: str, config: TrainConfig, data: DataSet) -> Outcome:
    """Train one configuration, print a line when it is done. The finished network is measured; on the way a glimpse will do."""
    wall, cpu = time.perf_counter(), time.process_time()
    glimpse = Samples(data.test.images[:GLIMPSE], data.test.labels[:GLIMPSE])
    training, last = train(config, data=DataSet(data.train, glimpse)), None
    while True:
        try:
            last = next(training)
        except StopIteration as end:
            net = end.value
            break
        print(f"\r{name} seed {config.seed}: epoch {last.epoch}/{last.epochs} {last.test_accuracy:.2%}", end="", flush=True)
    assert last is not None
    found = evaluate(net, data.test, config.data, info(config.data.name).classes)
    costs = found.costs.values()
    outcome = Outcome(
        name=name,
        seed=config.seed,
        accuracy=found.accuracy,
        sparsity=1.0 - sum(cost.nonzero_weights for cost in costs) / sum(cost.weights for cost in costs),
        synapse_sparsity=1.0 - sum(cost.nonzero_synapses for cost in costs) / sum(cost.synapses for cost in costs),
        synops=sum(cost.synops for cost in costs),
        macs=sum(cost.synops for cost in costs if cost.analog),
        strength=last.strength,
        firing_rate=statistics.mean(found.firing_rates.values()),
        wall_s=time.perf_counter() - wall,
        cpu_s=time.process_time() - cpu,
    )
    print(f"\r{line(outcome)}", flush=True)
    return outcome


class Series:
    """The runs of one benchmark, saved after each; what the file has of the same configuration already is not run again."""

    def __init__(self, benchmark: str, base: TrainConfig, data: DataSet, *, kept: bool) -> None:
        self.benchmark, self.base, self.data, self.kept = benchmark, base, data, kept
        self.outcomes: list[Outcome] = []
        path = RESULTS / f"{benchmark}.json"
        if kept and path.exists():
            saved = json.loads(path.read_text())
            if _same(saved["config"], base):
                known = {field.name for field in fields(Outcome)}
                self.outcomes = [Outcome(**row) for row in saved["runs"] if set(row) == known]

    def run(self, name: str, config: TrainConfig) -> Outcome:
        """The outcome of this name and seed, from the file or from a new run."""
        for outcome in self.outcomes:
            if (outcome.name, outcome.seed) == (name, config.seed):
                return outcome
        outcome = run(name, config, self.data)
        self.outcomes.append(outcome)
        if self.kept:
            save(self.benchmark, self.outcomes, self.base)
        return outcome


def line(o: Outcome) -> str:
    """One run in one line."""
    zeros = f"weights {o.sparsity:7.2%} zero  synapses {o.synapse_sparsity:7.2%} zero"
    cost = f"{o.synops:10,.0f} synops  λ {o.strength:.3g}  {o.wall_s:5.0f} s ({o.cpu_s:.0f} s CPU)"
    return f"{o.name:<28} seed {o.seed}  accuracy {o.accuracy:7.2%}  {zeros}  {cost}"


def summary(outcomes: Sequence[Outcome]) -> None:
    """Mean ± standard deviation over the seeds, a row per name."""
    print(f"\n{'':<28} {'accuracy %':>16} {'weights zero %':>15} {'synapses zero %':>16} {'synops':>22}")
    for name in dict.fromkeys(outcome.name for outcome in outcomes):
        rows = [outcome for outcome in outcomes if outcome.name == name]

        def spread(values: Sequence[float], form: str) -> str:
            sd = statistics.stdev(values) if len(values) > 1 else 0.0
            return f"{format(statistics.mean(values), form)} ± {format(sd, form)}"

        accuracy, synops = spread([100 * r.accuracy for r in rows], ".2f"), spread([r.synops for r in rows], ",.0f")
        weights = 100 * statistics.mean(r.sparsity for r in rows)
        synapses = 100 * statistics.mean(r.synapse_sparsity for r in rows)
        print(f"{name:<28} {accuracy:>16} {weights:>15.2f} {synapses:>16.2f} {synops:>22}")


def save(benchmark: str, outcomes: Sequence[object], config: TrainConfig | None = None) -> None:
    """Write benchmarks/results/<benchmark>.json: the machine, the configuration, every run."""
    RESULTS.mkdir(exist_ok=True)
    rows = [vars(outcome) if hasattr(outcome, "__dict__") else outcome for outcome in outcomes]
    body = {"benchmark": benchmark, "machine": machine(), "config": config and msgspec.to_builtins(config), "runs": rows}
    (RESULTS / f"{benchmark}.json").write_text(json.dumps(body, indent=1) + "\n")


def arguments(about: str | None, seeds: int = 3) -> argparse.ArgumentParser:
    """The options all have."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--seeds", type=int, default=seeds, help="runs, with seeds 0, 1, …")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/*.json; series go on from there")
    return parser


def _same(saved: object, base: TrainConfig) -> bool:
    """Whether a saved configuration is this one: younger settings take their defaults, one that is no more makes another."""
    try:
        return msgspec.convert(saved, TrainConfig) == base
    except msgspec.ValidationError:
        return False


def _processor() -> str:
    try:
        names = [row.split(":", 1)[1].strip() for row in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in row]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
