"""Numbers as a reader wants them: SI prefixes, per cent, thin-spaced thousands, ranges. Used by the page and the tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from filopodia.report.costs import Amount

THIN = "\u202f"
PREFIXES = ((1e0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f"))


@dataclass(frozen=True)
class Over:
    """A quantity over seeds: mean and sample standard deviation, None of a single value."""

    mean: float
    sd: float | None


def si(value: float, unit: str, digits: int = 3) -> str:
    """A quantity with the prefix that keeps its number between 1 and 1000: 1.23e-6 J is "1.23 µJ"."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}{THIN}{unit}"
    scale, prefix = next(((s, p) for s, p in PREFIXES if abs(value) >= s * 0.9995), PREFIXES[-1])
    return f"{figures(value / scale, digits)}{THIN}{prefix}{unit}"


def figures(value: float, digits: int = 3) -> str:
    """`digits` significant figures, never in exponent form, with no zeros beyond them."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{digits - 1}e}")  # 999.9 becomes 1000 before its places are counted
    places = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{value:,.{places}f}".replace(",", THIN)


def si_range(amount: Amount, unit: str) -> str:
    """ "0.8–1.9 µJ": both ends under the prefix of the nominal value."""
    if amount.low == amount.high:
        return "no range known"
    reference = amount.nominal or amount.high
    scale, prefix = next(((s, p) for s, p in PREFIXES if abs(reference) >= s * 0.9995), PREFIXES[-1])
    return f"{figures(amount.low / scale, 2)}–{figures(amount.high / scale, 2)}{THIN}{prefix}{unit}"


def over(values: Sequence[float]) -> Over:
    """Mean and deviation over seeds."""
    return Over(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None)


def deviating(value: Over, unit: str = "") -> str:
    """ "31.9 ± 0.6 µJ": three figures of the mean, the deviation to the same place; under a prefix where there is a unit."""
    scale, prefix = next(((s, p) for s, p in PREFIXES if value.mean >= s * 0.9995), PREFIXES[-1]) if unit else (1.0, "")
    shown = figures(value.mean / scale)
    places = len(shown.partition(".")[2])
    several = "" if value.sd is None else f" ± {value.sd / scale:,.{places}f}".replace(",", THIN)
    return shown + several + (f"{THIN}{prefix}{unit}" if unit else "")


def percent(fraction: float, digits: int = 1) -> str:
    """0.98123 is "98.1 %"; never rounded up to 100 or down to 0 when it is not."""
    text = f"{100 * fraction:.{digits}f}"
    if float(text) == 100 and fraction < 1:
        text = f"{100 - 10**-digits:.{digits}f}"
        return f">{THIN}{text}{THIN}%"
    if float(text) == 0 and fraction > 0:
        return f"<{THIN}{10**-digits:.{digits}f}{THIN}%"
    return f"{text}{THIN}%"


def count(value: float) -> str:
    """A whole number with thin spaces; one decimal below 100 when it is a mean."""
    if value != int(value) and abs(value) < 100:
        return f"{value:.1f}"
    return f"{round(value):,}".replace(",", THIN)


def ratio(value: float) -> str:
    """How many times, with two figures: "3.1×"."""
    return f"{figures(value, 2)}×"


def duration(seconds: float) -> str:
    """Seconds, or minutes and seconds."""
    if seconds < 10:
        return f"{seconds:.1f}{THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}{THIN}min {rest}{THIN}s" if minutes else f"{rest}{THIN}s"


def scientific(value: float) -> str:
    """A number without a prefix for its size: "2.98 × 10⁻⁹"."""
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
