"""HDF5 files from strangers: nothing is followed out of the file, and no array is read before its size has been judged."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filopodia.errors import FileError, FilopodiaError
from filopodia.hardware.network.hdf5_text import fault_in_text

MAX_BYTES = 2**31  # declared size of all arrays together; the largest published graphs stay under 2**28
MAX_RATIO = 1100  # to the size of the file: gzip shrinks a thousand times at most, more is an array that is not there
MAX_DEPTH = 32  # groups within groups of metadata


@contextmanager
def open_hdf5(path: Path) -> Iterator[Reader]:
    """A `Reader` of the file; whatever HDF5 has against it becomes a `FileError` with the path."""
    import h5py

    if not path.is_file():
        raise FileError("no such file", where=str(path))
    try:
        with h5py.File(path, "r") as file:
            yield Reader(path, file)
    except FilopodiaError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, RecursionError, MemoryError, zlib.error) as error:
        raise FileError(
            f"cannot be read as HDF5: {error}", where=str(path), fix="get the file again, or write it again"
        ) from error


class Reader:
    """Reads members of groups, and keeps count of the bytes taken in so far."""

    def __init__(self, path: Path, root: Any) -> None:
        self.path, self.root = path, root
        self.bytes = 0
        self.most = min(MAX_BYTES, 2**24 + MAX_RATIO * path.stat().st_size)

    def wrong(self, found: str, at: str, *, allowed: str = "", fix: str = "") -> FileError:
        return FileError(found, where=f"{self.path}, {at}", allowed=allowed, fix=fix)

    def member(self, group: Any, key: str, at: str) -> Any:
        """What `key` leads to within this file, None where there is nothing. Links to elsewhere are refused."""
        import h5py

        kind = group.get(key, getlink=True)
        if kind is None:
            return None
        if not isinstance(kind, h5py.HardLink):
            raise self.wrong(f"{key!r} is a link to elsewhere", at, fix="store the data in the file itself")
        return group[key]

    def group(self, group: Any, key: str, at: str) -> Any:
        """The group `key`, None where there is nothing."""
        import h5py

        found = self.member(group, key, at)
        if found is not None and not isinstance(found, h5py.Group):
            raise self.wrong(f"{key!r} is no group", at)
        return found

    def is_dataset(self, group: Any, key: str, at: str) -> bool:
        import h5py

        return isinstance(self.member(group, key, at), h5py.Dataset)

    def value(self, group: Any, key: str, at: str) -> Any:
        """A dataset's value: numbers as numpy arrays or scalars, text as str (or an array of bytes).

        Its declared size is checked before anything is allocated: a few bytes of file can declare terabytes.
        """
        import h5py

        dataset = self.member(group, key, at)
        if not isinstance(dataset, h5py.Dataset):
            raise self.wrong(f"no dataset {key!r}", at)
        if dataset.is_virtual or dataset.external:
            raise self.wrong(f"{key!r} keeps its data in another file", at, fix="store the data in the file itself")
        if dataset.dtype.kind not in "fiubSO" or (dataset.dtype.kind == "O" and not h5py.check_string_dtype(dataset.dtype)):
            raise self.wrong(f"{key!r} holds {dataset.dtype}", at, allowed="numbers or text")
        if dataset.dtype.kind == "O":
            fault = fault_in_text(self.path, dataset, self.most)
            if fault:
                raise self.wrong(f"{key!r} {fault}", at, fix="write the file again, with h5py or nir")
        self.bytes += int(dataset.size or 0) * int(dataset.dtype.itemsize)
        if self.bytes > self.most:
            raise self.wrong(
                f"{key!r} declares shape {list(dataset.shape)}, {self.bytes} bytes with what came before",
                at,
                allowed=f"{self.most} bytes from a file of this size",
            )
        value = dataset[()]
        if isinstance(value, h5py.Empty):
            raise self.wrong(f"{key!r} is empty", at)
        return text(value) if isinstance(value, bytes) else value

    def mapping(self, group: Any, at: str, depth: int = 0) -> dict[str, Any]:
        """Every dataset of a group by name, groups within it as dicts."""
        if depth > MAX_DEPTH:
            raise self.wrong("groups nested too deeply, or in a circle", at, allowed=f"{MAX_DEPTH} levels")
        found: dict[str, Any] = {}
        for key in group:
            member = self.member(group, key, at)
            if self.is_dataset(group, key, at):
                found[key] = self.value(group, key, at)
            else:
                found[key] = self.mapping(member, at, depth + 1)
        return found


def text(value: Any) -> str:
    """Stored text as str."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
