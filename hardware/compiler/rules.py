"""Design rules of a program: one function each, all run, every broken one reported with value, limit, source and a way out.

The fields' ranges are those on which Lava 0.10.0 and the silicon agree (its docstrings and nengo-loihi's discretisation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from filopodia.errors import Violation
from filopodia.hardware.chip import Chip
from filopodia.hardware.compiler.scale import SUM_LIMIT, WEIGHT_LIMIT
from filopodia.hardware.layer_fields import neuron_fields_in_range
from filopodia.hardware.program import Program
from filopodia.hardware.simulator.bounds import largest_sums, stored

Rule = Callable[[Program, Chip], Iterator[Violation]]


def check(program: Program, chip: Chip) -> tuple[Violation, ...]:
    """Every rule that a program breaks on a chip, placement aside."""
    return (*neuron_fields_in_range(program), *(violation for rule in RULES for violation in rule(program, chip)))


def weights_even(program: Program, chip: Chip) -> Iterator[Violation]:
    """Mixed-sign weights are even and within +-254: Lava floors odd ones, the silicon rounds them towards zero."""
    for connection in program.connections:
        values = stored(connection.synapses)
        largest = int(np.abs(values.astype(np.int32)).max(initial=0))
        if connection.sign_mode == "mixed" and (largest > WEIGHT_LIMIT or np.any(values & 1)):
            odd = int(np.count_nonzero(values & 1))
            yield Violation(
                "weight grid",
                connection.name,
                f"{odd} odd weights, largest {largest}",
                f"even, up to {WEIGHT_LIMIT}",
                "Lava 0.10.0, utils/weightutils.py",
                "round the weights to even numbers",
            )


def exponents_not_negative(program: Program, chip: Chip) -> Iterator[Violation]:
    """A right shift acts on the sum in Lava and on each weight in silicon."""
    for connection in program.connections:
        if not 0 <= connection.weight_exp <= 7:
            yield Violation(
                "weight_exp",
                connection.name,
                str(connection.weight_exp),
                "0..7",
                "nengo-loihi, block.py: weight exponent; Lava 0.10.0 dense/models.py shifts the sum",
                "shift the weights themselves",
            )


def delays_in_range(program: Program, chip: Chip) -> Iterator[Violation]:
    """A synapse delays by as many steps as its field has room for."""
    limit = chip.limits.get("delay")
    for connection in program.connections:
        if limit is not None and connection.delay > limit.value:
            yield Violation(
                "delay",
                connection.name,
                f"{connection.delay} steps",
                f"{limit.value} steps",
                limit.source,
                "shorten the path beside it",
            )


def messages_fit(program: Program, chip: Chip) -> Iterator[Violation]:
    """Graded messages where synapses can multiply with them."""
    limit = chip.limits.get("message_bits")
    for connection in program.connections:
        if limit is not None and connection.message_bits > limit.value:
            yield Violation(
                "message_bits",
                connection.name,
                f"{connection.message_bits} bits",
                f"{limit.value} bits",
                limit.source,
                "code the input as spikes, by rate or by latency (hardware.rate_spikes, hardware.latency_spikes)",
            )


def resets_possible(program: Program, chip: Chip) -> Iterator[Violation]:
    """Reset by subtraction needs neurons that can be programmed."""
    limit = chip.limits.get("soft_reset")
    for layer in program.layers:
        if limit is not None and limit.value == 0 and layer.reset == "subtract":
            yield Violation(
                "reset",
                layer.name,
                "subtract",
                "zero",
                limit.source,
                'train with reset to zero, compile with reset="zero" (an approximation), or choose a programmable chip',
            )


def sums_fit(program: Program, chip: Chip) -> Iterator[Violation]:
    """Input sums stay below 2^15: silicon keeps 21 bits after the shift by 6, Lava keeps 32.

    Whatever spikes come, or, where the compiler was told to measure them, on its calibration with a quarter to spare.
    """
    reports = program.metadata.get("layers", {})
    for layer in program.layers:
        if reports.get(layer.name, {}).get("sum_measured"):
            continue
        highest, lowest = largest_sums(program, layer)
        largest = int(max(highest.max(initial=0), -lowest.min(initial=0)))
        if largest > SUM_LIMIT:
            yield Violation(
                "input sum",
                layer.name,
                str(largest),
                str(SUM_LIMIT),
                "nengo-loihi, emulator/interface.py: 21 bits and sign after << 6",
                "lower the layer's scale or prune it",
            )


def weights_survive(program: Program, chip: Chip) -> Iterator[Violation]:
    """Not all weights of a layer round to zero: it would hear nothing."""
    for name, report in program.metadata.get("layers", {}).items():
        if report["weights"] and report["vanished"] == report["weights"]:
            yield Violation(
                "weights",
                name,
                f"all {report['weights']} round to 0 at the largest scale that fits",
                "at least one that does not",
                "8-bit weights, thresholds of 17 bits, input sums below 2^15",
                'bring weights and threshold closer together, give graded inputs fewer bits, or calibrate with sums="measured"',
            )


RULES: tuple[Rule, ...] = (
    weights_survive,
    resets_possible,
    weights_even,
    exponents_not_negative,
    delays_in_range,
    messages_fit,
    sums_fit,
)
