"""The row of an operation and of a record, as `operations` fills them in and the kernel of `stepping` reads them."""

from __future__ import annotations

import numpy as np

ENTER, COPY, SCALE, THRESHOLD, POOL, WEIGH, NEURON, WRITE, READ = range(9)  # up to WEIGH without a state
RULES = {"integrate": 0, "divide": 1, "add": 2, "keep": 3, "fixed": 4}
RECORDED = {"signal": 0, "u": 1, "v": 2}

BLOCK = 256  # places worked out at a time; a number that serves all places of a node is stored so many times over

NUMBERS = ("gain", "leak", "steps", "keep", "syn_keep", "syn_gain", "threshold", "v_reset")
OPERATION = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("kind", "slot", "size"),
            *("first", "last"),  # slots that it reads and adds up, in `sources`
            *("listed", "silent"),  # 1: weights read its slot; 1: it sends nothing in the first step
            *NUMBERS,  # where they start in `numbers`; a Scale's factor is its gain
            *(f"{name}_each" for name in NUMBERS),  # 1: one for each place; 0: one for all, BLOCK times
            *("rule", "v", "u", "cuba", "spiking", "at_threshold", "subtract"),  # a neuron; where its states start
            *("binary", "given"),  # an input: whether it comes as booleans, and where among what enters in a step
            *("past", "length", "steps_back"),  # a delay: its past, the steps in it, where in `wholes` each place's own are
            *("channels", "planar", "places", "first_row", "base", "starts", "entries", "weights", "stretch"),  # `Synapses`
            *("sums", "lead", "row", "channels_out", "height", "width", "bias", "biased"),
            *("height_in", "width_in", "tall", "wide", "down", "right", "above", "before"),  # a pool
        )
    ]
    + [("unit", np.float64), ("parts", np.float64)],  # units per 1 of a neuron in fixed point; what a pool divides by
    align=True,
)
RECORD = np.dtype([(name, np.int64) for name in ("what", "at", "size", "binary", "to")])
