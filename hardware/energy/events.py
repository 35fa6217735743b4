"""Events: what happened in a run, counted exactly per layer, core, step and sample. Counting knows no prices.

Counted from the recorded spikes and the program's weights alone, so it is independent of the simulator's own counters
(`Activity.counts`), which hold the layers' totals; where both are there they must agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.energy.fanout import Which, conv_fanout, fanout, image_shape
from filopodia.hardware.energy.prices import FORMATS, Format
from filopodia.hardware.program import Connection, Conv, Dense, Layer, Program, Sparse, Synapses
from filopodia.hardware.simulator.reference import effective

Ints = NDArray[np.int64]
WHICH: tuple[Which, ...] = ("nonzero", "stored", "dense")


@dataclass(frozen=True, eq=False)
class LayerEvents:
    """Events of one layer (or input): each array int64 [G, T, N], a row per core that holds neurons of the layer.

    `cores` are indices into `program.cores`; empty when the layer is not placed (or an input), the arrays then have one row.
    `neurons` [G]. `synops[format]`: binary spikes over non-zero synapses; `zeros[format]`: over zeros that the program
    stores; `missing[format]`: over synapses of columns that do not exist, beside a partly filled core; `macs`: graded
    messages over non-zero synapses; `pruned`: spikes over synapses the connection's shape allows and the program does not
    store. All of them in the step in which the layer handles them.
    `updates`: neurons updated; `active`: those not at rest before and after the step (u, v, bias and spike all 0), None where
    the run did not record u and v. `spikes`: non-zero messages sent;
    `messages`: spike x destination core; `hops_x`, `hops_y`: links they pass (XY routing); `crossings`: messages to another
    chip; `arrivals`: messages received.
    """

    name: str
    cores: tuple[int, ...]
    neurons: Ints
    synops: Mapping[Format, Ints]
    zeros: Mapping[Format, Ints]
    missing: Mapping[Format, Ints]
    macs: Ints
    pruned: Ints
    updates: Ints
    active: Ints | None
    spikes: Ints
    messages: Ints
    hops_x: Ints
    hops_y: Ints
    crossings: Ints
    arrivals: Ints

    @property
    def all_synops(self) -> Ints:
        """Synops over non-zero synapses, binary and graded: what `Activity.counts[name].synops` holds, per core."""
        return sum((self.synops[f] for f in self.synops), self.macs.copy())


def weight_format(connection: Connection) -> Format:
    """The format a connection's weights are stored in."""
    synapses = connection.synapses
    return "conv" if isinstance(synapses, Conv) else "dense" if isinstance(synapses, Dense) else "sparse"


def acting(connection: Connection) -> Synapses:
    """A connection's synapses with the weights that act, after Lava's clipping and rounding (which may make some zero)."""
    weight = effective(connection)
    if isinstance(connection.synapses, Sparse):
        return replace(connection.synapses, data=weight)
    return replace(connection.synapses, weight=weight)


def count_events(activity: Activity, program: Program) -> dict[str, LayerEvents]:
    """Exact events of a run per input and layer, from recorded spikes; without them, the layers' totals of `activity.counts`.

    Raises InputError when the activity belongs to another program or holds neither spikes nor counts.
    """
    check_activity(activity, program)
    sources = {c.source for c in program.connections}
    if all(name in activity.spikes for name in program.nodes if name in sources or name in program.outputs):
        return _from_spikes(activity, program)
    missing = [name for name in program.nodes if name not in activity.counts]
    if missing:
        raise InputError(
            f"neither spikes nor counts of {', '.join(missing)}", where="activity", fix='simulate with record=("spikes",)'
        )
    return {name: _from_counts(activity, program, name) for name in program.nodes}


def check_activity(activity: Activity, program: Program) -> None:
    """Raise InputError, naming what differs, when an activity cannot be a run of this program."""
    where, fix = "activity", "estimate with the program that was run"
    for name in (*activity.spikes, *activity.counts):
        if name not in program.nodes:
            raise InputError(
                f"a layer {name!r} that the program does not have", where=where, allowed=", ".join(program.nodes), fix=fix
            )
    for name, spikes in activity.spikes.items():
        expected = (activity.steps, activity.samples, *program.nodes[name].shape)
        if spikes.shape != expected:
            raise InputError(
                f"spikes of shape {list(spikes.shape)}", where=f"{where}: {name}", allowed=str(list(expected)), fix=fix
            )
    for name, counts in activity.counts.items():
        node = program.nodes[name]
        if counts.spikes.shape != (activity.steps, activity.samples):
            shape, allowed = list(counts.spikes.shape), str([activity.steps, activity.samples])
            raise InputError(f"counts of shape {shape}", where=f"{where}: {name}", allowed=allowed, fix=fix)
        most = int(counts.updates.max(initial=0))
        if isinstance(node, Layer) and most > node.size:
            raise InputError(
                f"{most} neuron updates in a step", where=f"{where}: {name}", allowed=f"at most {node.size}", fix=fix
            )
        if int(counts.spikes.max(initial=0)) > node.size:
            found = f"{int(counts.spikes.max())} spikes in a step"
            raise InputError(found, where=f"{where}: {name}", allowed=f"at most {node.size}", fix=fix)


def _check_totals(activity: Activity, events: Mapping[str, LayerEvents]) -> None:
    for name, counts in activity.counts.items():
        for what, counted, recorded in (
            ("spikes", events[name].spikes, counts.spikes),
            ("synops", events[name].all_synops, counts.synops),
        ):
            ours, theirs = int(counted.sum()), int(recorded.sum())
            if ours != theirs:
                raise InputError(
                    f"{theirs} {what}, but its spikes and the program's weights make {ours}",
                    where=f"activity: {name}",
                    fix="the activity was made by another program (other weights): run it again",
                )


def _from_counts(activity: Activity, program: Program, name: str) -> LayerEvents:
    counts = activity.counts[name]
    node = program.nodes[name]
    nothing = np.zeros((1, activity.steps, activity.samples), np.int64)
    into = program.into(name)
    synops = dict.fromkeys(FORMATS, nothing)
    graded = bool(into) and all(c.message_bits for c in into)
    kinds = {weight_format(c) for c in into}
    if len(kinds) > 1 or (not graded and any(c.message_bits for c in into)):
        raise InputError(
            "totals alone cannot tell its connections apart", where=f"activity: {name}", fix='simulate with record=("spikes",)'
        )
    if kinds and not graded:
        synops[kinds.pop()] = counts.synops[None]
    return LayerEvents(
        name=name,
        cores=(),
        neurons=np.array([node.size if isinstance(node, Layer) else 0]),
        synops=synops,
        zeros=dict.fromkeys(FORMATS, nothing),
        missing=dict.fromkeys(FORMATS, nothing),
        macs=counts.synops[None] if graded else nothing,
        pruned=nothing,
        updates=counts.updates[None],
        active=None,
        spikes=counts.spikes[None],
        messages=counts.messages[None],
        hops_x=nothing,
        hops_y=nothing,
        crossings=nothing,
        arrivals=nothing,
    )


class _Tally:
    """Arrays being summed for one node."""

    def __init__(self, program: Program, name: str, steps: int, samples: int) -> None:
        node = program.nodes[name]
        self.node = node
        self.cores = tuple(i for i, core in enumerate(program.cores) if len(core.neurons.get(name, ())))
        self.groups = max(len(self.cores), 1)
        self.labels: Ints = np.full(node.size, -1 if self.cores else 0, np.int64)
        for group, core in enumerate(self.cores):
            self.labels[program.cores[core].neurons[name]] = group
        if (self.labels < 0).any():
            found = f"{int((self.labels < 0).sum())} neurons on no core"
            raise InputError(found, where=f"program: {name}", fix="place every neuron, or none")
        shape = (self.groups, steps, samples)
        self.synops = {f: np.zeros(shape, np.int64) for f in FORMATS}
        self.zeros = {f: np.zeros(shape, np.int64) for f in FORMATS}
        self.missing = {f: np.zeros(shape, np.int64) for f in FORMATS}
        self.macs = np.zeros(shape, np.int64)
        self.pruned = np.zeros(shape, np.int64)
        self.arrivals = np.zeros(shape, np.int64)


def _from_spikes(activity: Activity, program: Program) -> dict[str, LayerEvents]:
    from scipy.sparse import csr_matrix

    steps, samples = activity.steps, activity.samples
    tally = {name: _Tally(program, name, steps, samples) for name in program.nodes}
    done: dict[str, LayerEvents] = {}
    sent: dict[str, tuple[Ints, ...]] = {}
    for name, mine in tally.items():
        size = mine.node.size
        recorded = activity.spikes.get(name)
        if recorded is None:  # neither a source nor an output: only how many spikes it made is of interest
            counted = activity.counts[name].spikes if name in activity.counts else np.zeros((steps, samples), np.int64)
            lone = np.zeros((mine.groups, steps, samples), np.int64)
            lone[0] = counted
            nil = np.zeros_like(lone)
            sent[name] = (lone, nil, nil, nil, nil)
            continue
        spikes = csr_matrix(recorded.reshape(steps * samples, size) != 0).astype(np.int64)

        def per_group(matrix: Ints, lag: int = 0, spikes: csr_matrix = spikes) -> Ints:
            """[groups, T, N] of spikes times a [sources, groups] matrix, `lag` steps later."""
            out = np.asarray(spikes @ matrix).T.reshape(matrix.shape[1], steps, samples)
            if lag:
                out = np.concatenate([np.zeros_like(out[:, :lag]), out[:, : steps - lag]], axis=1)[:, :steps]
            return out

        onehot = np.zeros((size, mine.groups), np.int64)
        onehot[np.arange(size), mine.labels] = 1
        reached = np.zeros((size, len(program.cores)), bool)  # destination cores of each source neuron
        for connection in program.connections:
            if connection.source != name:
                continue
            to = tally[connection.target]
            lag, weights = program.lag(connection), weight_format(connection)
            synapses = acting(connection)
            nonzero, stored, dense = (fanout(synapses, mine.node.shape, to.labels, to.groups, which) for which in WHICH)
            synops = per_group(nonzero, lag)
            if connection.message_bits:
                to.macs += synops
            else:
                to.synops[weights] += synops
            to.zeros[weights] += per_group(stored - nonzero, lag)
            to.pruned += per_group(dense - stored, lag)
            to.missing[weights] += per_group(_missing(connection, program, to), lag)
            if to.cores:
                at = list(to.cores)
                first = (nonzero > 0) & ~reached[:, at]
                to.arrivals += per_group(first.astype(np.int64), lag)
                reached[:, at] |= first
        hops_x, hops_y, crossings = _routes(program, mine, reached)
        columns = (onehot, onehot * reached.sum(axis=1, keepdims=True), hops_x, hops_y, crossings)
        sent[name] = tuple(per_group(column) for column in columns)
    for name, mine in tally.items():
        neurons = np.bincount(mine.labels, minlength=mine.groups) * isinstance(mine.node, Layer)
        spikes_, messages, x, y, crossings_ = sent[name]
        done[name] = LayerEvents(
            name=name,
            cores=mine.cores,
            neurons=neurons,
            synops=mine.synops,
            zeros=mine.zeros,
            missing=mine.missing,
            macs=mine.macs,
            pruned=mine.pruned,
            updates=np.broadcast_to(neurons[:, None, None], mine.macs.shape).astype(np.int64),
            active=_active(activity, mine, name),
            spikes=spikes_,
            messages=messages,
            hops_x=x,
            hops_y=y,
            crossings=crossings_,
            arrivals=mine.arrivals,
        )
    _check_totals(activity, done)
    return done


def _active(activity: Activity, mine: _Tally, name: str) -> Ints | None:
    """Neurons not at rest, [groups, T, N]; None where u and v were not recorded and some neuron has no bias."""
    if not isinstance(mine.node, Layer):
        return None
    shape = (activity.steps, activity.samples, mine.node.size)
    awake = np.broadcast_to(np.asarray(mine.node.bias != 0).reshape(-1), shape)
    if not awake.all():
        if name not in activity.spikes or any(name not in activity.states.get(state, {}) for state in ("u", "v")):
            return None
        moved = activity.spikes[name].reshape(shape) != 0
        for state in ("u", "v"):
            moved = moved | (activity.states[state][name].reshape(shape) != 0)
        before = np.concatenate([np.zeros_like(moved[:1]), moved[:-1]])
        awake = awake | moved | before
    onehot = np.eye(mine.groups, dtype=np.int64)[mine.labels]
    counted: Ints = np.moveaxis(awake.astype(np.int64) @ onehot, 2, 0)
    return counted


def _routes(program: Program, mine: _Tally, reached: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints]:
    """East-west links, north-south links and chip crossings of one spike of each neuron, each [size, groups]."""
    out = np.zeros((3, mine.node.size, mine.groups), np.int64)
    for group, index in enumerate(mine.cores):
        home = program.cores[index]
        same = np.array([core.chip == home.chip for core in program.cores])
        x = np.array([abs(core.position[0] - home.position[0]) for core in program.cores]) * same
        y = np.array([abs(core.position[1] - home.position[1]) for core in program.cores]) * same
        here = mine.labels == group
        for column, per_core in enumerate((x, y, (~same).astype(np.int64))):
            out[column, here, group] = reached[here] @ per_core
    return out[0], out[1], out[2]


def column_blocks(program: Program, name: str) -> list[tuple[int, int]] | None:
    """First column and width of each core's part of a layer, if every core holds all channels and rows of a run of columns."""
    channels, height, width = image_shape(program.nodes[name].shape)
    blocks = []
    for core in program.cores:
        held = core.neurons.get(name)
        if held is None or not len(held):
            continue
        columns = np.unique(np.asarray(held) % width)
        if len(held) != channels * height * len(columns) or np.ptp(columns) + 1 != len(columns):
            return None
        blocks.append((int(columns[0]), len(columns)))
    return blocks or None


def _missing(connection: Connection, program: Program, to: _Tally) -> Ints:
    """Synapses onto the columns that a partly filled last core would hold if the image went on, [sources, groups].

    Loihi 2 was measured to work on them: such a core runs the same code as a full one (data/loihi2_pilotnet).
    """
    source = program.nodes[connection.source].shape
    out = np.zeros((int(np.prod(source)), to.groups), np.int64)
    blocks = column_blocks(program, connection.target) if to.cores else None
    if not isinstance(connection.synapses, Conv) or blocks is None:
        return out
    channels, height, width = image_shape(to.node.shape)
    full = max(size for _, size in blocks)
    for group, (first, size) in enumerate(blocks):
        if first + size != width or size == full:
            continue
        grid = np.meshgrid(np.arange(channels), np.arange(height), np.arange(width, first + full), indexing="ij")
        c, y, x = (axis.ravel() for axis in grid)
        out[:, group] = conv_fanout(connection.synapses, image_shape(source), c, y, x, "nonzero")
    return out
