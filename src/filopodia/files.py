"""Writing a file whole or not at all. Like `errors`, it imports nothing of the rest, so that every folder can use it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filopodia.errors import FileError


@contextmanager
def written_whole(path: str | Path, *failures: type[Exception]) -> Iterator[Path]:
    """A path beside `path` to write to, renamed to `path` on success and removed on failure: never half a file.

    Raises FileError where it cannot be written (a full disk, a folder without permission): for OSError and for `failures`, what
    else the writer raises then. The temporary name keeps the suffix, since numpy and nir choose the format by it.
    """
    path = Path(path)
    caught: tuple[type[Exception], ...] = (OSError, *failures)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    except caught as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        fix = "make room, or give another place; what was written before is whole"
        raise FileError(f"cannot be written ({reason})", where=str(path), fix=fix) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
