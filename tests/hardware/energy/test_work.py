"""The work of an ANN, from the network that was trained and from the program that was made of it."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest

from filopodia import hardware
from filopodia.hardware.activity import Activity
from filopodia.hardware.energy.work import work


def graph(padding: object = (1, 1)) -> nir.NIRGraph:
    """Input [2, 6, 6] -> conv 3 x 3 -> IF -> sum pooling 2 x 2 -> 5 outputs with IF; half of the linear weights are zero."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(4, 2, 3, 3)).astype(np.float32)
    kernel[0] = 0
    weight = rng.normal(size=(5, 36)).astype(np.float32)
    weight[:, ::2] = 0
    nodes = {
        "input": nir.Input(input_type=np.array([2, 6, 6])),
        "conv": nir.Conv2d(
            input_shape=(6, 6), weight=kernel, stride=1, padding=padding, dilation=1, groups=1, bias=np.zeros(4, np.float32)
        ),
        "h": nir.IF(r=np.full((4, 6, 6), 1000.0), v_threshold=np.ones((4, 6, 6)), v_reset=np.zeros((4, 6, 6))),
        "pool": nir.SumPool2d(kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=np.array([0, 0])),
        "flat": nir.Flatten(input_type={"input": np.array([4, 3, 3])}, start_dim=0, end_dim=-1),
        "fc": nir.Affine(weight=weight, bias=np.zeros(5, np.float32)),
        "o": nir.IF(r=np.full(5, 1000.0), v_threshold=np.ones(5), v_reset=np.zeros(5)),
        "output": nir.Output(output_type=np.array([5])),
    }
    order = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(order)), type_check=False)


@pytest.mark.parametrize("padding", [(1, 1), "same"])
def test_work_of_a_network(padding: object) -> None:
    done = work(hardware.load(graph(padding), dt=1e-3))
    taps = 6 * 6 * 9 - 4 * 6 * 3 + 4  # 3 x 3 at each of 6 x 6 places, less what lies in the padding
    assert done.layers["conv"] == (4 * 2 * taps, 3 * 2 * taps)
    assert done.layers["fc"] == (180, 90)
    assert done.weights == 72 + 180
    assert done.nonzero_weights == 54 + 90
    assert done.activations == 4 * 36 + 5
    assert done.inputs == 72


def test_baselines_follow_the_trained_network_and_not_the_composed_one() -> None:
    network = hardware.load(graph(), dt=1e-3)
    program = hardware.compile(network, chip="loihi2")
    rng = np.random.default_rng(2)
    sent = {node.name: rng.random((4, 3, *node.shape)) < 0.3 for node in program.nodes.values()}
    activity = Activity("made up", 4, 3, sent, {})
    found = hardware.against_baselines(activity, program, network=network)
    assert found.anns[0].macs == work(network).dense_macs < work(program).dense_macs
    assert found.metrics["ConnectionSparsity"] == 1 - (54 + 90) / (72 + 180)
    assert hardware.ann(network).energy == found.anns[1].energy
    assert found.pruned.by_core
