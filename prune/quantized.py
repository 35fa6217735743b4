"""Quantisation-aware fine-tuning: a trained network becomes integers, and what is trained from then on is what is deployed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from spikingjelly.activation_based import neuron
from torch import Tensor, nn
from torch.nn.utils import parametrize

from filopodia.errors import ConfigError, InputError, UnsupportedError
from filopodia.prune.attach import attach, detach
from filopodia.prune.circuit import WHOLE, Circuit, follow
from filopodia.prune.config import TrainConfig
from filopodia.prune.data import info
from filopodia.prune.fixed_point import DECAY, FixedPoint, FixedPointNode, IntegerGrid, on_grid

REACHES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
"""Shares of the largest weight that the weights' range is tried to reach; larger ones are clipped."""

SPARE = 2.0
"""Input sums may grow by this factor in training before they leave their range."""

KEPT = 0.5
"""Share of the weights that a full range of weights would keep, which must not round to zero."""

READOUT = 4
"""A read-out sums its input over the steps of a sample, so that each may have this share of the range only."""

BYTE = 255


@dataclass(frozen=True, eq=False)
class _Layer:
    """A weighted layer while its scale is chosen.

    `weight` and `bias` have the BatchNorm behind it in them; `gain` is what one unit of scale makes of 1 of the weight, `most`
    its largest input in steps of the input.
    """

    module: nn.Module
    weight: Tensor
    bias: Tensor
    gain: float
    most: float


@dataclass(frozen=True, eq=False)
class _Group:
    """Layers whose outputs are summed: by `node`, which becomes `fixed`, or (both None) at the end of the model.

    Integers are weights times `chosen`. `scale` is what the model keeps, a power of two where there are neurons.
    """

    where: str
    node: nn.Module | None
    fixed: FixedPointNode | None
    layers: tuple[_Layer, ...]
    chosen: float
    scale: float


class Quantized:
    """A network in training whose forward is integer arithmetic: weights, biases, thresholds, leaks and voltages.

    Attributes: `model`; `scales`, units per 1 of the voltage of each layer of neurons, by path; `arithmetic`.
    """

    def __init__(self, model: nn.Module, arithmetic: FixedPoint, scales: dict[str, float], layers: Sequence[nn.Module]) -> None:
        self.model, self.arithmetic, self.scales = model, arithmetic, scales
        self._layers = tuple(layers)

    def finalize(self) -> nn.Module:
        """Plain layers whose weights lie on the integers' grid, with FixedPointNodes between them. Returns the model."""
        for layer in self._layers:
            for name in ("weight", "bias"):
                detach(layer, name)
        self._layers = ()
        return self.model


@torch.no_grad()
def quantize_aware(
    model: nn.Module, sample: Tensor, arithmetic: FixedPoint | None = None, *, input_step: Fraction = WHOLE
) -> Quantized:
    """Make a trained network compute in fixed point, in place; fine-tune it as any other, then `finalize()`.

    BatchNorms are folded into the layers before them, IF, LIF and ParametricLIF neurons become `FixedPointNode`s, weights and
    biases are rounded in every forward pass (the gradient passes straight through), and weights that are zero stay zero. The
    scale of each layer is chosen here, by the weights' rounding error, and stays. A model that is in fixed point already, such
    as a loaded one, keeps the scales of its neurons. Make the optimizer afterwards: the parameters are new.

    `sample` is spikes as the model takes them; it runs once, to see what feeds what. Where the input is values, they are whole
    multiples of `input_step` (1/255 for images of 8 bits), and the sample holds one of the largest size; the deployed network
    gets them as graded messages of this step.

    Raises UnsupportedError, naming the module, for what fixed point cannot say: other neurons, resets to another voltage
    than 0, weighted layers that read something else than spikes, their averages and sums, a pruner that is not finalized.
    InputError for weights that are not finite, or `bits` out of 2..8. Then nothing is changed.
    """
    arithmetic = arithmetic or FixedPoint()
    if not 2 <= arithmetic.bits <= 8:
        raise InputError(f"found {arithmetic.bits}", where="bits", allowed="2 to 8")
    circuit, made = check_quantizable(model, sample, input_step)
    for layer in circuit.hears:
        if parametrize.is_parametrized(layer):
            raise UnsupportedError("is parametrized", where=circuit.names[layer], fix="finish first: pruner.finalize()")
    groups = [_group(node, fixed, circuit, arithmetic) for node, fixed in made.items()]
    groups += [_readout(layer, circuit, arithmetic) for layer in circuit.readouts]
    for group in groups:
        _check_kept(group, arithmetic)
    for norm in circuit.norms.values():
        _replace(model, norm, nn.Identity())
    for group in groups:
        _apply(model, group, arithmetic)
    scales = {group.where: group.scale for group in groups if group.fixed is not None}
    return Quantized(model, arithmetic, scales, list(circuit.hears))


def check_quantizable(
    model: nn.Module, sample: Tensor, input_step: Fraction = WHOLE
) -> tuple[Circuit, dict[nn.Module, FixedPointNode]]:
    """What feeds what in `model`, and the fixed-point twins of its neurons; changes nothing, raises as `quantize_aware`."""
    circuit = follow(model, sample, input_step)
    for layer in circuit.hears:
        for part in (layer, circuit.norms.get(layer, layer)):
            if not all(bool(torch.isfinite(tensor).all()) for tensor in part.state_dict().values()):
                raise InputError("weights that are not finite", where=circuit.names[part], fix="look for what diverged")
        if layer in circuit.norms and circuit.norms[layer].running_var is None:
            where = circuit.names[circuit.norms[layer]]
            raise UnsupportedError("a BatchNorm without running statistics", where=where, fix="track_running_stats=True")
    return circuit, {node: _node(node, circuit.names[node]) for node in circuit.feeds}


def input_of(config: TrainConfig, device: torch.device | str = "cpu") -> tuple[Tensor, Fraction]:
    """The largest input that a run's data can be, one step of one sample, and the step of its values.

    ConfigError for values that do not fit messages of 8 bits.
    """
    about = info(config.data.name)
    full = torch.ones(1, 1, *about.shape, device=device)
    if config.data.encoding != "direct":
        return full, WHOLE
    if about.levels != BYTE:
        raise ConfigError(
            f"{config.data.name} as values in steps of 1/{about.levels}, with quantize_epochs",
            where="data.encoding = direct",
            allowed=f"images in steps of 1/{BYTE}; rate, latency",
            fix="choose another encoding, or quantize_epochs = 0",
        )
    return full, Fraction(1, BYTE)


def _node(node: nn.Module, where: str) -> FixedPointNode:
    """The fixed-point twin of a neuron module, its scale and threshold still to be set; one that is in fixed point itself."""
    kind = type(node)
    if isinstance(node, FixedPointNode):
        return node
    if kind not in (neuron.IFNode, neuron.LIFNode, neuron.ParametricLIFNode):
        raise UnsupportedError(
            f"a {kind.__name__} has no fixed-point form here", where=where, allowed="IFNode, LIFNode, ParametricLIFNode"
        )
    if node.v_reset:
        raise UnsupportedError(f"v_reset = {node.v_reset}", where=where, allowed="0.0, or None for subtraction")
    if not float(node.v_threshold) > 0:  # type: ignore[arg-type]
        raise UnsupportedError(f"a threshold of {node.v_threshold}", where=where, allowed="more than 0")
    rate = 0.0
    if kind is not neuron.IFNode:
        rate = float(node.w.sigmoid()) if kind is neuron.ParametricLIFNode else 1.0 / float(node.tau)  # type: ignore[operator, arg-type]
    fixed = FixedPointNode(
        scale=1.0,
        threshold=1,
        decay=min(max(round(DECAY * rate), 1), DECAY - 1) if rate else 0,
        decay_input=bool(getattr(node, "decay_input", True)),
        v_reset=node.v_reset,  # type: ignore[arg-type]
        surrogate_function=node.surrogate_function,
        detach_reset=bool(node.detach_reset),
        step_mode=str(node.step_mode),
    )
    fixed.train(node.training)
    return fixed


def _described(layer: nn.Module, circuit: Circuit, gain: float) -> _Layer:
    """A layer with its BatchNorm folded in (zeros stay zeros) and what reaches it."""
    weight, norm = torch.as_tensor(layer.weight).detach(), circuit.norms.get(layer)
    bias = torch.zeros(len(weight), device=weight.device) if layer.bias is None else torch.as_tensor(layer.bias).detach()
    if norm is not None:
        factor = torch.rsqrt(norm.running_var.double() + norm.eps)  # type: ignore[operator]
        factor = factor if norm.weight is None else factor * norm.weight.double()  # type: ignore[operator]
        bias = (bias.double() - norm.running_mean.double()) * factor  # type: ignore[operator]
        bias = bias if norm.bias is None else bias + norm.bias.double()  # type: ignore[operator]
        weight = weight.double() * factor.reshape(-1, *[1] * (weight.dim() - 1))
    heard = circuit.hears[layer]
    quantum = float(heard.quantum)
    return _Layer(layer, weight.float(), bias.float(), gain * quantum, float(heard.most) / quantum)


def _group(node: nn.Module, fixed: FixedPointNode, circuit: Circuit, arithmetic: FixedPoint) -> _Group:
    """The layers that feed a module of neurons, and their scale."""
    layers = tuple(_described(layer, circuit, fixed.gain) for layer in circuit.feeds[node])
    if node is fixed:
        return _Group(circuit.names[node], node, fixed, layers, float(fixed.scale), float(fixed.scale))
    threshold = float(node.v_threshold)  # type: ignore[arg-type]
    chosen = _scale(layers, threshold, fixed.gain, arithmetic)
    # The scale is moved to a power of two, and the weights and the threshold by as much: the integers are the same.
    return _Group(circuit.names[node], node, fixed, layers, chosen, 2.0 ** round(math.log2(chosen)))


def _readout(layer: nn.Module, circuit: Circuit, arithmetic: FixedPoint) -> _Group:
    """A layer that feeds no neurons: its output is summed over the steps, and its scale may be any."""
    described = _described(layer, circuit, 1.0)
    chosen = _scale((described,), 0.0, 1.0, replace(arithmetic, sum_limit=arithmetic.sum_limit // READOUT))
    return _Group(circuit.names[layer], None, None, (described,), chosen, chosen)


def _check_kept(group: _Group, arithmetic: FixedPoint) -> None:
    """Raise InputError where a scale that keeps input sums in range leaves too little of a layer's weights."""
    for layer in group.layers:
        whole = on_grid(layer.weight, layer.gain * group.chosen, arithmetic.weight_step, arithmetic.weight_limit)
        full = arithmetic.weight_limit / max(float(layer.weight.abs().max()), 1e-30)
        best = on_grid(layer.weight, full, arithmetic.weight_step, arithmetic.weight_limit)
        if torch.count_nonzero(whole) < KEPT * torch.count_nonzero(best):
            alive = int(torch.count_nonzero(layer.weight))
            raise InputError(
                f"{alive - int(torch.count_nonzero(whole))} of {alive} weights round to zero, so that sums over "
                f"{layer.weight[0].numel()} inputs stay within {arithmetic.sum_limit} units",
                where=group.where,
                fix="prune more, or FixedPoint(sum_limit=...) together with hardware.compile(..., sums='measured')",
            )


def _apply(model: nn.Module, group: _Group, arithmetic: FixedPoint) -> None:
    """Put the neurons in place, and the weights and biases on their grids."""
    if group.node is not None and group.fixed is not None and group.node is not group.fixed:
        threshold = float(group.node.v_threshold) * group.chosen  # type: ignore[arg-type]
        whole = round(threshold) if group.fixed.leaks else math.ceil(threshold) - 1
        group.fixed.scale.fill_(group.scale)
        group.fixed.v_threshold.fill_(whole / group.scale)
        _replace(model, group.node, group.fixed.to(group.layers[0].weight.device))
    gain = 1.0 if group.fixed is None else group.fixed.gain
    moved = group.chosen / group.scale
    for layer in group.layers:
        grids = {
            "weight": (layer.weight, layer.gain * group.scale, arithmetic.weight_step, arithmetic.weight_limit),
            "bias": (layer.bias, gain * group.scale, 1, arithmetic.bias_limit),
        }
        for name, (values, unit, step, limit) in grids.items():
            setattr(layer.module, name, nn.Parameter((values * moved).clamp(-limit / unit, limit / unit)))
            grid = IntegerGrid(values, unit, step, limit)
            if name == "weight":
                grid.mask.copy_(values != 0)
            attach(layer.module, name, grid, where=group.where)


def _scale(layers: Sequence[_Layer], threshold: float, gain: float, arithmetic: FixedPoint) -> float:
    """The scale with the smallest rounding error, clipping included, at which every field is in its range."""
    largest = max(float(layer.weight.abs().max()) * layer.gain for layer in layers)
    biases = torch.stack([layer.bias.abs() for layer in layers]).sum(0)
    sums = torch.stack([layer.weight.abs().flatten(1).sum(1) * layer.gain * layer.most for layer in layers]).sum(0)
    limits = [
        arithmetic.threshold_limit / max(threshold, 1e-12),
        arithmetic.sum_limit / SPARE / max(float(sums.max()), 1e-12),
        arithmetic.bias_limit / max(float(biases.max()) * gain, 1e-12),
    ]
    ceiling = min(limits)
    if largest == 0:
        return min(arithmetic.weight_limit / max(threshold, 1e-12), ceiling)
    tried = [min(arithmetic.weight_limit / (largest * reach), ceiling) for reach in REACHES]
    return min(tried, key=lambda scale: (_lost(layers, scale, arithmetic), -scale))


def _lost(layers: Sequence[_Layer], scale: float, arithmetic: FixedPoint) -> float:
    """Squared rounding error of the weights over their squares."""
    lost = total = 0.0
    for layer in layers:
        unit = layer.gain * scale
        whole = on_grid(layer.weight, unit, arithmetic.weight_step, arithmetic.weight_limit)
        lost += float((whole / unit - layer.weight).double().square().sum())
        total += float(layer.weight.double().square().sum())
    return lost / total


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    new.train(old.training)
    for parent in model.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
