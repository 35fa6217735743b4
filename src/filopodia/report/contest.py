"""The energy side of a report, from estimate.json: contestants, causes, constants, and the verdict in one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from filopodia.report.data import Accuracy, Amount, Cause, Constant, Contestant
from filopodia.report.wording import count, ratio, si

Standing = Literal["wins", "loses", "undecided"]
Group = Literal["chip", "prices", "artificial"]
OWN, TWIN, UNPRUNED = "This network", "Dense twin", "Unpruned, same spikes"


def contestants(estimate: Mapping[str, Any], own: Accuracy | None, twin: Accuracy | None) -> tuple[Contestant, ...]:
    """Everything the network is compared with, itself first. `estimate` is the content of estimate.json."""
    accuracy = own.value if own else None
    rows = [spiking(OWN, estimate["pruned"], accuracy, own=True)]
    if estimate["twin"]:
        rows.append(spiking(TWIN, estimate["twin"], twin.value if twin else None))
    else:
        rows.append(spiking(UNPRUNED, estimate["unpruned"], None))
    rows += [spiking(OWN, other, accuracy, group="prices") for other in estimate["others"]]
    rows.append(spiking(OWN, estimate["like_for_like"], accuracy, group="artificial"))
    return (*rows, *(artificial(ann) for ann in estimate["anns"]))


def spiking(
    name: str, estimate: Mapping[str, Any], accuracy: float | None, *, group: Group = "chip", own: bool = False
) -> Contestant:
    """A spiking network priced with one cost table."""
    timing = estimate["timing"]
    return Contestant(
        name=name,
        platform=estimate["title"],
        energy=amount(estimate["total"]),
        dynamic=amount(estimate["dynamic"]),
        static=amount(estimate["static"]) if estimate["static"] else None,
        latency=amount(timing["latency"]) if timing else None,
        accuracy=accuracy,
        scope="all-in" if estimate["all_in"] else "per operation",
        group=group,
        assumptions=(*filter(None, (estimate["conditions"],)), *estimate["assumptions"]),
        unpriced=(*estimate["unpriced"], *estimate["uncounted"]),
        own=own,
    )


def artificial(ann: Mapping[str, Any]) -> Contestant:
    """The non-spiking network of the same shape, priced with one cost table."""
    name = ann["name"][0].upper() + ann["name"][1:]
    return Contestant(
        name=f"{name}, {ann['costs'].partition('/')[2]}",
        platform=f"{count(ann['macs'])} multiply-accumulates",
        energy=amount(ann["energy"]),
        dynamic=amount(ann["energy"]),
        static=None,
        latency=None,
        accuracy=None,
        scope="per operation",
        group="artificial",
        assumptions=tuple(ann["assumptions"]),
    )


def amount(value: Mapping[str, float]) -> Amount:
    """A range of estimate.json."""
    return Amount(low=value["low"], nominal=value["nominal"], high=value["high"])


def causes(estimate: Mapping[str, Any]) -> tuple[Cause, ...]:
    """Where this network's energy goes, largest first, static power included; what has no price comes last."""
    own = estimate["pruned"]
    rows = [
        Cause(
            name=cause["name"][0].upper() + cause["name"][1:],
            events=f"{count(cause['count'])} per sample",
            energy=amount(cause["energy"]) if cause["energy"] else None,
        )
        for cause in own["by_cause"]
    ]
    if own["static"]:
        period = own["timing"]["period"]["nominal"] if own["timing"] else 0.0
        rows.append(Cause(name="Static power", events=f"over {si(period, 's')} per sample", energy=amount(own["static"])))
    if own["host"]:
        rows.append(Cause(name="Host, not in the total", events="what feeds the chip", energy=amount(own["host"])))
    return tuple(sorted(rows, key=lambda row: -(row.energy.nominal if row.energy else -1.0)))


def constants(estimate: Mapping[str, Any]) -> tuple[Constant, ...]:
    """Every price that entered any of the numbers, once each."""
    rows: dict[tuple[str, str, str], Constant] = {}
    for part in parts(estimate):
        for constant in part["constants"]:
            price = constant["price"]
            key = (part["costs"], constant["section"], constant["term"])
            rows[key] = Constant(
                chip=part["costs"],
                name=f"{constant['section']}: {constant['term'].replace('_', ' ')}",
                low=price["low"],
                nominal=price["nominal"],
                high=price["high"],
                unit=price["unit"],
                evidence=price["evidence"],
                scope=price["scope"].replace("_", " "),
                source="; ".join(filter(None, (price["source"], price["note"]))),
            )
    return tuple(rows.values())


def parts(estimate: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every estimate and baseline in estimate.json."""
    yield estimate["pruned"]
    if estimate["twin"]:
        yield estimate["twin"]
    yield from estimate["others"]
    yield estimate["like_for_like"]
    yield from estimate["anns"]


def verdict(rows: tuple[Contestant, ...], chip: str) -> tuple[str, str, Standing]:
    """What it comes to against the dense twin and the int8 ANN of the same shape, honest when the network loses.

    The sentence, a remark on how alike the two prices are, and the standing: the worse of the two comparisons.
    """
    own, dense = rows[0], rows[1]
    name = "its dense twin" if dense.name == TWIN else "the same spikes over unpruned weights"
    words, standing = against(own, dense, name)
    sentence = f"On {chip}, one sample costs {si(own.energy.nominal, 'J')}: {words}"
    ann = next((row for row in rows if row.name == "ANN, int8"), None)
    if ann is None:
        return f"{sentence}.", "", standing
    ann_words, ann_standing = against(own, ann, "an int8 ANN of the same shape on 45 nm logic")
    joint = "and" if (standing == "loses") == (ann_standing == "loses") else "but"
    alike = next((row for row in rows if row.name == OWN and row.group == "artificial"), None)
    remark = "The ANN's price is arithmetic and memory alone; the chip's has " + (
        "static power in it." if own.static else "no static power in it either."
    )
    if alike is not None:
        alike_words, _ = against(alike, ann, "the ANN")
        remark += f" Priced on the same 45 nm logic, this network takes {alike_words}."
    ranks: tuple[Standing, ...] = ("loses", "undecided", "wins")
    return f"{sentence}, {joint} {ann_words}.", remark, min((standing, ann_standing), key=ranks.index)


def against(own: Contestant, other: Contestant, name: str) -> tuple[str, Standing]:
    """How `own` compares: a factor of the nominal values, and whether the ranges keep clear of each other."""
    if own.energy.nominal <= 0 or other.energy.nominal <= 0:
        return f"not to be compared with {name}", "undecided"
    factor = other.energy.nominal / own.energy.nominal
    words = f"{ratio(factor)} less than {name}" if factor >= 1 else f"{ratio(1 / factor)} more than {name}"
    if own.energy.high < other.energy.low:
        return words, "wins"
    if own.energy.low > other.energy.high:
        return words, "loses"
    return f"{words} (the ranges overlap)", "undecided"
