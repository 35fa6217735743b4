"""A budget of synaptic operations per sample, kept by how strongly the loss holds down the spikes that spend them.

The pruner keeps its own target, so a network can be asked for an exact sparsity and a SynOps budget at once. The strength of
the penalty is the multiplier of the constraint "no more synops than this": it grows, step by step, while the network spends
more than it may at that time, and shrinks while it spends less.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from filopodia.prune.schedule import Schedule

START, LEAST, MOST = 0.01, 1e-4, 10.0  # the strength: at first, and its bounds
GAIN, ANSWER = 60.0, 2.0  # per log excess: how far log strength moves over a whole run, and at once (what damps the former)
WORST = 0.5  # log excess that still counts: what the first steps cannot help must not pile up


@dataclass
class SynopBudget:
    """Steers the strength of a penalty on SynOps so that a sample costs `target` of them.

    What may be spent falls from the first step's synops to `target` along `schedule`, as the synapses do. `total_steps`:
    optimizer steps of the run.
    """

    target: float
    schedule: Schedule
    total_steps: int
    multiplier: float = START
    excess: float = 0.0
    steps: int = 0
    first: float = 0.0

    @property
    def strength(self) -> float:
        """What the penalty of the next step is multiplied by."""
        return min(max(self.multiplier * math.exp(ANSWER * self.excess), LEAST), MOST)

    def allowed(self) -> float:
        """Synops per sample that may be spent in the present step."""
        return self.first + (self.target - self.first) * self.schedule(self.steps)

    def spend(self, synops: float) -> None:
        """Count one optimizer step whose samples cost `synops` each, and move the strength."""
        self.steps += 1
        self.first = self.first or synops
        self.excess = min(max(math.log(max(synops, 1.0) / self.allowed()), -WORST), WORST)
        self.multiplier = min(max(self.multiplier * math.exp(GAIN / self.total_steps * self.excess), LEAST), MOST)

    def state_dict(self) -> dict[str, float]:
        """What a resumed run must know."""
        return {"multiplier": self.multiplier, "excess": self.excess, "steps": self.steps, "first": self.first}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take it back."""
        self.multiplier, self.excess = state["multiplier"], state["excess"]
        self.steps, self.first = int(state["steps"]), state["first"]
