"""The neuron update on int32 vectors, inlined into both kernels; its meaning is `reference.update`."""

from __future__ import annotations

from typing import Any

from numba import int32

from filopodia.hardware.simulator.compiled import inlined
from filopodia.hardware.simulator.simd import greater, select, shift_right_logical, splat


def _decay(x: Any, factor: Any) -> Any:
    """x * factor / 4096 towards zero: the high and the low 12 bits apart, so that no product needs 64 bits."""
    towards_zero = shift_right_logical(x >> splat(int32(31), x), splat(int32(20), x))
    low = (x & splat(int32(4095), x)) * factor + towards_zero
    return (x >> splat(int32(12), x)) * factor + shift_right_logical(low, splat(int32(12), x))


def _fade(x: Any, factor: Any, fraction: Any, below_one: Any) -> Any:
    """x * factor / 2^fraction towards zero, for products that fit 32 bits; `below_one` is 2^fraction - 1."""
    product = x * factor
    return select(greater(x ^ x, product), product + below_one, product) >> fraction


def _wrap(u: Any) -> Any:
    """A current, wrapped once past +-2^23."""
    turn = splat(int32(2**24), u)
    down = select(greater(u, splat(int32(2**23), u)), u - turn, u)
    return select(greater(splat(int32(1 - 2**23), u), u), u + turn, down)


def _hold(v: Any) -> Any:
    """A voltage, held within +-(2^23 - 1)."""
    high, low = splat(int32(2**23 - 1), v), splat(int32(1 - 2**23), v)
    v = select(greater(v, high), high, v)
    return select(greater(low, v), low, v)


decay = inlined(_decay)
fade = inlined(_fade)
wrap = inlined(_wrap)
hold = inlined(_hold)
