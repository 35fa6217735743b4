"""Adaptive rounding: weights rounded up or down so that the errors of a neuron's weights cancel on the spikes it hears.

Nearest rounding treats weights one by one; what a neuron sees is their sum over the spikes that come together. For a row of
weights w and its rounding q the mean squared error of the sum is (w - q)' H (w - q), with H the second moment of the input
(leaked as the neuron leaks). Starting at the nearest, the one weight whose other neighbour lowers this most is moved, again
and again, until none does. Zeros stay zero and no weight moves further than to its other neighbour.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from filopodia.hardware.compiler.maps import ConvMap, LinearMap, MatrixMap
from filopodia.hardware.compiler.scale import WEIGHT_LIMIT

WIDEST = 4096
"""Inputs of a neuron up to which H is worked out."""

PATCHES = 8192
"""Input vectors that H is estimated from, at most."""

ROWS = 256
"""Neurons adapted at a time."""

LONGEST_MEMORY = 0.9


def second_moment(map_: LinearMap, sent: NDArray[Any], keep: float, seed: int = 0) -> NDArray[np.float32] | None:
    """H [n_in, n_in] of what one target neuron hears through a map, for messages `sent` [T, N, n_source].

    None where adapting is not worth it: grouped convolutions and neurons with more than WIDEST inputs.
    """
    rng = np.random.default_rng(seed)
    if isinstance(map_, MatrixMap):
        heard = None if map_.weight.shape[1] > WIDEST else _some(_leaked(sent, keep).reshape(-1, sent.shape[2]), rng)
    elif isinstance(map_, ConvMap) and map_.groups == 1 and map_.weight[0].size <= WIDEST:
        heard = _patches(map_, _leaked(sent, keep), rng)
    else:
        heard = None
    if heard is None:
        return None
    moment = heard.T @ heard / np.float32(len(heard))
    moment[np.diag_indices_from(moment)] += np.float32(1e-4) * np.float32(moment.trace() / len(moment) + 1e-12)
    return np.asarray(moment)


def adapt(floats: NDArray[Any], whole: NDArray[Any], unit: float, moment: NDArray[np.float32]) -> NDArray[Any]:
    """Better integers for rows of weights: `whole` [n, n_in] even, near floats / unit [n, n_in]; returns new ones."""
    made = whole.copy()
    for start in range(0, len(floats), ROWS):
        rows = slice(start, start + ROWS)
        made[rows] = _adapt_rows(floats[rows] / unit, whole[rows].astype(np.float64), moment)
    return made


def _adapt_rows(wanted: NDArray[Any], whole: NDArray[np.float64], moment: NDArray[np.float32]) -> NDArray[np.float64]:
    error = whole - wanted
    move = np.where(error > 0, -2.0, 2.0)  # to the other neighbour on the even grid
    move[(wanted == 0) | (np.abs(whole + move) > WEIGHT_LIMIT)] = 0
    move[np.abs(error) > 2] = 0  # clipped weights
    diagonal = moment.diagonal().astype(np.float64)
    pull = error @ moment.astype(np.float64)
    gain = 2 * move * pull + move**2 * diagonal
    row = np.arange(len(whole))
    for _ in range(whole.shape[1]):
        best = gain.argmin(axis=1)
        helps = gain[row, best] < -1e-12
        if not helps.any():
            break
        at, column = row[helps], best[helps]
        step = move[at, column]
        whole[at, column] += step
        move[at, column] = -step  # and back, should that help later
        pull[at] += step[:, None] * moment[column]
        gain[at] = 2 * move[at] * pull[at] + move[at] ** 2 * diagonal
    return whole


def _leaked(sent: NDArray[Any], keep: float) -> NDArray[np.float32]:
    """Messages as a neuron that keeps this share per step still feels them: float32 [T, N, n]."""
    kept = np.float32(min(keep, LONGEST_MEMORY))
    felt = sent.astype(np.float32)
    for t in range(1, len(felt)):
        felt[t] += kept * felt[t - 1]
    return felt


def _some(vectors: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    return vectors if len(vectors) <= PATCHES else vectors[rng.choice(len(vectors), PATCHES, replace=False)]


def _patches(map_: ConvMap, felt: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """What neurons at random steps, samples and pixels see: [PATCHES, c_in * k_h * k_w]."""
    images = felt.reshape(-1, *map_.source)
    k_h, k_w = map_.weight.shape[2:]
    image = rng.integers(0, len(images), PATCHES)
    y = rng.integers(0, map_.target[1], PATCHES) * map_.stride[0] - map_.padding[0]
    x = rng.integers(0, map_.target[2], PATCHES) * map_.stride[1] - map_.padding[1]
    rows = y[:, None] + np.arange(k_h) * map_.dilation[0]
    columns = x[:, None] + np.arange(k_w) * map_.dilation[1]
    inside = ((rows >= 0) & (rows < map_.source[1]))[:, :, None] & ((columns >= 0) & (columns < map_.source[2]))[:, None, :]
    rows, columns = rows.clip(0, map_.source[1] - 1), columns.clip(0, map_.source[2] - 1)
    seen = images[image[:, None, None], :, rows[:, :, None], columns[:, None, :]] * inside[..., None]
    return np.ascontiguousarray(seen.transpose(0, 3, 1, 2)).reshape(PATCHES, -1)
