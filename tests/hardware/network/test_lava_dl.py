"""lava-dl network files as programs: the integers they hold, in the right places, and what they then do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from filopodia import hardware
from filopodia.errors import FileError, InputError, UnsupportedError
from filopodia.hardware.network import input_current
from filopodia.hardware.program import Conv, Dense, Program, Sparse

CUBA = {"type": "CUBA", "iDecay": 4096, "vDecay": 1024, "vThMant": 25, "refDelay": 1}
Fields = dict[str, Any]


def write(path: Path, *layers: Fields) -> Path:
    """A file laid out as lava-dl's export_hdf5 does."""

    def put(group: Any, fields: Mapping[str, Any]) -> None:
        for key, value in fields.items():
            if isinstance(value, Mapping):
                put(group.create_group(key), value)
            elif key == "type" and group.name.count("/") == 2:
                group.create_dataset(key, (1,), "S10", [value.encode()])
            else:
                group.create_dataset(key, data=value)

    with h5py.File(path, "w") as file:
        put(file, {"layer": {str(i): fields for i, fields in enumerate(layers)}, "simulation": {"Ts": 1, "tSample": 16}})
    return path


def dense(weight: np.ndarray, **more: Any) -> Fields:
    out, features = weight.shape
    stored = weight.astype(np.float32)
    return {
        "type": "dense",
        "shape": [out, 1, 1],
        "inFeatures": features,
        "outFeatures": out,
        "weight": stored,
        "neuron": CUBA,
    } | more


def conv(weight: np.ndarray, shape: list[int], **more: Any) -> Fields:
    settings = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1}
    return {"type": "conv", "shape": shape, "weight": weight[..., None].astype(np.float32), "neuron": CUBA} | settings | more


def even(rng: np.random.Generator, *shape: int, most: int = 20) -> np.ndarray:
    return 2 * rng.integers(-most, most + 1, shape)


def run(program: Program, spikes: np.ndarray) -> np.ndarray:
    return hardware.simulate(program, spikes).spikes[program.outputs[0]][:, 0]


def test_conv_flatten_dense_as_torch_would(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kernel, matrix, bias = even(rng, 4, 2, 3, 2), even(rng, 5, 4 * 3 * 4), even(rng, 4)
    path = write(
        tmp_path / "a.net",
        {"type": "input", "shape": [2, 6, 5]},
        conv(kernel, [4, 3, 4], stride=[2, 1], padding=[1, 0], bias=bias.astype(np.float32)),
        {"type": "flatten", "shape": [1, 1, 48]},
        dense(matrix),
    )
    program = hardware.load(path)
    assert [layer.name for layer in program.layers] == ["conv1", "dense3"]
    assert [layer.latency for layer in program.layers] == [1, 2]
    assert program.metadata == {"source": "lava-dl", "dt": 1e-3, "steps_per_sample": 16}
    spikes = rng.random((16, 1, 2, 6, 5)) < 0.4

    def neuron(current: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        v = np.sign(v) * ((np.abs(v) * 3072) >> 12) + (current.astype(np.int64) << 6)
        return (v > 25 << 6), np.where(v > 25 << 6, 0, v)

    v1, v2 = np.zeros((4, 3, 4), np.int64), np.zeros(5, np.int64)
    expected = []
    for x in spikes[:, 0]:
        image = torch.tensor(x[None].astype(np.float32))
        sums = torch.nn.functional.conv2d(image, torch.tensor(kernel).float(), stride=(2, 1), padding=(1, 0))[0].numpy()
        s1, v1 = neuron(sums + bias[:, None, None], v1)
        s2, v2 = neuron(matrix @ s1.reshape(-1), v2)
        expected.append(s2)
    assert 0 < np.mean(expected) < 1
    np.testing.assert_array_equal(run(program, spikes), expected)


def test_neurons_keep_their_integers(tmp_path: Path) -> None:
    per_channel = CUBA | {"iDecay": [0, 4096, 7], "vDecay": 4096, "vThMant": [1, 2, 131071]}
    program = hardware.load(write(tmp_path / "a.net", dense(np.full((3, 2), 4), neuron=per_channel, bias=[1.0, -2.0, 3.0])))
    layer = program.layers[0]
    assert layer.du.tolist() == [-1, 4095, 6]
    assert layer.dv == 4096
    assert layer.vth.tolist() == [1, 2, 131071]
    assert layer.bias.tolist() == [1, -2, 3]
    assert layer.bias_exp == 6
    assert program.inputs[0].shape == (2,)


@pytest.mark.parametrize(
    ("weight", "stored", "exponent", "mode"),
    [
        ([[2, -4]], [[2, -4]], 0, "mixed"),
        ([[3, -4]], [[6, -8]], -1, "mixed"),
        ([[3, 255]], [[3, 255]], 0, "excitatory"),
        ([[-3, 0]], [[-3, 0]], 0, "inhibitory"),
    ],
)
def test_weights_act_as_stored(tmp_path: Path, weight: Any, stored: Any, exponent: int, mode: str) -> None:
    (connection,) = hardware.load(write(tmp_path / "a.net", dense(np.array(weight)))).connections
    assert isinstance(connection.synapses, Dense)
    assert connection.synapses.weight.tolist() == stored
    assert (connection.weight_exp, connection.sign_mode) == (exponent, mode)


def test_input_neurons_are_driven_by_a_current(tmp_path: Path) -> None:
    source = {"type": "input", "shape": [1, 2, 2], "weight": 40.0, "bias": 36.0, "neuron": CUBA}
    program = hardware.load(write(tmp_path / "a.net", source, conv(np.full((1, 1, 1, 1), 100), [1, 2, 2])))
    image = np.array([[[0.0, 0.3], [0.5, 1.0]]])
    current = input_current(program, image)
    assert current.tolist() == [[[-4, 20], [36, 76]]]  # 2 * 40 * x - 40 + 36, cut off towards zero
    activity = hardware.simulate(program, np.broadcast_to(current, (3, 1, 1, 2, 2)))
    assert activity.spikes["input0"][:, 0, 0].tolist() == [
        [[False, False], [True, True]],
        [[False, True], [True, True]],  # 20 + 15 is above 25
        [[False, False], [True, True]],
    ]
    with pytest.raises(InputError, match="spikes"):
        input_current(hardware.load(write(tmp_path / "b.net", dense(np.ones((1, 2))))), image)


def test_recurrent_layer_hears_its_last_step(tmp_path: Path) -> None:
    layer = dense(np.array([[100, 0], [0, 100]])) | {"type": "dense_rec", "weight_rec": np.array([[0.0, 0.0], [100.0, 0.0]])}
    program = hardware.load(write(tmp_path / "a.net", layer))
    recurrent = program.connections[1]
    assert (recurrent.source, recurrent.target, program.lag(recurrent)) == ("dense_rec0", "dense_rec0", 1)
    spikes = np.zeros((3, 1, 2), bool)
    spikes[0, 0, 0] = True
    assert run(program, spikes).tolist() == [[True, False], [False, True], [False, False]]


def test_delays_hold_messages_back(tmp_path: Path) -> None:
    first = dense(np.diag([100, 100, 100]), delay=[0.0, 2.9, 100.0])
    path = write(tmp_path / "a.net", first, dense(np.diag([100, 100, 100]), delay=[0.0, 1.0, 0.0]))
    program = hardware.load(path)
    spikes = np.zeros((70, 1, 3), bool)
    spikes[0] = True
    assert np.argwhere(run(program, spikes)).tolist() == [[0, 0], [3, 1], [62, 2]]
    assert all(isinstance(c.synapses, Sparse) for c in program.connections[1:])
    assert sum(len(c.synapses.data) for c in program.connections[1:]) == 3


def test_delays_of_channels_into_a_convolution(tmp_path: Path) -> None:
    one = np.full((2, 1, 1, 1), 100)
    path = write(
        tmp_path / "a.net",
        {"type": "input", "shape": [1, 1, 2]},
        conv(one, [2, 1, 2], delay=[0.0, 3.0]),
        conv(np.array([[[[100]], [[0]]], [[[0]], [[100]]]]), [2, 1, 2]),
    )
    program = hardware.load(path)
    spikes = np.zeros((5, 1, 1, 1, 2), bool)
    spikes[0, 0, 0, 0, 1] = True
    assert np.argwhere(run(program, spikes)).tolist() == [[0, 0, 0, 1], [3, 1, 0, 1]]


def test_pool_and_average(tmp_path: Path) -> None:
    pool = {"type": "pool", "shape": [2, 2, 1], "kernelSize": [2, 2], "stride": [2, 2], "weight": np.full((1, 1, 2, 2), 12.0)}
    path = write(
        tmp_path / "a.net",
        {"type": "input", "shape": [2, 4, 2]},
        pool | {"neuron": CUBA},
        {"type": "flatten", "shape": [1, 1, 4]},
        {"type": "average", "shape": [2, 1, 1]},
    )
    program = hardware.load(path)
    synapses = program.connections[0].synapses
    assert isinstance(synapses, Conv)
    assert (synapses.groups, synapses.weight.shape, synapses.stride) == (2, (2, 1, 2, 2), (2, 2))
    assert program.metadata["readout"] == {"classes": 2, "votes": 2}
    spikes = np.zeros((1, 1, 2, 4, 2), bool)
    spikes[0, 0, 1, 2:] = True  # four spikes of 12 pass the threshold of 25 in one place
    assert np.argwhere(run(program, spikes)).tolist() == [[0, 1, 1, 0]]


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (dense(np.ones((1, 2)), neuron=CUBA | {"type": "SDNN"}), UnsupportedError, r"layer 0 \(dense\): SDNN neurons"),
        (dense(np.ones((1, 2)), neuron=CUBA | {"refDelay": 3}), UnsupportedError, "refractory"),
        (dense(np.ones((1, 2)), neuron=CUBA | {"wgtExp": 2}), UnsupportedError, "weight exponent"),
        (dense(np.ones((1, 2)), neuron=CUBA | {"vThMant": 1 << 20}), FileError, "vThMant from 1048576"),
        (dense(np.array([[0.5, 1.0]])), FileError, "not whole"),
        (dense(np.array([[np.nan, 1.0]])), FileError, "not whole"),
        (dense(np.array([[300, 2]])), FileError, "weight from 2 to 300"),
        (dense(np.array([[201, -2]])), UnsupportedError, "odd weights"),
        (dense(np.ones((1, 2)), shape=[5, 1, 1]), FileError, r"shape is \[5, 1, 1\]"),
        (dense(np.ones((1, 2))) | {"weight": {"real": [1.0], "imag": [1.0]}}, UnsupportedError, "complex weight"),
        (dense(np.ones((1, 2)), bias=[9000.0]), FileError, "bias from 9000"),
        (dense(np.ones((1, 2)), delay=[1.0], bias=[4.0]), UnsupportedError, "delays out of the last layer"),
        ({"type": "concat", "shape": [2]}, UnsupportedError, r"layer 0 \(concat\): a type of layer that cannot be loaded"),
        ({"shape": [2]}, UnsupportedError, r"layer 0 \(no type\)"),
        ({"type": "flatten", "shape": [2]}, FileError, "begins without an input"),
    ],
)
def test_what_cannot_be_said_is_refused_by_layer(tmp_path: Path, layer: Fields, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        hardware.load(write(tmp_path / "a.net", layer))


def test_options_of_nir_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dt with a lava-dl file"):
        hardware.load(write(tmp_path / "a.net", dense(np.ones((1, 2)))), dt=1e-3)


DATA = os.environ.get("FILOPODIA_DATA", "")


@pytest.mark.skipif(not DATA, reason="FILOPODIA_DATA does not lead to loihi2_pilotnet/pilotnet_lif_network.net")
def test_pilotnet_fires_as_on_the_chip() -> None:
    """Intel measured 34 607 spikes per step with a silent input (loihi2_pilotnet/README.md): the biases alone drive it."""
    program = hardware.load(Path(DATA) / "loihi2_pilotnet" / "pilotnet_lif_network.net")
    steps = program.metadata["steps_per_sample"]
    activity = hardware.simulate(program, np.zeros((steps, 1, 3, 66, 200), np.int32), record=())
    assert sum(layer.size for layer in program.layers) == 158_509
    assert round(sum(int(c.spikes.sum()) for c in activity.counts.values()) / steps) == 34_607
