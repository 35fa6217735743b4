"""Whether real Lava can run here."""

from __future__ import annotations

import pytest

from filopodia.errors import LavaError
from filopodia.hardware.lava.python import find_python


@pytest.fixture(scope="session")
def lava() -> str:
    """The Python that Lava runs on; skips, with the reason, where there is none."""
    try:
        found = find_python()
    except LavaError as error:
        pytest.skip(str(error))
    if found is None:
        pytest.skip("no CPython 3.10 was found for Lava 0.10.0 (filopodia doctor says where it looks)")
    return str(found.path)
