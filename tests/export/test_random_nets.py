"""Random networks over all supported layers: torch, NIR in torch, the numpy reference and ONNX agree on every spike."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name: str) -> Any:
    spec = spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


load("export_compare")
script = load("export_random")


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=12, deadline=None, derandomize=True, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(drawn=script.random_nets().nets(), seed=st.integers(0, 1000))
def test_random_networks_spike_alike_everywhere(drawn: Any, seed: int) -> None:
    found, _ = script.everywhere(drawn, seed)
    assert found.spikes > 0
    assert not found.where, found
    assert set(found.differ) >= {"NIR in torch", "NIR in numpy", "ONNX scan", "ONNX step"}
