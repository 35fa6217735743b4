"""`load`: a NIR graph or file as a `Network`, a lava-dl file as a `Program`."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from filopodia.errors import FileError, InputError
from filopodia.hardware.network.build import NEURONS
from filopodia.hardware.network.delay import MOST_STEPS, delay_steps
from filopodia.hardware.network.inline import inline
from filopodia.hardware.network.lava_dl import is_lava_dl, read_lava_dl
from filopodia.hardware.network.network import Comparison, Discretization, Network, Reset
from filopodia.hardware.network.order import order_nodes
from filopodia.hardware.network.raw import RawGraph, RawNode, raw_graph, single_node_graph
from filopodia.hardware.network.semantics import plain, read_fixed_point, read_semantics, trained_at_or_above
from filopodia.hardware.network.shapes import build_all


def load(
    path_or_graph: str | PathLike[str] | Any,
    *,
    dt: float | None = None,
    discretization: Discretization | None = None,
    reset: Reset | None = None,
    comparison: Comparison | None = None,
    recurrent_input_at_start: bool | None = None,
    output_delay: int | None = None,
) -> Any:
    """Load a NIR file (HDF5) or a `nir.NIRGraph` as a `Network`, a lava-dl network file (`.net`) as a `Program`.

    `dt` is the step in seconds. The five options say what NIR leaves open (see `Semantics`); what is left out comes from the
    graph's metadata, then from the defaults: Euler, reset to `v_reset`, strictly above the threshold. A file without
    metadata needs `dt` as soon as a neuron has a time constant; when there are only IF and I neurons with one `r`, dt is 1/r,
    their input added as it is. A lava-dl file says all this itself and takes none of them (`read_lava_dl`).

    A file that was trained with `>=` and stores thresholds one float lower (metadata `trained_comparison`) is loaded as it
    was trained: its thresholds one float up, `comparison` `>=`; with `comparison=">"` they stay as stored.

    Raises `FileError` for a file that is missing, damaged or wrong (with the node's name), `UnsupportedError` for a node that
    NIR does not have or a loop without state, `InputError` for a wrong argument.
    """
    options = {
        "dt": dt,
        "discretization": discretization,
        "reset": reset,
        "comparison": comparison,
        "recurrent_input_at_start": recurrent_input_at_start,
        "output_delay": output_delay,
    }
    if isinstance(path_or_graph, str | PathLike) and is_lava_dl(Path(path_or_graph)):
        given = [key for key, value in options.items() if value is not None]
        if given:
            raise InputError(
                f"{', '.join(given)} with a lava-dl file", where="load", allowed="the path alone", fix="leave it out"
            )
        return read_lava_dl(Path(path_or_graph))
    return load_network(path_or_graph, options)


def load_network(path_or_graph: str | PathLike[str] | Any, options: Mapping[str, Any] | None = None) -> Network:
    """As `load`, for what is known to be NIR; `options` by name, None standing for one left out."""
    raw = _read(path_or_graph)
    metadata = plain(raw.metadata)
    flat = inline(raw)
    nodes, shapes = build_all(flat)
    given = dict(options or {})
    if trained_at_or_above(metadata, given.get("comparison")):
        given["comparison"] = ">="
        _raise_thresholds(nodes)
    semantics = read_semantics(metadata, given, _dt_of_nodes(nodes))
    if semantics.discretization == "euler":
        _check_stable(nodes, semantics.dt)
    late = [n for n, node in nodes.items() if type(node).__name__ == "Delay" and _checked_delay(n, node, semantics.dt) >= 1]
    neurons = [n for n, node in nodes.items() if type(node).__name__ in NEURONS]
    order = order_nodes(list(nodes), flat.edges, neurons, late)
    return Network(
        nodes={name: nodes[name] for name in order.nodes},
        edges=tuple(flat.edges),
        shapes={name: shapes[name] for name in order.nodes},
        inputs=tuple(n for n in flat.nodes if flat.nodes[n].kind == "Input"),
        outputs=tuple(n for n in flat.nodes if flat.nodes[n].kind == "Output"),
        semantics=semantics,
        metadata=metadata,
        feedback=order.feedback,
        fixed_point=read_fixed_point(metadata, nodes),
    )


def _read(source: Any) -> RawGraph:
    if isinstance(source, str | PathLike):
        from filopodia.hardware.network.nir_file import read_nir

        return read_nir(Path(source))
    if hasattr(source, "nodes") and hasattr(source, "edges"):
        return raw_graph(source)
    kind = type(source).__name__
    if type(source).__module__.partition(".")[0] == "nir":
        fields = {k: v for k, v in vars(source).items() if k not in ("input_type", "output_type", "metadata")}
        return single_node_graph(RawNode(kind, fields))
    raise InputError(f"a {kind}", where="load", allowed="the path of a NIR or lava-dl file, or a nir.NIRGraph")


def _checked_delay(name: str, node: Any, dt: float) -> int:
    """The least delay of a node in steps; `FileError` where the longest is absurd."""
    longest = float(node.delay.max())
    if longest / dt > MOST_STEPS:
        raise FileError(
            f"Delay: {longest:g} s are {longest / dt:.3g} steps of {dt:g} s",
            where=f"node {name!r}",
            allowed=f"at most {MOST_STEPS} steps",
            fix="delays and dt are both in seconds",
        )
    return int(delay_steps(node.delay, dt).min())


def _dt_of_nodes(nodes: dict[str, Any]) -> float | None:
    """The dt that nodes without any time suggest: 1/r where IF and I share one r, 1 where there are none."""
    kinds = {type(node).__name__ for node in nodes.values()}
    if kinds & {"LI", "LIF", "CubaLI", "CubaLIF", "Delay"}:
        return None
    rates = {float(r) for node in nodes.values() if type(node).__name__ in ("I", "IF") for r in np.unique(node.r)}
    if len(rates) > 1 or min(rates, default=1.0) <= 0:
        return None
    return 1.0 / rates.pop() if rates else 1.0


def _raise_thresholds(nodes: dict[str, Any]) -> None:
    for node in nodes.values():
        if type(node).__name__ in ("IF", "LIF", "CubaLIF"):
            stored = np.asarray(node.v_threshold, dtype=np.float32)
            node.v_threshold = _broadcast_map(stored)


def _broadcast_map(values: Any) -> Any:
    """One float32 up, keeping a broadcast array as small as it is."""
    small = values[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in values.strides)]
    return np.broadcast_to(np.nextafter(small, np.float32(np.inf)), values.shape)


def _check_stable(nodes: dict[str, Any], dt: float) -> None:
    for name, node in nodes.items():
        for key in ("tau", "tau_mem", "tau_syn"):
            tau = getattr(node, key, None)
            if tau is not None and tau.size and float(tau.min()) < dt * (1 - 1e-6):
                raise FileError(
                    f"{key} is {float(tau.min()):g} s, shorter than the step of {dt:g} s, where Euler's rule overshoots",
                    where=f"node {name!r}",
                    allowed="time constants of at least dt",
                    fix="give dt in seconds as the network was trained, or discretization='exponential'",
                )
