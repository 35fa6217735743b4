"""Folding: y = scale (W x + b) + shift as one layer, in float64, rounded once. Zero weights stay exactly zero."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from filopodia.errors import InputError

from .ops import Conv, Dense

Layer = Dense | Conv
ROWS = 64


def scaled(layer: Layer, scale: Tensor) -> Layer:
    """`layer` with output channel c multiplied by scale[c] (float64, [channels] or scalar)."""
    weight = layer.weight.detach()
    factor = torch.broadcast_to(scale.double().reshape(-1), (weight.shape[0],))
    _check_finite(factor, "a scale")
    # += 0.0 turns the -0.0 of a zero weight times a negative scale into the 0.0 it was
    new = torch.empty_like(weight)
    for rows in range(0, len(weight), ROWS):  # in float64, a few rows at a time
        part = slice(rows, rows + ROWS)
        new[part] = weight[part].double() * factor[part].reshape(-1, *[1] * (weight.ndim - 1))
    new += 0.0
    _check_finite(new, "a folded weight")
    bias = None if layer.bias is None else layer.bias.double() * factor
    return replace(layer, weight=new, bias=bias)


def shifted(layer: Layer, shift: Tensor) -> Layer:
    """`layer` with shift[c] (float64, [channels] or scalar) added to output channel c."""
    channels = layer.weight.shape[0]
    bias = torch.zeros(channels, dtype=torch.float64) if layer.bias is None else layer.bias.double()
    bias = bias + torch.broadcast_to(shift.double().reshape(-1), (channels,))
    _check_finite(bias, "a folded bias")
    return replace(layer, bias=bias)


def _check_finite(values: Tensor, what: str) -> None:
    if not bool(torch.isfinite(values).all()):
        raise InputError(f"{what} is not finite", where="BatchNorm folding", fix="look for what diverged in training")
