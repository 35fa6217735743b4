"""Files as they are found: old, incomplete, refused by nir itself; and files that mean harm."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from filopodia import hardware
from filopodia.errors import FileError, UnsupportedError
from filopodia.hardware.network import Network

Nodes = dict[str, dict[str, Any]]
LIF = {"type": "LIF", "tau": np.full(3, 2e-3), "r": np.ones(3), "v_leak": np.zeros(3), "v_threshold": np.ones(3)}
ENDS: Nodes = {"input": {"type": "Input", "shape": np.array([3])}, "output": {"type": "Output", "shape": np.array([3])}}


def write(path: Path, nodes: Nodes, edges: list[tuple[str, str]], change: Callable[[h5py.File], None] | None = None) -> Path:
    """A NIR file laid down by hand: nir has no say in it. `change` has the last word."""

    def put(group: h5py.Group, fields: dict[str, Any]) -> None:
        for key, value in fields.items():
            if isinstance(value, dict):
                put(group.create_group(key), value)
            elif isinstance(value, str):
                group.create_dataset(key, data=value, dtype=h5py.string_dtype())
            else:
                group.create_dataset(key, data=value)

    with h5py.File(path, "w") as file:
        put(file, {"version": "0.1.0", "node": {"type": "NIRGraph", "nodes": nodes}})
        pairs = np.array(edges, dtype=object) if edges else np.zeros((0, 2), dtype=object)
        file["node"].create_dataset("edges", data=pairs, dtype=h5py.string_dtype())
        if change is not None:
            change(file)
    return path


def load_one(path: Path, node: dict[str, Any], **options: Any) -> Network:
    edges = [("input", "n"), ("n", "output")]
    network: Network = hardware.load(write(path / "a.nir", ENDS | {"n": node}, edges), dt=1e-3, **options)
    return network


def test_missing_reset_and_w_in_mean_what_they_did(tmp_path: Path) -> None:
    assert (load_one(tmp_path, LIF).nodes["n"].v_reset == 0).all()
    cuba = {k: v for k, v in LIF.items() if k != "tau"} | {
        "type": "CubaLIF",
        "tau_syn": np.full(3, 1e-3),
        "tau_mem": LIF["tau"],
    }
    assert (load_one(tmp_path, cuba).nodes["n"].w_in == 1).all()


def test_scalars_half_floats_and_a_sample_axis(tmp_path: Path) -> None:
    node = LIF | {"tau": 2e-3, "r": np.float16(1), "v_leak": np.zeros((1, 3)), "v_threshold": np.array([1])}
    network = load_one(tmp_path, node)
    assert network.nodes["n"].tau.shape == network.nodes["n"].v_threshold.shape == (3,)
    assert network.nodes["n"].r.dtype == np.float32


def test_convolution_without_input_shape_and_with_text_padding(tmp_path: Path) -> None:
    conv = {"type": "Conv2d", "weight": np.ones((4, 2, 3, 5)), "bias": np.zeros(4), "padding": "same", "groups": np.int64(1)}
    nodes = {"input": {"type": "Input", "shape": np.array([2, 8, 9])}, "c": conv | {"stride": 1, "dilation": 1}}
    network = hardware.load(write(tmp_path / "a.nir", nodes, [("input", "c")]))
    assert network.shapes["c"] == (4, 8, 9)
    assert network.nodes["c"].padding == (1, 2)
    assert network.outputs == ("output_c",)  # a node that leads nowhere is an output, as nir has it


def test_inputs_without_a_shape_take_what_their_targets_need(tmp_path: Path) -> None:
    nodes = {"in": {"type": "Input"}, "w": {"type": "Linear", "weight": np.ones((4, 7))}, "v": LIF | {"tau": 1e-3, "r": 1.0}}
    nodes["v"] |= {"v_leak": 0.0, "v_threshold": 1.0}
    network = hardware.load(write(tmp_path / "a.nir", nodes, [("w", "v"), ("in", "w")]), dt=1e-3)
    assert (network.shapes["in"], network.shapes["v"]) == ((7,), (4,))


def test_names_in_alphabetical_order_and_with_dots(tmp_path: Path) -> None:
    nodes = {str(i): {"type": "Scale", "scale": np.full(3, float(i))} for i in range(12)}
    chain = ["input", *map(str, range(12)), "output"]
    network = hardware.load(write(tmp_path / "a.nir", ENDS | nodes, list(pairwise(chain))))
    assert list(network.nodes) == chain


def test_a_file_of_one_node(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nir", "w") as file:
        for key, value in LIF.items():
            file.create_dataset(f"node/{key}", data=value)
    network = hardware.load(tmp_path / "a.nir", dt=1e-3)
    assert list(network.nodes) == ["input_node", "node", "output_node"]


def test_a_nested_graph_that_nir_cannot_read(tmp_path: Path) -> None:
    """nir 1.0.8 checks types in subgraphs even when told not to; a subgraph without shapes is then unreadable."""
    pool = {"type": "SumPool2d", "kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}
    inner = {
        "in": {"type": "Input", "shape": np.array([1, 4, 4])},
        "p": pool,
        "out": {"type": "Output", "shape": np.array([9])},
    }
    edges = np.array([["in", "p"], ["p", "out"]], dtype=object)

    def nest(file: h5py.File) -> None:
        file["node/nodes/sub"].create_dataset("edges", data=edges, dtype=h5py.string_dtype())

    nodes = {"input": {"type": "Input", "shape": np.array([1, 4, 4])}, "sub": {"type": "NIRGraph", "nodes": inner}}
    path = write(tmp_path / "a.nir", nodes, [("input", "sub")], nest)
    with pytest.raises(ValueError, match="mismatch"):
        nir.read(path, type_check=False)
    assert hardware.load(path).shapes["sub.p"] == (1, 2, 2)


def test_a_misspelt_node_in_the_edges_of_a_published_graph(tmp_path: Path) -> None:
    """The recurrent subgraphs of the NIR paper: edges say `lif`, the node is `lif1`."""
    nodes = ENDS | {"w_rec": {"type": "Linear", "weight": np.eye(3)}, "lif1": LIF}
    edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    with pytest.warns(UserWarning, match="edges name 'lif', which is no node; taken as 'lif1'"):
        network = hardware.load(write(tmp_path / "a.nir", nodes, edges), dt=1e-3)
    assert network.feedback == (("lif1", "w_rec"),)
    nodes["other"] = LIF  # two nodes that no edge names: nothing to guess by
    with pytest.raises(FileError, match="no node named 'lif'"):
        hardware.load(write(tmp_path / "a.nir", nodes, edges), dt=1e-3)


def test_an_edge_written_twice_counts_twice(tmp_path: Path) -> None:
    edges = [("input", "n"), ("input", "n"), ("n", "output")]
    path = write(tmp_path / "a.nir", ENDS | {"n": {"type": "Scale", "scale": np.ones(3)}}, edges)
    with pytest.raises(ValueError, match="Duplicate"):
        nir.read(path)
    network = hardware.load(path)
    out = hardware.simulate(network, np.ones((1, 1, 3))).spikes["output"]
    assert (out == 2).all()


def changed(key: str, value: Any) -> dict[str, Any]:
    node = {k: v for k, v in LIF.items() if k != key}
    return node if value is None else node | {key: value}


@pytest.mark.parametrize(
    ("node", "error", "message"),
    [
        (changed("tau", np.array([1.0, -1.0, 1.0])), FileError, "node 'n': LIF: tau is -1"),
        (changed("tau", np.array([1.0, np.inf, 1.0])), FileError, "not finite"),
        (changed("tau", None), FileError, "node 'n': LIF: no field 'tau'"),
        (changed("tau", np.full(3, 1e300)), None, ""),
        (changed("r", "one"), FileError, "r holds"),
        (changed("v_threshold", np.ones((3, 3))), FileError, r"v_threshold has shape \[3, 3\]"),
        (changed("v_threshold", np.ones(4)), FileError, r"v_threshold has shape \[4\]"),
        (changed("type", "Spike"), UnsupportedError, "node 'n': unknown type 'Spike'"),
        (changed("type", None), FileError, "node 'n': no field 'type'"),
        ({"type": "Linear", "weight": np.ones((3, 5))}, FileError, r"takes an input \[5\]"),
        ({"type": "Linear", "weight": np.ones(3)}, FileError, r"weight has shape \[3\]"),
        ({"type": "Conv1d", "weight": np.ones((1, 1, 3)), "bias": np.zeros(1)}, FileError, r"input has shape \[3\]"),
        ({"type": "Delay", "delay": np.array([1.0, -1.0, 0.0])}, FileError, "delay is -1"),
        ({"type": "Delay", "delay": np.full(3, 1e9)}, FileError, "Delay: 1e\\+09 s are 1e\\+12 steps"),
        ({"type": "Flatten", "start_dim": 5, "end_dim": 9}, FileError, "axes 5 to 9"),
    ],
)
def test_a_wrong_node_is_refused_by_name(
    tmp_path: Path, node: dict[str, Any], error: type[Exception] | None, message: str
) -> None:
    if error is None:
        load_one(tmp_path, node)
        return
    with pytest.raises(error, match=message):
        load_one(tmp_path, node)


def test_a_slash_in_a_name_is_explained(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nir", ENDS | {"layer/1": LIF}, [("input", "layer/1"), ("layer/1", "output")])
    with pytest.raises(FileError, match=r"node 'layer': no field 'type'; a '/' in a node's name"):
        hardware.load(path, dt=1e-3)


def huge(file: h5py.File) -> None:
    del file["node/nodes/n/tau"]
    file["node/nodes/n"].create_dataset("tau", shape=(2**40,), dtype="f4", chunks=(1024,))  # a terabyte, a few bytes on disk


def hollow(file: h5py.File) -> None:
    for i in range(10):  # each is small enough, but nothing of it is in the file
        file["node/nodes/n"].create_dataset(f"more{i}", shape=(2**20,), dtype="f4", chunks=(2**18,))


def elsewhere(file: h5py.File) -> None:
    del file["node/nodes/n/tau"]
    file["node/nodes/n/tau"] = h5py.ExternalLink("other.h5", "/secret")


def soft(file: h5py.File) -> None:
    del file["node/nodes/n/tau"]
    file["node/nodes/n/tau"] = h5py.SoftLink("/node/nodes/n/r")


def outside(file: h5py.File) -> None:
    del file["node/nodes/n/tau"]
    file["node/nodes/n"].create_dataset("tau", shape=(3,), dtype="f4", external=[("raw.bin", 0, 12)])


def virtual(file: h5py.File) -> None:
    del file["node/nodes/n/tau"]
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "tau", (3,))
    file["node/nodes/n"].create_virtual_dataset("tau", layout)


def circle(file: h5py.File) -> None:
    del file["node/nodes/n"]
    file["node/nodes/n"] = file["node"]  # a graph that holds itself


def nested(file: h5py.File) -> None:
    group = file["node/nodes"]
    for _ in range(200):
        group = group.create_group("g")
        group.create_dataset("type", data="NIRGraph", dtype=h5py.string_dtype())
        group = group.create_group("nodes")


def metadata_circle(file: h5py.File) -> None:
    file["node"].create_group("metadata")["again"] = file["node"]


def reference(file: h5py.File) -> None:
    del file["node/nodes/n/tau"]
    file["node/nodes/n"].create_dataset("tau", data=np.array([file["node"].ref], dtype=h5py.ref_dtype))


def big_input(file: h5py.File) -> None:
    file["node/nodes/input/shape"][...] = 2**40


def nan_edges(file: h5py.File) -> None:
    del file["node/edges"]
    file["node"].create_dataset("edges", data=np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (huge, r"node 'n': 'tau' declares shape \[1099511627776\]"),
        (hollow, "bytes from a file of this size"),
        (elsewhere, "'tau' is a link to elsewhere"),
        (soft, "'tau' is a link to elsewhere"),
        (outside, "'tau' keeps its data in another file"),
        (virtual, "'tau' keeps its data in another file"),
        (circle, "nested too deeply, or in a circle"),
        (nested, "nested too deeply, or in a circle"),
        (metadata_circle, "nested too deeply, or in a circle"),
        (reference, "allowed: numbers or text"),
        (big_input, "1099511627776"),
        (nan_edges, "edges of shape"),
    ],
)
def test_a_hostile_file_is_refused_at_once(tmp_path: Path, change: Callable[[h5py.File], None], message: str) -> None:
    path = write(tmp_path / "a.nir", ENDS | {"n": LIF}, [("input", "n"), ("n", "output")], change)
    with pytest.raises(FileError, match=message):
        hardware.load(path, dt=1e-3)


def patched(path: Path, where: int, value: int, width: int) -> None:
    content = bytearray(path.read_bytes())
    content[where : where + width] = value.to_bytes(width, "little")
    path.write_bytes(content)


def test_text_that_would_make_hdf5_hang_or_allocate_gigabytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nir", ENDS | {"n": LIF}, [("input", "n"), ("n", "output")])
    with h5py.File(path) as file:
        edges = file["node/edges"].id.get_offset()
    whole = path.read_bytes()
    patched(path, edges, 2**31, 4)
    with pytest.raises(FileError, match="'edges' declares a text of 2147483648 bytes"):
        hardware.load(path, dt=1e-3)
    path.write_bytes(whole)
    heap = whole.index(b"GCOL")
    at = heap + 16
    while int.from_bytes(whole[at : at + 2], "little"):  # on to the free space at the end
        at += 16 + (int.from_bytes(whole[at + 8 : at + 16], "little") + 7) // 8 * 8
    patched(path, at + 8, 0, 8)  # free space of no size: HDF5 looks for what comes after it, for ever
    with pytest.raises(FileError, match="a heap of text that is damaged"):
        hardware.load(path, dt=1e-3)
    path.write_bytes(whole)
    patched(path, edges + 4, len(whole) + 64, 8)
    with pytest.raises(FileError, match="text outside the file"):
        hardware.load(path, dt=1e-3)


def test_compressed_text_is_read(tmp_path: Path) -> None:
    def compress(file: h5py.File) -> None:
        pairs = file["node/edges"][()]
        del file["node/edges"]
        file["node"].create_dataset("edges", data=pairs, dtype=h5py.string_dtype(), compression="gzip", chunks=(1, 2))

    path = write(tmp_path / "a.nir", ENDS | {"n": LIF}, [("input", "n"), ("n", "output")], compress)
    assert hardware.load(path, dt=1e-3).edges == (("input", "n"), ("n", "output"))


@pytest.mark.parametrize("keep", [0, 100, 2000, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "a.nir", ENDS | {"n": LIF}, [("input", "n"), ("n", "output")])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileError, match=r"a\.nir"):
        hardware.load(path, dt=1e-3)
