"""Text in HDF5, looked at before HDF5 does: it believes lengths and heaps as they are stored, and can be made to allocate
gigabytes by one wrong byte, or to run in a circle for ever by another.

Text of free length is a reference of 16 bytes: its length, the address of the heap it lies in, its index there. A heap
("GCOL") is a row of objects, each with its size; free space is an object with index 0.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_TEXT = 2**16  # bytes of one name or metadata entry
_REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])


def fault_in_text(path: Path, dataset: Any, most: int) -> str:
    """What is wrong with the text that `dataset` of file `path` refers to, or "". `most` bounds the bytes read."""
    stored = _stored(path, dataset, most)
    if isinstance(stored, str):
        return stored
    references: NDArray[Any] = np.frombuffer(stored[: len(stored) // 16 * 16], _REFERENCE)
    if not references.size:
        return ""
    longest, total = int(references["length"].max()), int(references["length"].astype(np.int64).sum())
    if longest > MAX_TEXT or total > most:
        return f"declares a text of {longest} bytes, more than {MAX_TEXT}"
    heaps = np.unique(references["heap"][references["length"] > 0])
    base = dataset.file.userblock_size
    with path.open("rb") as file:
        for heap in heaps.tolist():
            if heap + base > path.stat().st_size:
                return "refers to text outside the file"
            file.seek(heap + base)
            if not _walks(file.read(16), file, most):
                return "refers to a heap of text that is damaged"
    return ""


def _stored(path: Path, dataset: Any, most: int) -> bytes | str:
    """The references as they lie in the file, or why they cannot be looked at."""
    if dataset.chunks is not None:
        if dataset.compression not in (None, "gzip") or dataset.shuffle or dataset.fletcher32:
            return "keeps text behind a filter other than gzip"
        parts = []
        for i in range(dataset.id.get_num_chunks()):
            skipped, chunk = dataset.id.read_direct_chunk(dataset.id.get_chunk_info(i).chunk_offset)
            packed = dataset.compression == "gzip" and not skipped
            parts.append(zlib.decompressobj().decompress(chunk, most) if packed else chunk)
        return b"".join(parts)
    if not dataset.id.get_storage_size():
        return b""
    offset = dataset.id.get_offset()
    if offset is None:
        return "keeps text in an object header, where it cannot be checked"
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(min(dataset.id.get_storage_size(), most))


def _walks(head: bytes, file: Any, most: int) -> bool:
    """Whether a heap's objects follow one another to its end."""
    if len(head) < 16 or head[:4] != b"GCOL":
        return False
    (size,) = struct.unpack_from("<Q", head, 8)
    if not 16 <= size <= most:
        return False
    objects = file.read(size - 16)
    at = 0
    while at + 16 <= len(objects):
        index, length = struct.unpack_from("<H6xQ", objects, at)
        step = length if index == 0 else 16 + (length + 7) // 8 * 8
        if step < 16:
            return False
        at += step
    return bool(at <= len(objects) + 16)
