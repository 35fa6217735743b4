"""Compile: a network to integers on neurocores, in passes that each do one thing and say what holds before and after.

lower      nodes -> populations joined by linear maps            lower.py, linear.py, neurons.py, maps.py
balance    when each population sees a sample; relays            latency.py
quantize   integers that Lava and Loihi agree on                 quantize.py, scale.py, calibrate.py
encode     dense, sparse or convolution, by bytes                encode.py
check      the chip's design rules                               rules.py
place      tiles on cores, cores on the mesh                     place.py, resources.py
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

import filopodia
from filopodia.errors import ChipLimitError, InputError, UnsupportedError
from filopodia.hardware.chip import Chip, load_chip
from filopodia.hardware.compiler import maps
from filopodia.hardware.compiler.analog import Graded
from filopodia.hardware.compiler.calibrate import Golden, calibrate, measured, record
from filopodia.hardware.compiler.encode import encode
from filopodia.hardware.compiler.latency import Timed, balance
from filopodia.hardware.compiler.lower import Lowered, lower
from filopodia.hardware.compiler.place import Objective, chips_used, place, utilization
from filopodia.hardware.compiler.quantize import Choice, Frame, QuantizedLayer, quantize
from filopodia.hardware.compiler.rules import check
from filopodia.hardware.network.load import load
from filopodia.hardware.network.network import Network
from filopodia.hardware.program import Connection, Input, Layer, Program
from filopodia.hardware.simulator.inputs import named

Progress = Callable[[str, int, int], None]

Reset = Literal["trained", "zero"]
Sums = Literal["proved", "measured"]

DELAY_LIMIT = 62


@dataclass(frozen=True)
class Options:
    """How to compile; see `compile`."""

    scales: Mapping[str, float] = field(default_factory=dict)
    wide: Collection[str] = ()
    sums: Sums = "proved"
    graded: Mapping[str, Graded] = field(default_factory=dict)
    reset: Reset = "trained"


def compile(
    network: Network | str | PathLike[str],
    chip: str | Path | Chip = "loihi2",
    calibration: Any = None,
    *,
    scales: Mapping[str, float] | None = None,
    wide: Collection[str] = (),
    sums: Sums = "proved",
    graded: Mapping[str, Graded] | None = None,
    reset: Reset = "trained",
    objective: Objective = "cores",
    progress: Progress | None = None,
) -> Program:
    """Integers on neurocores for a network (or the path of a NIR file).

    `chip` is "loihi1", "loihi2", the path of a chip file, or a Chip. `calibration` are inputs [T, N, *shape] (or a mapping from
    input name to such arrays): with them, scale and clipping of each layer are chosen by its spikes. `scales` fixes the scale
    of layers by name. Layers named in `wide` get weights of two synapses each, about 15 bits. `sums="measured"` bounds input
    sums by the calibration's with a quarter to spare, where no bound can be proved without losing weight bits. `graded` says
    which inputs are analog and how their values become messages (`analog_messages`). `reset="zero"` lets neurons that were
    trained to lose their threshold go back to zero instead, as chips without programmable neurons and Lava want it: an
    approximation, whose wrong spikes a calibration counts. `objective` places for the fewest cores,
    or for the least traffic between them at the calibration's rates. `progress` is called with (stage, done, total).

    The program carries, per layer, its scale and what rounding did (`metadata["layers"]`), and what the fullest core uses of
    each resource (`metadata["utilization"]`). Raises UnsupportedError for what cannot be expressed exactly, InputError for
    values that are no numbers, and ChipLimitError with every broken rule when the network does not fit.
    """
    chip = chip if isinstance(chip, Chip) else load_chip(chip)
    _checked_wishes(scales or {}, wide, sums)
    title = "the network" if isinstance(network, Network) else Path(network).name
    network = network if isinstance(network, Network) else load(network)
    options = Options(scales or {}, wide, sums, graded or {}, reset)
    program, golden = integers(network, options, calibration, chip, progress)
    rates = None if golden is None else golden.rates(program)
    if progress is not None:
        progress("place", 0, 1)
    placed = place(program, chip, objective, rates)
    violations = (*check(program, chip), *placed.violations)
    if violations:
        raise ChipLimitError(title, chip.title, violations)
    metadata = {
        **program.metadata,
        "utilization": {name: list(pair) for name, pair in utilization(placed.cores, chip).items()},
        "chips": chips_used(placed.cores),
        **({"traffic": dict(placed.traffic)} if placed.traffic else {}),
    }
    if progress is not None:
        progress("place", 1, 1)
    return replace(program, chip=chip.name, cores=placed.cores, metadata=metadata)


def integers(
    network: Network, options: Options, calibration: Any = None, chip: Chip | None = None, progress: Progress | None = None
) -> tuple[Program, Golden | None]:
    """The program without cores (quantised layers, encoded connections), and the float run it was calibrated on."""
    lowered = _graded(_with_reset(lower(network), options.reset), options.graded)
    _known_names(lowered, options, calibration)
    limit = DELAY_LIMIT if chip is None or "delay" not in chip.limits else chip.limits["delay"].value
    timed = balance(lowered, limit)
    _no_graded_relays(timed, options)
    golden = None if calibration is None else _golden(network, lowered, options, calibration)
    layers: list[Layer] = []
    connections: list[Connection] = []
    reports: dict[str, Any] = {}
    total = len(timed.lowered.populations)
    for done, name in enumerate(timed.lowered.populations):
        if progress is not None:
            progress("quantize", done, total)
        made = _quantized(name, timed, lowered, options, golden, network)
        layers.append(replace(made.layer, latency=timed.latency[name]))
        reports[name] = dict(made.report)
        for part in made.connections:
            bits = options.graded[part.projection.source].bits if part.projection.source in options.graded else 0
            connections.append(encode(part, timed.delay(part.projection), bits, chip))
    _scales_kept(network, options, reports)
    program = Program(
        inputs=tuple(
            Input(name, tuple(shape), options.graded[name].bits if name in options.graded else 0)
            for name, shape in lowered.inputs.items()
        ),
        layers=tuple(layers),
        connections=tuple(connections),
        outputs=tuple(dict.fromkeys(lowered.outputs.values())),
        metadata=_metadata(network, lowered, options, reports),
    )
    return program, golden


def _quantized(
    name: str, timed: Timed, lowered: Lowered, options: Options, golden: Golden | None, network: Network
) -> QuantizedLayer:
    """One layer in integers: as it was trained, by the scale asked for, by calibration, or by the smallest rounding error."""
    neurons = timed.lowered.populations[name]
    incoming = timed.lowered.into(name)
    sources = {p.source for p in incoming}
    messages = {s: (1 << options.graded[s].bits) - 1 if s in options.graded else 1 for s in sources}
    frame = Frame(messages, wide=name in options.wide)
    asked = _asked(network, options, name)
    if asked is not None:
        made = quantize(neurons, incoming, frame, asked)
        known = golden is not None and name in lowered.populations
        return measured(made, timed.lowered, neurons, frame, golden) if known and golden else made
    if golden is not None and name in lowered.populations and all(s in golden.sent for s in sources):
        return calibrate(neurons, timed.lowered, frame, golden, options.sums == "measured")
    return quantize(neurons, incoming, frame)


def _asked(network: Network, options: Options, name: str) -> Choice | None:
    """How to round a layer, where the caller says so, or the network's file: it was trained in fixed point or for a scale."""
    if name in options.scales:
        return Choice(options.scales[name])
    if name in network.fixed_point:
        return Choice(network.fixed_point[name], decay="nearest")
    scales = network.metadata.get("scales")
    value = scales.get(name) if isinstance(scales, Mapping) else None
    return Choice(float(value)) if value is not None else None


def _graded(lowered: Lowered, graded: Mapping[str, Graded]) -> Lowered:
    """Weights of graded inputs per message instead of per unit of the input."""
    unknown = [name for name in graded if name not in lowered.inputs]
    if unknown:
        raise InputError(f"no input named {', '.join(unknown)}", where="graded", allowed=", ".join(lowered.inputs))
    projections = tuple(
        replace(p, map=maps.scale_sources(p.map, np.asarray(graded[p.source].unit))) if p.source in graded else p
        for p in lowered.projections
    )
    return replace(lowered, projections=projections)


def _with_reset(lowered: Lowered, reset: Reset) -> Lowered:
    """Populations as they were trained, or all with a reset to zero."""
    if reset not in get_args(Reset):
        raise InputError(f"reset {reset!r}", where="compile", allowed=" or ".join(get_args(Reset)))
    if reset == "trained":
        return lowered
    return replace(lowered, populations={name: replace(p, reset="zero") for name, p in lowered.populations.items()})


def _scales_kept(network: Network, options: Options, reports: Mapping[str, Any]) -> None:
    """Raise InputError for a scale that the caller or the network's file asked for, and that had to be lowered."""
    for name, report in reports.items():
        asked = _asked(network, options, name)
        if asked is None or report["scale"] >= asked.scale:
            continue
        fits = f"{report['scale'] * (1 - 1e-5):.6g}"  # rounded up, it would be refused too
        if name in options.scales:
            where, fix = f"scales: {name}", "leave it out, and the best one that fits is chosen"
        else:
            where = f"{name}: the scale in the network's metadata, which it was trained for"
            fix = f'sums="measured" may make room; scales={{"{name}": {fits}}} gives up what was trained'
        raise InputError(
            f"a scale of {asked.scale:g}, at which a field would overflow", where=where, allowed=f"up to {fits}", fix=fix
        )


def _no_graded_relays(timed: Timed, options: Options) -> None:
    """Raise UnsupportedError where graded messages would have to wait in neurons, which repeat spikes alone."""
    waiting = [name for name in options.graded if any(n.startswith(f"{name}.relay") for n in timed.lowered.populations)]
    if waiting:
        raise UnsupportedError(
            "graded messages on a path that waits for longer than a synapse can: relay neurons repeat spikes only",
            where=f"input {waiting[0]}",
            allowed=f"delays of up to {DELAY_LIMIT} steps behind graded inputs",
            fix="code the input as spikes, or shorten the path beside it",
        )


def _checked_wishes(scales: Mapping[str, float], wide: Collection[str], sums: str) -> None:
    """Raise InputError for options that are nothing one can ask for."""
    for name, scale in scales.items():
        if not (math.isfinite(scale) and scale > 0):
            raise InputError(f"a scale of {scale:g}", where=f"scales: {name}", allowed="a number above 0")
    if isinstance(wide, str):
        raise InputError(f"wide {wide!r}", where="compile", allowed=f"a collection of layer names, such as [{wide!r}]")
    if sums not in get_args(Sums):
        raise InputError(f"sums {sums!r}", where="compile", allowed=" or ".join(get_args(Sums)))


def _golden(network: Network, lowered: Lowered, options: Options, calibration: Any) -> Golden:
    given = named(network.inputs, calibration, "calibration")
    for name, values in given.items():
        if values.dtype.kind not in "buif" or not np.all(np.isfinite(values)):
            found = f"type {values.dtype}" if values.dtype.kind not in "buif" else "values that are not finite"
            raise InputError(found, where=f"calibration of {name}", allowed="finite numbers")
    encoded = {
        name: options.graded[name].messages(values, f"calibration of {name}") if name in options.graded else np.asarray(values)
        for name, values in given.items()
    }
    for name, values in encoded.items():
        if name not in options.graded and values.size and not np.all((values == 0) | (values == 1)):
            raise InputError(
                "calibration values other than 0 and 1",
                where=f"input {name}",
                allowed="spikes, or an analog input named in graded",
                fix=f'graded={{"{name}": Graded(bits=8, largest={float(np.max(np.abs(values))):g})}}',
            )
    return record(network, lowered, given, encoded)


def _known_names(lowered: Lowered, options: Options, calibration: Any) -> None:
    """Raise InputError for options that name layers there are not, or need a calibration there is not."""
    for what, names in (("scales", options.scales), ("wide", options.wide)):
        unknown = [name for name in names if name not in lowered.populations]
        if unknown:
            raise InputError(f"no layer named {', '.join(unknown)}", where=what, allowed=", ".join(lowered.populations))
    if options.sums == "measured" and calibration is None:
        raise InputError('sums="measured" without calibration', allowed="inputs to measure on", fix="give calibration=spikes")


def _metadata(network: Network, lowered: Lowered, options: Options, reports: Mapping[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "dt": network.semantics.dt,
        "outputs": dict(lowered.outputs),
        "output_delay": network.semantics.output_delay,
        "layers": dict(reports),
        "source": dict(network.metadata),
        "compiled_by": f"filopodia {filopodia.__version__}",
    }
    if network.metadata.get("readout"):
        metadata["readout"] = dict(network.metadata["readout"])
    voltages = [name for name in lowered.outputs.values() if not lowered.populations[name].spikes]
    if voltages:
        metadata["voltage_outputs"] = voltages
    if options.reset == "zero" and network.semantics.reset == "subtract":
        metadata["reset_approximated"] = True
    if options.graded:
        metadata["graded"] = {name: {"bits": g.bits, "largest": g.largest} for name, g in options.graded.items()}
    return metadata
