"""The digits' split and the encodings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from filopodia.errors import InputError
from filopodia.prune import DataConfig, encode, load_data
from filopodia.prune.encoding import shift


def test_digits_are_split_once_and_for_all() -> None:
    data = load_data(DataConfig())
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert data.test.images.shape == (360, 1, 8, 8)
    assert (data.train.images.min(), data.train.images.max()) == (0, 1)
    assert torch.bincount(data.test.labels).min() >= 34  # stratified
    assert int((data.test.images * 16).sum()) == 112_350
    assert data.test.labels[:8].tolist() == load_data(DataConfig()).test.labels[:8].tolist()


@given(st.integers(1, 20), st.floats(0, 1, width=32))
def test_rate_gives_the_nearest_count_evenly_spaced(steps: int, value: float) -> None:
    spikes = encode(torch.tensor([value]), steps, "rate")
    assert spikes.dtype == torch.uint8
    assert spikes.shape == (steps, 1)
    assert int(spikes.sum()) == int(torch.round(torch.tensor(value) * steps))
    gaps = np.diff(np.flatnonzero(spikes.numpy()))
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


def test_latency_fires_once_and_the_brighter_the_earlier() -> None:
    spikes = encode(torch.tensor([0.0, 0.25, 0.5, 1.0]), 9, "latency")
    assert spikes.sum(0).tolist() == [0, 1, 1, 1]
    assert spikes[:, 1:].float().argmax(0).tolist() == [6, 4, 0]


def test_direct_repeats_the_value() -> None:
    images = torch.rand(2, 1, 3, 3)
    assert torch.equal(encode(images, 4, "direct"), torch.stack([images] * 4))


def test_wrong_encoding_and_steps() -> None:
    with pytest.raises(InputError, match="rate, latency, direct"):
        encode(torch.zeros(1), 4, "phase")
    with pytest.raises(InputError, match="1 or more"):
        encode(torch.zeros(1), 0)


def test_shift_moves_whole_images_and_no_further() -> None:
    images = torch.zeros(50, 2, 8, 8)
    images[:, :, 3, 4] = torch.tensor([1.0, 2.0])
    moved = shift(images, 1, torch.Generator().manual_seed(0))
    assert (moved.sum((2, 3)) == torch.tensor([1.0, 2.0])).all()
    places = {tuple(place.tolist()) for image in moved for place in torch.nonzero(image[0])}
    assert places == {(r, c) for r in (2, 3, 4) for c in (3, 4, 5)}
    assert torch.equal(moved[:, 1], 2 * moved[:, 0])
