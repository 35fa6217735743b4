"""Count: the exact events of a run, from its recorded spikes and the program's weights. Counting knows no prices.

Independent of the simulator's own counters (`Activity.counts`), which hold the layers' totals; where both are there they must
agree.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.energy.events import Ints, LayerEvents, check_activity, check_totals, from_counts, weight_format
from filopodia.hardware.energy.fanout import Which, conv_fanout, fanout, image_shape
from filopodia.hardware.energy.prices import FORMATS
from filopodia.hardware.energy.tally import tally
from filopodia.hardware.program import Connection, Conv, Layer, Program, Sparse, Synapses
from filopodia.hardware.simulator.reference import effective

WHICH: tuple[Which, ...] = ("nonzero", "stored", "dense")


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
    return {name: from_counts(activity, program, name) for name in program.nodes}


def acting(connection: Connection) -> Synapses:
    """A connection's synapses with the weights that act, after Lava's clipping and rounding (which may make some zero)."""
    weight = effective(connection)
    if isinstance(connection.synapses, Sparse):
        return replace(connection.synapses, data=weight)
    return replace(connection.synapses, weight=weight)


def seats(program: Program, name: str) -> tuple[tuple[int, ...], Ints]:
    """The cores (indices into `program.cores`) that hold neurons of a layer, and for each neuron its place among them [size];
    no core and all 0 for what is not placed. Raises InputError when some neurons are placed and others are not."""
    cores = tuple(i for i, core in enumerate(program.cores) if len(core.neurons.get(name, ())))
    labels: Ints = np.full(program.nodes[name].size, -1 if cores else 0, np.int64)
    for group, core in enumerate(cores):
        labels[program.cores[core].neurons[name]] = group
    if (labels < 0).any():
        found = f"{int((labels < 0).sum())} neurons on no core"
        raise InputError(found, where=f"program: {name}", fix="place every neuron, or none")
    return cores, labels


class _Sums:
    """Arrays being summed for one node."""

    def __init__(self, program: Program, name: str, activity: Activity) -> None:
        self.node = program.nodes[name]
        self.cores, self.labels = seats(program, name)
        self.groups = max(len(self.cores), 1)
        shape = (self.groups, activity.steps, activity.samples)
        self.synops = {f: np.zeros(shape, np.int64) for f in FORMATS}
        self.zeros = {f: np.zeros(shape, np.int64) for f in FORMATS}
        self.missing = {f: np.zeros(shape, np.int64) for f in FORMATS}
        self.macs = np.zeros(shape, np.int64)
        self.pruned = np.zeros(shape, np.int64)
        self.arrivals = np.zeros(shape, np.int64)

        self.sent = [np.zeros(shape, np.int64) for _ in range(5)]  # spikes, messages, hops_x, hops_y, crossings

    def finished(self, name: str, active: Ints | None) -> LayerEvents:
        neurons = np.bincount(self.labels, minlength=self.groups) * isinstance(self.node, Layer)
        spikes, messages, hops_x, hops_y, crossings = self.sent
        return LayerEvents(
            name=name,
            cores=self.cores,
            neurons=neurons,
            synops=self.synops,
            zeros=self.zeros,
            missing=self.missing,
            macs=self.macs,
            pruned=self.pruned,
            updates=np.broadcast_to(neurons[:, None, None], self.macs.shape).astype(np.int64),
            active=active,
            spikes=spikes,
            messages=messages,
            hops_x=hops_x,
            hops_y=hops_y,
            crossings=crossings,
            arrivals=self.arrivals,
        )


def _from_spikes(activity: Activity, program: Program) -> dict[str, LayerEvents]:
    sums = {name: _Sums(program, name, activity) for name in program.nodes}
    for name, mine in sums.items():
        if name in activity.spikes:
            _count_spikes(activity, program, name, sums)
        elif name in activity.counts:  # neither a source nor an output: how many spikes it made is all there is
            mine.sent[0][0] = activity.counts[name].spikes
    done = {name: mine.finished(name, active_updates(activity, program, name)) for name, mine in sums.items()}
    check_totals(activity, done)
    return done


def _count_spikes(activity: Activity, program: Program, name: str, sums: dict[str, _Sums]) -> None:
    """Add what the spikes of one node set in motion to its own sums and to those of its targets."""
    mine = sums[name]
    blocks: list[tuple[Ints, Ints, int]] = []  # a number per neuron and column, the sum it belongs to, steps of lag
    reached = np.zeros((mine.node.size, len(program.cores)), bool)  # destination cores of each neuron
    for connection in program.connections:
        if connection.source != name:
            continue
        to, lag, weights = sums[connection.target], program.lag(connection), weight_format(connection)
        synapses = acting(connection)
        nonzero, stored, dense = (fanout(synapses, mine.node.shape, to.labels, to.groups, which) for which in WHICH)
        blocks += [
            (nonzero, to.macs if connection.message_bits else to.synops[weights], lag),
            (stored - nonzero, to.zeros[weights], lag),
            (dense - stored, to.pruned, lag),
        ]
        missing = _missing(connection, program, to)
        if missing is not None:
            blocks.append((missing, to.missing[weights], lag))
        if to.cores:
            at = list(to.cores)
            first = (nonzero > 0) & ~reached[:, at]
            blocks.append((first.astype(np.int64), to.arrivals, lag))
            reached[:, at] |= first
    onehot = np.zeros((mine.node.size, mine.groups), np.int64)
    onehot[np.arange(len(onehot)), mine.labels] = 1
    own = (onehot, onehot * reached.sum(axis=1, keepdims=True), *_routes(program, mine, reached))
    blocks += [(block, into, 0) for block, into in zip(own, mine.sent, strict=True)]
    some = [block for block in blocks if block[0].any()]
    steps = activity.steps
    for (_, into, lag), found in zip(some, tally(activity.spikes[name], [block for block, _, _ in some]), strict=True):
        into[:, lag:] += found[:, : max(steps - lag, 0)]


def active_updates(activity: Activity, program: Program, name: str) -> Ints | None:
    """Neurons not at rest, [groups, T, N], a group for each core that holds some of the layer; None for an input, and where
    u and v were not recorded and some neuron has no bias."""
    node = program.nodes[name]
    if not isinstance(node, Layer):
        return None
    cores, labels = seats(program, name)
    groups = max(len(cores), 1)
    shape = (activity.steps, activity.samples, node.size)
    biased = np.broadcast_to(np.asarray(node.bias != 0).reshape(-1), shape[2:])
    if biased.all():
        return np.broadcast_to(np.bincount(labels)[:, None, None], (groups, *shape[:2])).astype(np.int64)
    if name not in activity.spikes or any(name not in activity.states.get(state, {}) for state in ("u", "v")):
        return None
    moved = activity.spikes[name].reshape(shape) != 0
    for state in ("u", "v"):
        moved = moved | (activity.states[state][name].reshape(shape) != 0)
    before = np.concatenate([np.zeros_like(moved[:1]), moved[:-1]])
    onehot = np.eye(groups, dtype=np.int64)[labels]
    return tally(biased | moved | before, [onehot])[0]


def _routes(program: Program, mine: _Sums, reached: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints]:
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


def _missing(connection: Connection, program: Program, to: _Sums) -> Ints | None:
    """Synapses onto the columns that a partly filled last core would hold if the image went on, [sources, groups];
    None where a layer is not cut into columns.

    Loihi 2 was measured to work on them: such a core runs the same code as a full one (data/loihi2_pilotnet).
    """
    source = program.nodes[connection.source].shape
    blocks = column_blocks(program, connection.target) if to.cores else None
    if not isinstance(connection.synapses, Conv) or blocks is None:
        return None
    out = np.zeros((int(np.prod(source)), to.groups), np.int64)
    channels, height, width = image_shape(to.node.shape)
    full = max(size for _, size in blocks)
    for group, (first, size) in enumerate(blocks):
        if first + size != width or size == full:
            continue
        grid = np.meshgrid(np.arange(channels), np.arange(height), np.arange(width, first + full), indexing="ij")
        c, y, x = (axis.ravel() for axis in grid)
        out[:, group] = conv_fanout(connection.synapses, image_shape(source), c, y, x, "nonzero")
    return out
