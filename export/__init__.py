"""Torch to files: BatchNorm folding, NIR out and in, ONNX, golden vectors. The last place where torch exists.

Names are imported when they are first used, so that `export.read_golden` needs no torch.
"""

if __name__ == "export":
    raise ImportError(
        "write `from filopodia import export`: this folder is the package filopodia.export, not a top-level module"
    )

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .folding import fold as fold
    from .golden_file import Golden as Golden
    from .golden_file import read_golden as read_golden
    from .golden_file import write_golden as write_golden
    from .nir_file import write_nir as write_nir
    from .nir_to_torch import NirModule as NirModule
    from .nir_to_torch import from_nir as from_nir
    from .onnx_file import to_onnx as to_onnx
    from .onnx_integer import program_to_onnx as program_to_onnx
    from .record import golden as golden
    from .torch_to_nir import to_nir as to_nir

_HOMES = {
    "NirModule": "nir_to_torch",
    "from_nir": "nir_to_torch",
    "fold": "folding",
    "golden": "record",
    "Golden": "golden_file",
    "read_golden": "golden_file",
    "write_golden": "golden_file",
    "write_nir": "nir_file",
    "to_nir": "torch_to_nir",
    "to_onnx": "onnx_file",
    "program_to_onnx": "onnx_integer",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
