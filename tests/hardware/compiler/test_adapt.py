"""Adaptive rounding: errors that cancel on the inputs there are."""

import numpy as np
import pytest

from filopodia.hardware.compiler.adapt import adapt, second_moment
from filopodia.hardware.compiler.maps import ConvMap, MatrixMap, apply


def _error(rows, floats, heard):
    return float(np.mean(((rows - floats) @ heard.T) ** 2))


def test_sums_over_correlated_inputs_come_closer():
    rng = np.random.default_rng(0)
    floats = rng.normal(0, 20, (30, 60)) * (rng.random((30, 60)) < 0.5)
    heard = np.repeat(rng.random((500, 12)) < 0.3, 5, axis=1)
    moment = second_moment(MatrixMap(floats), heard.reshape(5, 100, 60), 0.0)
    nearest = 2 * np.rint(floats / 2)
    better = adapt(floats, nearest, 1.0, moment)
    assert _error(better, floats, heard) < 0.5 * _error(nearest, floats, heard)
    assert np.all(better % 2 == 0)
    assert np.all(better[floats == 0] == 0)
    assert np.abs(better - floats).max() <= 2.0 + 1e-9


def test_a_convolution_hears_patches():
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, 2, 3, 2))
    map_ = ConvMap(weight, (2, 1), (1, 0), (1, 2), 1, (2, 7, 6), (3, 4, 4))
    sent = rng.random((4, 5, 84)) < 0.4
    moment = second_moment(map_, sent, 0.0)
    outs = np.stack([apply(map_, x) for x in sent.reshape(-1, 84)]).reshape(20, 3, -1)
    expected = np.einsum("nip,njp->ij", outs, outs) / outs.shape[0] / outs.shape[2]
    rows = weight.reshape(3, -1)
    np.testing.assert_allclose(rows @ moment @ rows.T, expected, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("keep", [0.5, 1.0])
def test_what_leaks_is_remembered(keep):
    sent = np.zeros((3, 1, 2), bool)
    sent[0, 0, 0] = True
    moment = second_moment(MatrixMap(np.ones((1, 2))), sent, keep)
    kept = min(keep, 0.9)
    np.testing.assert_allclose(moment[0, 0], (1 + kept**2 + kept**4) / 3, rtol=1e-3)
