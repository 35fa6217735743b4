"""What `from_nir` and ONNX run: a NIR graph as `hardware.load` makes it certain, less what neither of them can say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir

from filopodia.errors import UnsupportedError
from filopodia.hardware.network.load import load_network
from filopodia.hardware.network.network import Network


def loaded(graph: nir.NIRGraph | str | Path, **options: Any) -> Network:
    """The network of a graph or file; `options` as of `hardware.load`. Refuses Delay nodes and delayed outputs by name."""
    network = load_network(graph, options)
    for name, node in network.nodes.items():
        if type(node).__name__ == "Delay":
            raise UnsupportedError(
                "a Delay node", where=f"node {name!r}", fix="hardware.simulate and hardware.compile know delays"
            )
    if network.semantics.output_delay:
        raise UnsupportedError(
            f"output_delay = {network.semantics.output_delay}", where="semantics", allowed="0", fix="pass output_delay=0"
        )
    return network
