"""NIR to torch: a module with explicit state that computes what a NIR graph says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nir
import torch
from torch import Tensor, nn

from filopodia.errors import FileError, InputError, UnsupportedError

from .cells import Cell, State, cell
from .order import order, sources
from .semantics import semantics


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

    def __init__(self, cells: Mapping[str, Cell], graph: nir.NIRGraph, step_mode: Literal["s", "m"]) -> None:
        super().__init__()
        names = list(graph.nodes)
        self.inputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
        self.outputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Output)]
        edges = [(str(a), str(b)) for a, b in graph.edges]
        neurons = [name for name, one in cells.items() if one.states]
        self.order, self.late = order(names, edges, neurons)
        self.sources = sources(edges, names)
        self.cells = nn.ModuleDict({_key(name): one for name, one in cells.items()})
        self.shapes = {name: tuple(int(n) for n in graph.nodes[name].input_type["input"]) for name in self.inputs}
        self.neuron_shapes = {name: tuple(int(n) for n in graph.nodes[name].input_type["input"]) for name in neurons}
        self.metadata = graph.metadata
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
        readers = {name: sum(name in into for into in self.sources.values()) for name in self.order}
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
        return values, NirState(kept, {source: values[source] for source, _ in self.late})

    def _silence(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What neurons sent before the first step: nothing."""
        x = next(iter(given.values()))
        return {source: x.new_zeros((x.shape[0], *self.neuron_shapes[source])) for source, _ in self.late}


def from_nir(
    graph: nir.NIRGraph | str | Path,
    *,
    dt: float | None = None,
    discretization: str | None = None,
    reset: str | None = None,
    comparison: str | None = None,
    step_mode: Literal["s", "m"] = "m",
) -> NirModule:
    """A torch module that computes what a NIR graph (or file) says, float32.

    What NIR leaves open comes from the metadata; arguments win over it. Raises FileError for a file that cannot be read,
    InputError for semantics that are missing or out of range, UnsupportedError, by node name, for nodes it does not know.
    """
    if not isinstance(graph, nir.NIRGraph):
        graph = _read(Path(graph))
    rules = semantics(graph, dt=dt, discretization=discretization, reset=reset, comparison=comparison)
    cells = {}
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            raise UnsupportedError("a graph inside the graph", where=name, fix="hardware.load reads nested graphs")
        cells[name] = cell(name, node, rules)
    return NirModule(cells, graph, step_mode)


def _read(path: Path) -> nir.NIRGraph:
    if not path.is_file():
        raise FileError(
            "no such file", where=str(path), fix="export a model first: nir.write(path, export.to_nir(model, sample))"
        )
    try:
        graph = nir.read(path)
    except Exception as error:
        raise FileError(
            f"not a readable NIR file ({type(error).__name__}: {error})", where=str(path), allowed="a file written by nir.write"
        ) from error
    return graph


def _key(name: str) -> str:
    return name.replace(".", "/")  # torch allows no dot in the name of a module, NIR no slash in the name of a node


def _total(parts: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _stacked(steps: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([step[name] for step in steps]) for name in steps[0]}
