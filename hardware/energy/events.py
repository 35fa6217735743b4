"""Events: what happened in a run per layer, core, step and sample, and whether a run and a program belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.energy.prices import FORMATS, Format
from filopodia.hardware.program import Connection, Conv, Dense, Layer, Program

Ints = NDArray[np.int64]


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


def check_totals(activity: Activity, events: Mapping[str, LayerEvents]) -> None:
    """Raise InputError where an activity's own counts are not those that its spikes and the program's weights make."""
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


def from_counts(activity: Activity, program: Program, name: str) -> LayerEvents:
    """A layer's events from its totals alone: no cores, no hops, no stored zeros."""
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
