"""Numbers that a caller hands in, checked: what is no number, or out of range, is an InputError that says what is allowed.

Like `errors`, this module imports nothing of the rest, so that every folder can check with it.
"""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

from filopodia.errors import InputError


def whole(value: Any, where: str, *, least: int = 1, allowed: str = "", fix: str = "") -> int:
    """`value` as an int, of any integer type, at least `least`; truth values and floats are none."""
    try:
        found = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < least:
        raise InputError(f"found {value!r}", where=where, allowed=allowed or f"a whole number of at least {least}", fix=fix)
    return found


def number(value: Any, where: str, *, above: float = -math.inf, below: float = math.inf, allowed: str = "") -> float:
    """`value` as a float strictly between `above` and `below`; NaN, truth values and text are none."""
    if not isinstance(value, Real) or isinstance(value, bool) or not above < float(value) < below:
        raise InputError(f"found {value!r}", where=where, allowed=allowed or f"more than {above:g} and less than {below:g}")
    return float(value)


def share(value: Any, where: str) -> float:
    """`value` as a float in (0, 1)."""
    return number(value, where, above=0.0, below=1.0)


def not_negative(value: Any, where: str) -> float:
    """`value` as a finite float of 0 or more."""
    return number(value, where, above=-math.ulp(0.0), allowed="a number, 0 or more")
