"""Runs that differ in nothing but their seed, as one row: mean and standard deviation over the seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from filopodia.config import Config, load_config
from filopodia.report.contrast import Entry
from filopodia.report.wording import figures, si


def over_seeds(entries: Sequence[Entry]) -> list[tuple[Entry, ...]]:
    """Entries whose run folders (their names) hold one configuration but for name and seed, where there are several such."""
    alike: dict[bytes, list[Entry]] = {}
    for one in entries:
        path = Path(one.name).expanduser() / "config.toml"
        if path.is_file():
            alike.setdefault(msgspec.json.encode(without_seed(load_config(path))), []).append(one)
    return [tuple(group) for group in alike.values() if len(group) > 1]


def without_seed(config: Config) -> Config:
    """The configuration that runs over seeds share."""
    train = msgspec.structs.replace(config.train, seed=0)
    return msgspec.structs.replace(config, name="-", train=train)


def cells(group: Sequence[Entry]) -> list[str]:
    """One group's row."""
    known = all(one.accuracy is not None for one in group)
    return [
        f"{group[0].name} and {len(group) - 1} more",
        spread([100 * (one.accuracy or 0.0) for one in group], lambda x: f"{x:.2f}") + " %" if known else "–",
        spread([100 * one.sparsity for one in group], lambda x: f"{x:.1f}") + " %",
        spread([one.synops for one in group], figures),
        spread([one.energy.nominal for one in group], lambda x: si(x, "J")),
    ]


def spread(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """ "98.61 ± 0.24": mean and sample standard deviation."""
    return f"{shown(statistics.mean(values))} ± {shown(statistics.stdev(values))}"
