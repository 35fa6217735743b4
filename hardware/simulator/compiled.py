"""Compiling kernels: once per machine, kept on disk where that is possible, released from Python's lock."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

# numba takes a cached kernel for current when the kernel's own file is unchanged. Kernels that inline parts of other files have
# this number as a default argument: it is part of their signature, so a change in those files makes another kernel.
SHARED = ("simd", "neuron", "adders", "add_rows", "lane_update", "gather_rows", "transpose", "compiled")
STAMP = zlib.crc32(b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in SHARED))


def kernel(function: Callable[..., Any]) -> Any:
    """`function` compiled by numba, cached on disk.

    numba keeps the cache beside the source, else in the user's cache folder (or NUMBA_CACHE_DIR), and replaces its files
    atomically, so several processes may start at once. Where no place can be written, the kernel is compiled in every process.
    """
    try:
        return numba.njit(cache=True, nogil=True, boundscheck=False)(function)
    except RuntimeError:
        return numba.njit(nogil=True, boundscheck=False)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """A part of kernels, compiled with whoever calls it and inlined by LLVM."""
    return numba.njit(nogil=True, boundscheck=False)(function)
