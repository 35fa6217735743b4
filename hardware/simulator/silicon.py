"""The arithmetic of Loihi's silicon where Lava's processor models compute something else.

No chip was at hand. The rules are those of two emulators that their authors checked against boards: brian2_loihi 0.5.2
(`loihi_synapses.py`: weights) and nengo-loihi 1.1.0 (`builder/discretize.py`: weights; `emulator/interface.py`: sums, state).

    weights   odd ones of mixed sign lose their last bit towards zero, and those that need more than 8 bits are cut to them, in
              convolutions too; a negative exponent shifts each weight (rounding down), not the sum
    sum       the accumulator holds 15 bits and a sign of weight units (21 after the shift by 6), and wraps
    current   23 bits and a sign, and wraps, on its own and with the bias added
    voltage   as in Lava

What the compiler emits means the same in both, unless its input sums were only measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.errors import ChipLimitError, Violation
from filopodia.hardware.layer_fields import neuron_fields_in_range
from filopodia.hardware.program import Connection, Layer, Program, Sparse
from filopodia.hardware.simulator.bounds import largest_sums, stored
from filopodia.hardware.simulator.reference import Int32, Int64, acting, decay, fire, shift

EXPONENTS = (-8, 7)
SUM_BITS = 15
CURRENT_BITS = 23


def on_silicon(program: Program) -> Program:
    """The program whose weights, read as Lava reads them, are those that the chip applies; itself where it is that already.

    Raises ChipLimitError for numbers that the chip's fields cannot hold.
    """
    violations = (*neuron_fields_in_range(program), *_exponents_in_range(program))
    if violations:
        raise ChipLimitError("the program", "Loihi's arithmetic", violations)
    connections = tuple(_connection(connection) for connection in program.connections)
    if all(new is old for new, old in zip(connections, program.connections, strict=True)):
        return program
    return replace(program, connections=connections)


def applied(connection: Connection) -> NDArray[np.int16]:
    """The weights that the chip applies, before a left shift and after a right one: int16 in the synapses' own layout."""
    mode = connection.sign_mode
    low, high = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0)}[mode]
    weight = np.clip(stored(connection.synapses), low, high)
    bits = 8 - connection.weight_bits + (mode == "mixed")
    held = np.sign(weight) * (np.abs(weight) >> bits << bits)
    return np.asarray(shift(held, min(connection.weight_exp, 0)), np.int16)


def _connection(connection: Connection) -> Connection:
    right = max(0, -connection.weight_exp)
    chip, lava = applied(connection), acting(connection)
    if np.array_equal(chip.astype(np.int32) << right, lava):
        return connection  # nothing is lost on the way, so that it does not matter what is shifted
    if right:  # whatever is left of the weights fits at twice its size, which one shift of the sum takes back exactly
        return replace(_weighted(connection, 2 * chip), weight_exp=-1, weight_bits=8, sign_mode="mixed")
    return _weighted(connection, chip)


def _exponents_in_range(program: Program) -> Iterator[Violation]:
    low, high = EXPONENTS
    for connection in program.connections:
        if not low <= connection.weight_exp <= high:
            found, allowed = str(connection.weight_exp), f"{low}..{high}"
            source, fix = "brian2_loihi 0.5.2, loihi_synapses.py: w_exp", "shift the weights themselves"
            yield Violation("weight_exp", connection.name, found, allowed, source, fix)


def _weighted(connection: Connection, weight: NDArray[np.int16]) -> Connection:
    synapses = connection.synapses
    if isinstance(synapses, Sparse):
        return replace(connection, synapses=replace(synapses, data=weight))
    return replace(connection, synapses=replace(synapses, weight=weight))


def cannot_overflow(program: Program, steps: int) -> bool:
    """Whether no input can carry a sum or a current out of the chip's range within so many steps, so that nothing wraps."""
    return all(_layer_cannot_overflow(program, layer, steps) for layer in program.layers)


def _layer_cannot_overflow(program: Program, layer: Layer, steps: int) -> bool:
    highest, lowest = largest_sums(program, layer)
    largest = np.maximum(highest, -lowest)
    if largest.max(initial=0) >= 1 << SUM_BITS:
        return False
    du, bias = (np.asarray(x, np.int64).reshape(-1) for x in (layer.du, layer.bias))
    current = (largest << 6) * np.minimum(steps, 4096 / (du + 1)) + np.abs(shift(bias, layer.bias_exp))
    return bool(current.max(initial=0) < 1 << CURRENT_BITS)


def update(layer: Layer, u: Int32, v: Int32, a: Int32) -> tuple[Int32, Int32, NDArray[np.bool_]]:
    """One step of a layer on the chip, as `reference.update` is one in Lava."""
    du, dv, bias = (np.asarray(x, np.int64).reshape(-1) for x in (layer.du, layer.dv, layer.bias))
    u = _wrap(decay(u, 4095 - du) + (_wrap(a, SUM_BITS).astype(np.int64) << 6), CURRENT_BITS)
    return fire(layer, u, decay(v, 4096 - dv) + _wrap(u + shift(bias, layer.bias_exp), CURRENT_BITS))


def _wrap(x: NDArray[Any], bits: int) -> Int32:
    """What so many bits and a sign keep of whole numbers."""
    wide: Int64 = x.astype(np.int64)
    return (((wide + (1 << bits)) % (2 << bits)) - (1 << bits)).astype(np.int32)
