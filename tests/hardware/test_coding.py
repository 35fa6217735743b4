"""Values as spikes: the same ones that networks are trained on, and the value comes back from them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filopodia import hardware
from filopodia.errors import InputError
from filopodia.prune.encoding import encode


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**20))
def test_spikes_are_those_of_training(steps: int, seed: int) -> None:
    values = np.random.default_rng(seed).random((3, 2, 5)).astype(np.float32)
    values[0] = np.rint(values[0] * 16) / 16  # ties
    values[1, 0] = np.rint(values[1, 0])
    for made, encoding in ((hardware.rate_spikes, "rate"), (hardware.latency_spikes, "latency")):
        expected = encode(torch.from_numpy(values), steps, encoding).numpy() > 0
        np.testing.assert_array_equal(made(values, steps), expected)


def test_the_value_comes_back() -> None:
    values = np.linspace(0, 1, 101)[None]
    rate = hardware.rate_spikes(values, 50)
    assert rate.shape == (50, 1, 101)
    assert np.abs(rate.mean(axis=0) - values).max() <= 0.5 / 50 + 1e-6
    latency = hardware.latency_spikes(values, 51)
    assert (latency.sum(axis=0) == (values >= 1 / 102)).all()
    first = latency.argmax(axis=0)[0, 1:]
    assert (np.diff(first) <= 0).all()


@pytest.mark.parametrize(("values", "steps"), [([[1.5]], 4), ([[-0.1]], 4), ([[np.nan]], 4), ([[0.5]], 0), (0.5, 4)])
def test_what_is_no_share_is_refused(values: object, steps: int) -> None:
    for made in (hardware.rate_spikes, hardware.latency_spikes):
        with pytest.raises(InputError, match="coding as spikes"):
            made(values, steps)
