"""The ranges of a layer's fields on which Lava 0.10.0 and the silicon agree: what the compiler may write."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from filopodia.errors import Violation
from filopodia.hardware.program import Program

LAVA_FIELDS = "Lava 0.10.0, lif/models.py: PyLifModelBitAcc docstring"
VTH_LIMIT = 2**17 - 1
BIAS_LIMIT = 2**12 - 1
BIAS_EXP_LIMIT = 7


def neuron_fields_in_range(program: Program) -> Iterator[Violation]:
    """Decays 0..4095 (12 bits), thresholds 0..2^17 - 1, bias mantissas within +-4095, bias exponents 0..7."""
    for layer in program.layers:
        fields = (
            ("du", layer.du, 0, 4095),
            ("dv", layer.dv, 0, 4095),
            ("vth", layer.vth, 0, VTH_LIMIT),
            ("bias", layer.bias, -4096, 4095),
            ("bias_exp", np.asarray(layer.bias_exp), 0, BIAS_EXP_LIMIT),
        )
        for name, values, low, high in fields:
            if values.size and (values.min() < low or values.max() > high):
                worst = int(values.max() if values.max() > high else values.min())
                yield Violation(
                    name,
                    layer.name,
                    str(worst),
                    f"{low}..{high}",
                    LAVA_FIELDS,
                    "compile from the float network, which scales the layer",
                )
