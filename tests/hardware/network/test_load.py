"""hardware.load: graphs and files to networks with every shape and parameter known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from filopodia import hardware
from filopodia.errors import FileError, InputError, UnsupportedError


def f32(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)


def lif(shape: tuple[int, ...], tau: float = 2e-3, threshold: float = 1.0) -> nir.LIF:
    ones = np.ones(shape, np.float32)
    return nir.LIF(
        tau=ones * np.float32(tau), r=ones, v_leak=ones * 0, v_threshold=ones * np.float32(threshold), v_reset=ones * 0
    )


def chain(*nodes: Any, shape: tuple[int, ...], metadata: dict[str, Any] | None = None) -> nir.NIRGraph:
    """input -> nodes "n0", "n1", ... -> output, without nir's own type check."""
    named = {"input": nir.Input({"input": np.array(shape)})}
    named |= {f"n{i}": node for i, node in enumerate(nodes)}
    named["output"] = nir.Output({"output": np.array([1])})
    names = list(named)
    edges = list(pairwise(names))
    return nir.NIRGraph(named, edges, metadata=metadata or {}, type_check=False)


def conv(n_in: int, n_out: int, kernel: tuple[int, int], **options: Any) -> nir.Conv2d:
    settings = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1} | options
    weight = np.ones((n_out, n_in // settings["groups"], *kernel), np.float32)
    return nir.Conv2d(None, weight, bias=np.zeros(n_out, np.float32), **settings)


def test_shapes_are_inferred_where_nir_gets_them_wrong() -> None:
    graph = chain(
        conv(2, 4, (3, 5), padding=(1, 2)),  # not square
        conv(4, 8, (3, 3), groups=2, stride=(2, 1)),
        nir.AvgPool2d(np.array([1, 2]), np.array([1, 2]), np.array([0, 0])),
        nir.Flatten({"input": None}, 0, -1),
        nir.Affine(np.ones((3, 8 * 3 * 3), np.float32), np.zeros(3, np.float32)),
        shape=(2, 8, 8),
    )
    network = hardware.load(graph)
    assert [network.shapes[f"n{i}"] for i in range(5)] == [(4, 8, 8), (8, 3, 6), (8, 3, 3), (72,), (3,)]
    assert network.shapes["output"] == (3,)
    assert list(network.nodes) == ["input", "n0", "n1", "n2", "n3", "n4", "output"]


def test_file_and_graph_load_the_same(tmp_path: Path) -> None:
    graph = chain(conv(1, 2, (3, 3)), lif((2, 2, 2)), shape=(1, 4, 4), metadata={"dt": 1e-3, "comparison": ">"})
    graph.nodes["n0"].input_shape = (4, 4)
    nir.write(tmp_path / "model.nir", graph)
    from_file, from_graph = hardware.load(tmp_path / "model.nir"), hardware.load(graph)
    assert from_file.shapes == from_graph.shapes
    assert from_file.edges == from_graph.edges
    assert from_file.semantics == from_graph.semantics
    np.testing.assert_array_equal(from_file.nodes["n0"].weight, graph.nodes["n0"].weight)


def test_scalar_parameters_spread_over_the_layer() -> None:
    neuron = lif(())
    neuron.v_threshold = f32([0.5])
    network = hardware.load(chain(conv(1, 3, (3, 3)), neuron, shape=(1, 6, 6)), dt=1e-3)
    assert network.nodes["n1"].tau.shape == (3, 4, 4)
    assert (network.nodes["n1"].v_threshold == 0.5).all()


def test_semantics_come_from_arguments_then_metadata_then_defaults() -> None:
    metadata = {"dt": 1e-3, "reset": "subtract", "output_delay": 2, "recurrent_input_at_start": np.bool_(False)}
    graph = chain(lif((4,)), shape=(4,), metadata=metadata)
    semantics = hardware.load(graph, dt=5e-4, discretization="exponential").semantics
    assert semantics == hardware.Semantics(5e-4, "exponential", "subtract", ">", False, 2)


def test_a_file_trained_at_or_above_the_threshold_loads_as_trained() -> None:
    lowered = float(np.nextafter(np.float32(1), np.float32(0)))
    graph = chain(
        lif((4,), threshold=lowered), shape=(4,), metadata={"dt": 1e-3, "comparison": ">", "trained_comparison": ">="}
    )
    network = hardware.load(graph)
    assert network.semantics.comparison == ">="
    assert (network.nodes["n0"].v_threshold == 1).all()
    strict = hardware.load(graph, comparison=">")
    assert strict.semantics.comparison == ">"
    assert (strict.nodes["n0"].v_threshold == np.float32(lowered)).all()


def test_dt_must_be_given_with_time_constants() -> None:
    with pytest.raises(InputError, match=r"dt=\.\.\."):
        hardware.load(chain(lif((4,)), shape=(4,)))


def test_dt_of_integrators_follows_from_r() -> None:
    neuron = nir.IF(r=f32([1e4] * 3), v_threshold=f32([1] * 3), v_reset=f32([0] * 3))
    assert hardware.load(chain(neuron, shape=(3,))).semantics.dt == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("option", "value"),
    [("dt", 0.0), ("dt", "1e-3"), ("discretization", "exact"), ("reset", "soft"), ("comparison", "=="), ("output_delay", -1)],
)
def test_wrong_options_are_refused(option: str, value: Any) -> None:
    with pytest.raises(InputError, match=option):
        hardware.load(chain(lif((4,)), shape=(4,)), **{"dt": 1e-3, option: value})


def test_a_subgraph_is_inlined() -> None:
    inner = chain(nir.Linear(np.eye(3, dtype=np.float32)), lif((3,)), shape=(3,))
    inner.edges.append(("n1", "n0"))
    outer = chain(nir.Linear(np.ones((3, 2), np.float32)), inner, lif((3,)), shape=(2,))
    network = hardware.load(outer, dt=1e-3)
    assert list(network.nodes) == ["input", "n0", "n1.n0", "n1.n1", "n2", "output"]
    assert set(network.edges) == {
        ("input", "n0"),
        ("n0", "n1.n0"),
        ("n1.n0", "n1.n1"),
        ("n1.n1", "n1.n0"),
        ("n1.n1", "n2"),
        ("n2", "output"),
    }
    assert network.feedback == (("n1.n1", "n1.n0"),)


def refusals() -> list[tuple[Any, type[Exception], str]]:
    dense = nir.Linear(np.ones((3, 4), np.float32))
    wrong_tau = lif((4,))
    wrong_tau.tau = f32([2e-3, 0, 1e-3, 1e-3])
    dangling = chain(lif((4,)), shape=(4,))
    dangling.edges.append(("n00", "output"))
    loop = chain(nir.Linear(np.eye(4, dtype=np.float32)), nir.Scale(np.ones(4, np.float32)), shape=(4,))
    loop.edges.append(("n1", "n0"))
    nan = lif((4,))
    nan.v_threshold = f32([1, 1, np.nan, 1])
    return [
        (chain(dense, shape=(3,)), FileError, r"node 'n0'.*\n.*\n.*transposed"),
        (chain(wrong_tau, shape=(4,)), FileError, "node 'n0': LIF: tau is 0"),
        (dangling, FileError, r"no node named 'n00'(.|\n)*did the writer mean 'n0'"),
        (loop, UnsupportedError, "a loop without a neuron"),
        (chain(nan, shape=(4,)), FileError, "node 'n0': LIF: v_threshold holds values that are not finite"),
        (chain(lif((5,)), shape=(4,)), FileError, r"node 'n0': LIF: tau has shape \[5\]"),
        (chain(conv(3, 4, (3, 3)), shape=(4, 8, 8)), FileError, r"swapped"),
        (chain(lif((4,), tau=1e-4), shape=(4,)), FileError, "shorter than the step"),
        (chain(lif((4,)), shape=(4,), metadata={"filopodia_format": 99}), FileError, "filopodia_format 99"),
    ]


@pytest.mark.parametrize("case", range(len(refusals())))
def test_wrong_graphs_are_refused_by_node_name(case: int) -> None:
    graph, error, message = refusals()[case]
    with pytest.raises(error, match=message):
        hardware.load(graph, dt=1e-3)


def test_a_sum_of_different_shapes_is_refused() -> None:
    graph = chain(nir.Linear(np.ones((3, 4), np.float32)), lif(()), shape=(4,))
    graph.edges.append(("input", "n1"))
    with pytest.raises(FileError, match=r"node 'n1': LIF: takes \[4\], but 'n0' sends \[3\]"):
        hardware.load(graph, dt=1e-3)


@pytest.mark.parametrize("content", [b"", b"not hdf5 at all", b"\x89HDF\r\n\x1a\n truncated"])
def test_files_that_are_no_nir_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.nir"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"broken\.nir"):
        hardware.load(path)
    with pytest.raises(FileError, match="no such file"):
        hardware.load(tmp_path / "missing.nir")
