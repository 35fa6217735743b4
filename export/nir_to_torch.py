"""NIR to torch: a module with explicit state that computes what a NIR graph says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nir
import torch
from torch import Tensor, nn

from filopodia.errors import InputError
from filopodia.hardware.network.network import Comparison, Discretization, Network, Reset
from filopodia.hardware.network.reference import only_recurrent

from .cells import Cell, State, cell
from .loaded import loaded


@dataclass(frozen=True)
class NirState:
    """What a network remembers between steps: `cells[name]` per neuron layer, and what loops read one step late."""

    cells: Mapping[str, State]
    late: Mapping[str, Tensor]


@dataclass(frozen=True)
class Run:
    """Outputs [T, N, *shape] by name, the state afterwards, and the outputs of the nodes that were asked for."""

    outputs: Mapping[str, Tensor]
    state: NirState
    recorded: Mapping[str, Tensor]


class NirModule(nn.Module):
    """A NIR graph as a torch module, used like SpikingJelly's: `step_mode` "m" takes [T, N, *shape], "s" takes [N, *shape].

    `forward` goes on from the state of the call before, until `reset()`. `run` takes and returns the state instead.
    Weights are buffers: the module computes, it is not made to be trained.
    """

    def __init__(self, network: Network, step_mode: Literal["s", "m"] = "m") -> None:
        super().__init__()
        self.inputs, self.outputs = list(network.inputs), list(network.outputs)
        self.order, self.late = list(network.nodes), frozenset(network.feedback)
        self.sources = {name: list(network.sources(name)) for name in network.nodes}
        self.cells = nn.ModuleDict({_key(name): cell(node, network.semantics) for name, node in network.nodes.items()})
        self.silent_at_start = frozenset() if network.semantics.recurrent_input_at_start else only_recurrent(network)
        self.shapes, self.metadata = network.shapes, network.metadata
        self.step_mode = step_mode
        self.state: NirState | None = None

    def cell(self, name: str) -> Cell:
        """The cell of a node."""
        found = self.cells[_key(name)]
        assert isinstance(found, Cell)
        return found

    def reset(self) -> None:
        """Forget the state."""
        self.state = None

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Outputs for inputs [T, N, *shape] (step_mode "m") or [N, *shape] ("s"); a tuple where there are several."""
        if len(inputs) != len(self.inputs):
            raise InputError(
                f"{len(inputs)} tensors", where="from_nir module", allowed=f"{len(self.inputs)}: {', '.join(self.inputs)}"
            )
        single = self.step_mode == "s"
        done = self.run({n: x.unsqueeze(0) if single else x for n, x in zip(self.inputs, inputs, strict=True)}, self.state)
        self.state = done.state
        out = tuple(x.squeeze(0) if single else x for x in done.outputs.values())
        return out[0] if len(out) == 1 else out

    @torch.no_grad()
    def run(self, inputs: Tensor | Mapping[str, Tensor], state: NirState | None = None, *, record: Iterable[str] = ()) -> Run:
        """T steps from `state` (fresh when None) on inputs [T, N, *shape]; returns outputs, state and recorded nodes."""
        given = {self.inputs[0]: inputs} if isinstance(inputs, Tensor) else dict(inputs)
        self._check(given)
        wanted = set(record)
        if not self.late:
            return self._by_layer(given, state, wanted)
        outputs, recorded = [], []
        for t in range(next(iter(given.values())).shape[0]):
            values, state = self._step({name: x[t] for name, x in given.items()}, state)
            outputs.append({name: values[name] for name in self.outputs})
            recorded.append({name: values[name] for name in wanted})
        assert state is not None
        return Run(_stacked(outputs), state, _stacked(recorded))

    def _check(self, given: Mapping[str, Tensor]) -> None:
        if set(given) != set(self.inputs):
            raise InputError(f"inputs {sorted(given)}", where="from_nir module", allowed=", ".join(self.inputs))
        for name, x in given.items():
            if x.ndim < 3 or tuple(x.shape[2:]) != self.shapes[name] or x.shape[0] == 0:
                raise InputError(
                    f"shape {list(x.shape)}", where=f"input {name}", allowed=f"[T, N, {', '.join(map(str, self.shapes[name]))}]"
                )

    def _by_layer(self, given: Mapping[str, Tensor], state: NirState | None, wanted: set[str]) -> Run:
        """All steps of a node before the next node: only where there are no cycles."""
        values: dict[str, Tensor] = {}
        readers = {name: sum(into.count(name) for into in self.sources.values()) for name in self.order}
        kept: dict[str, State] = {}
        for name in self.order:
            into = self.sources[name]
            x = given[name] if name in given else _total([values[n] for n in into])
            one = self.cell(name)
            if one.states:
                memory = state.cells[name] if state is not None else one.begin(x[0])
                steps = []
                for t in range(x.shape[0]):
                    y, memory = one.advance(x[t], memory)
                    steps.append(y)
                values[name], kept[name] = torch.stack(steps), memory
            else:
                values[name] = one(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            for source in into:
                readers[source] -= 1
                if not readers[source] and source not in wanted:
                    del values[source]
        return Run({n: values[n] for n in self.outputs}, NirState(kept, {}), {n: values[n] for n in wanted})

    def _step(self, given: Mapping[str, Tensor], state: NirState | None) -> tuple[dict[str, Tensor], NirState]:
        """One step, node by node; edges of `late` bring the value of the step before."""
        values: dict[str, Tensor] = {}
        kept: dict[str, State] = {}
        before = self._silence(given) if state is None else state.late
        for name in self.order:
            if name in given:
                x = given[name]
            else:
                parts = []
                for source in self.sources[name]:
                    if (source, name) not in self.late:
                        parts.append(values[source])
                    else:
                        parts.append(before[source])
                x = _total(parts)
            one = self.cell(name)
            if one.states:
                memory = state.cells[name] if state is not None else one.begin(x)
                values[name], kept[name] = one.advance(x, memory)
            else:
                values[name] = one(x)
                if state is None and name in self.silent_at_start:
                    values[name] = torch.zeros_like(values[name])
        return values, NirState(kept, {source: values[source] for source, _ in self.late})

    def _silence(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What neurons sent before the first step: nothing."""
        x = next(iter(given.values()))
        return {source: x.new_zeros((x.shape[0], *self.shapes[source])) for source, _ in self.late}


def from_nir(
    graph: nir.NIRGraph | str | Path,
    *,
    dt: float | None = None,
    discretization: Discretization | None = None,
    reset: Reset | None = None,
    comparison: Comparison | None = None,
    recurrent_input_at_start: bool | None = None,
    output_delay: int | None = None,
    step_mode: Literal["s", "m"] = "m",
) -> NirModule:
    """A torch module that computes what a NIR graph (or file) says, float32.

    Files, options and errors are as for `hardware.load`: what NIR leaves open comes from the metadata, arguments win over it.
    Raises UnsupportedError, by name, for Delay nodes and a delayed output.
    """
    network = loaded(
        graph,
        dt=dt,
        discretization=discretization,
        reset=reset,
        comparison=comparison,
        recurrent_input_at_start=recurrent_input_at_start,
        output_delay=output_delay,
    )
    return NirModule(network, step_mode)


def _key(name: str) -> str:
    return name.replace(".", "/")  # torch allows no dot in the name of a module, NIR no slash in the name of a node


def _total(parts: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _stacked(steps: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([step[name] for step in steps]) for name in steps[0]}
