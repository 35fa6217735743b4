"""Verification: differences are counted and the first one is found."""

import json

import numpy as np
import pytest

from filopodia.errors import FileError, InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.verify import compare, load_golden, verify


def _activity(backend, **spikes):
    steps, samples = next(iter(spikes.values())).shape[:2]
    return Activity(backend, steps, samples, spikes, {})


def test_the_first_difference_is_found_in_time_then_in_order():
    rng = np.random.default_rng(0)
    a, b = rng.random((6, 3, 2, 4, 4)) < 0.5, rng.random((6, 3, 5)) < 0.5
    a2, b2 = a.copy(), b.copy()
    a2[4, 1, 1, 2, 3] ^= True
    b2[4, 0, 2] ^= True
    b2[3, 2, 4] ^= True
    result = compare(_activity("torch", a=a, b=b), _activity("simulator", a=a2, b=b2))
    assert not result.exact
    assert [layer.mismatches for layer in result.layers] == [1, 2]
    first = result.layers[0].first
    assert (first.step, first.sample, first.neuron) == (4, 1, (1, 2, 3))
    assert (first.expected, first.found) == (int(a[4, 1, 1, 2, 3]), int(a2[4, 1, 1, 2, 3]))
    assert (result.first.layer, result.first.step) == ("b", 3)


def test_equal_runs_are_exact_also_when_one_is_flattened():
    a = np.random.default_rng(0).random((4, 2, 3, 2, 2)) < 0.3
    result = compare(_activity("torch", a=a), _activity("lava", a=a.reshape(4, 2, 12)))
    assert result.exact
    assert result.first is None
    assert result.layers[0].agreement == 1.0


def test_agreement_is_the_share_of_spikes_in_both():
    a, b = np.zeros((10, 1, 1), bool), np.zeros((10, 1, 1), bool)
    a[:6], b[3:9] = True, True  # 3 in both, 9 in either
    assert compare(_activity("x", a=a), _activity("y", a=b)).layers[0].agreement == pytest.approx(3 / 9)


def test_runs_of_other_lengths_and_layers_are_refused():
    a = np.zeros((4, 2, 3), bool)
    with pytest.raises(InputError, match="5 steps"):
        compare(_activity("x", a=a), _activity("y", a=np.zeros((5, 2, 3), bool)))
    with pytest.raises(InputError, match="no spikes recorded"):
        compare(_activity("x", a=a), _activity("y", b=a))
    with pytest.raises(InputError, match="1 run to compare"):
        verify(a, golden=_activity("x", a=a))


def test_golden_vectors_are_read_as_an_activity(tmp_path):
    path = tmp_path / "golden.npz"
    rng = np.random.default_rng(0)
    spikes = (rng.random((3, 2, 4)) < 0.5).astype(np.uint8)
    header = json.dumps({"format": "filopodia golden", "version": 1, "layers": ["n.1"], "dt": 1e-3})
    np.savez(path, header=np.array(header), **{"input": spikes, "spikes/n.1": spikes, "labels": np.array([1, 0])})
    golden, labels = load_golden(path)
    assert golden.backend == "torch"
    assert golden.spikes["n.1"].dtype == bool
    assert labels.tolist() == [1, 0]
    np.testing.assert_array_equal(golden.spikes["input"], spikes)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(FileError, match=r"golden\.npz"):
        load_golden(path)
