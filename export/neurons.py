"""SpikingJelly's neurons, read as numbers. A class that changes one of their methods is refused, not guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from spikingjelly.activation_based import neuron as sj
from torch import nn

from filopodia.errors import UnsupportedError
from filopodia.prune.fixed_point import FixedPointNode

from .ops import Neuron

HARMLESS = {"extra_repr", "supported_step_mode", "weight", "bias"}  # parametrized layers carry weight and bias as properties


def known_class(module: nn.Module, known: tuple[type[nn.Module], ...]) -> type[nn.Module] | None:
    """The most specific class of `known` that `module` behaves like: one of its own, or a subclass that overrides nothing."""
    for position, cls in enumerate(type(module).__mro__):
        if cls not in known:
            continue
        added = {name for child in type(module).__mro__[:position] for name in vars(child) if not name.startswith("__")}
        overridden = {name for name in added & set(dir(cls)) if name not in HARMLESS}
        return None if overridden else cls
    return None


def firing_rule(surrogate: Callable[[torch.Tensor], torch.Tensor], where: str) -> bool:
    """Whether a neuron fires at v == threshold, found by asking its surrogate function for the value at -, 0 and +."""
    tiny = torch.finfo(torch.float32).smallest_normal
    below, at, above = (float(value) for value in surrogate(torch.tensor([-tiny, 0.0, tiny])))
    if below != 0.0 or above != 1.0 or at not in (0.0, 1.0):
        raise UnsupportedError(
            f"the neuron's surrogate function gives {below:g}, {at:g}, {above:g} just below, at and above the threshold",
            where=where,
            allowed="a step from 0 to 1 (a spike)",
            fix="set_spiking_mode(True), or replace the activation by a spiking neuron",
        )
    return at == 1.0


def read_neuron(module: nn.Module, where: str) -> Neuron | None:
    """The numbers of a SpikingJelly neuron, or None where `module` is not one that is understood exactly."""
    cls = known_class(module, tuple(READERS))
    if cls is None:
        return None
    if getattr(module, "_neuron_precision", None) is not None:
        raise UnsupportedError("the neuron computes in a precision of its own", where=where, allowed="float32")
    return READERS[cls](module, where)


# Readers take `Any`: torch knows of no attribute of a module more than that it is a tensor or a module.


def _spiking(module: Any, where: str, **numbers: Any) -> Neuron:
    reset = module.v_reset
    return Neuron(
        **{
            "threshold": float(module.v_threshold),
            "reset": None if reset is None else float(reset),
            "rest": 0.0 if reset is None else float(reset),
            "at_threshold": firing_rule(module.surrogate_function, where),
            **numbers,
        }
    )


def _if(module: Any, where: str) -> Neuron:
    return _spiking(module, where, kind="if", rest=0.0)


def _simple_if(module: Any, where: str) -> Neuron:
    _zero_reset(module, where, "starts at 0")
    return _spiking(module, where, kind="if", rest=0.0)


def _lif(module: Any, where: str) -> Neuron:
    return _spiking(module, where, kind="lif", tau=float(module.tau), decay_input=bool(module.decay_input))


def _simple_lif(module: Any, where: str) -> Neuron:
    if module.v_reset is None:
        raise UnsupportedError("SimpleLIFNode cannot run with v_reset=None", where=where, fix="use LIFNode for a soft reset")
    _zero_reset(module, where, "starts at 0")
    return _spiking(module, where, kind="lif", tau=float(module.tau), decay_input=bool(module.decay_input))


def _zero_reset(module: Any, where: str, why: str) -> None:
    """NIR neurons start where they leak to (IF: where they reset to); one that starts elsewhere cannot be said."""
    if module.v_reset:
        raise UnsupportedError(
            f"v_reset = {module.v_reset} of a {type(module).__name__}, which {why}", where=where, allowed="v_reset=0.0 or None"
        )


def _parametric_lif(module: Any, where: str) -> Neuron:
    with torch.no_grad():
        tau = 1.0 / float(module.w.sigmoid())
    return _spiking(module, where, kind="lif", tau=tau, decay_input=bool(module.decay_input))


def _cuba(module: Any, where: str) -> Neuron:
    numbers = {"c_decay": float(module.c_decay), "v_decay": float(module.v_decay)}
    for name, value in numbers.items():
        if not 0.0 <= value < 1.0:
            raise UnsupportedError(f"{name} = {value:g}", where=where, allowed="0 <= decay < 1 (a positive time constant)")
    _zero_reset(module, where, "leaks to 0")
    return _spiking(module, where, kind="cuba", rest=0.0, **numbers)


def _fixed_point(module: FixedPointNode, where: str) -> Neuron:
    return Neuron(
        kind="lif" if module.leaks else "if",
        tau=module.tau if module.leaks else 0.0,
        decay_input=module.decay_input,
        threshold=float(module.v_threshold),
        reset=module.v_reset,
        at_threshold=False,
        scale=float(module.scale),
    )


def _integrator(module: Any, where: str) -> Neuron:
    return Neuron(kind="i")


def _leaky_integrator(module: Any, where: str) -> Neuron:
    return Neuron(kind="li", tau=float(module.tau))


WITHOUT_SPIKES = (sj.NonSpikingIFNode, sj.NonSpikingLIFNode)
READERS: dict[type[nn.Module], Callable[[Any, str], Neuron]] = {
    FixedPointNode: _fixed_point,
    sj.IFNode: _if,
    sj.SimpleIFNode: _simple_if,
    sj.LIFNode: _lif,
    sj.SimpleLIFNode: _simple_lif,
    sj.ParametricLIFNode: _parametric_lif,
    sj.CUBALIFNode: _cuba,
    sj.NonSpikingIFNode: _integrator,
    sj.NonSpikingLIFNode: _leaky_integrator,
}
