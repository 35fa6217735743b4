"""Files with wrong bytes anywhere in them: loaded, or refused with a FilopodiaError; nothing else ever comes out."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filopodia import hardware
from filopodia.errors import FilopodiaError


def nir_file(path: Path) -> bytes:
    """A file with every kind of field: text, weights in gzip, shape vectors, metadata in groups."""
    shape, ones = np.array([2, 6, 8]), np.ones((4, 4, 4), np.float32)
    weight = np.random.default_rng(0).random((4, 2, 3, 5)).astype(np.float32)
    nodes: dict[str, Any] = {
        "input": nir.Input(shape),
        "conv": nir.Conv2d((6, 8), weight, (1, 1), (0, 0), (1, 1), 1, np.zeros(4, np.float32)),
        "lif": nir.LIF(tau=ones * 2e-3, r=ones, v_leak=ones * 0, v_threshold=ones, v_reset=ones * 0),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flatten": nir.Flatten({"input": np.array([4, 2, 2])}, 0, -1),
        "fc": nir.Affine(np.ones((3, 16), np.float32), np.zeros(3, np.float32)),
        "output": nir.Output(np.array([3])),
    }
    names = list(nodes)
    metadata = {"dt": 1e-3, "reset": "zero", "comparison": ">", "density": {"fc": 1.0, "conv": 1.0}}
    graph = nir.NIRGraph(nodes, list(pairwise(names)), metadata=metadata, type_check=False)
    nir.write(path, graph)
    return path.read_bytes()


def lava_dl_file(path: Path) -> bytes:
    """A network of lava-dl: one dense layer of CUBA neurons, with delays."""
    with h5py.File(path, "w") as file:
        layer = file.create_group("layer/0")
        layer.create_dataset("type", (1,), "S10", [b"dense"])
        for key, value in {"shape": [3, 1, 1], "inFeatures": 4, "outFeatures": 3, "delay": [0.0, 1.0, 2.0]}.items():
            layer.create_dataset(key, data=value)
        layer.create_dataset("weight", data=np.full((3, 4), 4.0))
        for key, value in {"type": "CUBA", "iDecay": 4096, "vDecay": 1024, "vThMant": 25, "refDelay": 1}.items():
            layer.create_dataset(f"neuron/{key}", data=value)
        file.create_dataset("simulation/Ts", data=1)
        file.create_dataset("simulation/tSample", data=16)
    return path.read_bytes()


@pytest.mark.parametrize(("make", "name"), [(nir_file, "a.nir"), (lava_dl_file, "a.net")])
def test_wrong_bytes_anywhere(make: Any, name: str, tmp_path: Path) -> None:
    whole = make(tmp_path / name)
    hardware.load(tmp_path / name)
    damaged = tmp_path / f"damaged-{name}"

    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        changes=st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), min_size=1, max_size=6),
        wide=st.sampled_from([1, 1, 4, 8]),
        keep=st.sampled_from([1.0, 1.0, 1.0, 0.9, 0.3]),
    )
    def load(changes: list[tuple[int, int]], wide: int, keep: float) -> None:
        content = bytearray(whole)
        for place, value in changes:
            content[place : place + wide] = bytes([value]) * len(content[place : place + wide])
        damaged.write_bytes(content[: int(keep * len(content))])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                hardware.load(damaged)
        except FilopodiaError:
            return

    load()
