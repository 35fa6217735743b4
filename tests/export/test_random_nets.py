"""Random networks over all supported layers: torch, NIR in torch, the numpy reference and ONNX agree on every spike."""

from __future__ import annotations

from typing import Any

import pytest
import random_nets
from export_random import everywhere
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=12, deadline=None, derandomize=True, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(drawn=random_nets.nets(), seed=st.integers(0, 1000))
def test_random_networks_spike_alike_everywhere(drawn: Any, seed: int) -> None:
    found, _ = everywhere(drawn, seed)
    assert found.spikes > 0
    assert not found.where, found
    assert set(found.differ) >= {"NIR in torch", "NIR in numpy", "ONNX scan", "ONNX step"}
