"""The energy side of a report, from estimate.json: contestants, causes, constants, and the verdict in one sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from filopodia.report.costs import Amount, Cause, Constant, Contestant, Lever, Rival, Spread, Swing
from filopodia.report.data import Accuracy
from filopodia.report.wording import count, figures, percent, ratio, si

Standing = Literal["wins", "loses", "undecided"]
Group = Literal["chip", "prices", "artificial"]
LEVEL = 0.05  # energies within 5 % are told as equal
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
    return Contestant(
        name=ann_name(ann),
        platform=f"{count(ann['macs'])} MACs",
        energy=amount(ann["energy"]),
        dynamic=amount(ann["energy"]),
        static=None,
        latency=None,
        accuracy=ann["accuracy"],
        scope="per operation",
        group="artificial",
        assumptions=tuple(ann["assumptions"]),
    )


def ann_name(ann: Mapping[str, Any]) -> str:
    """ "ANN, fp32", "Pruned ANN, int8"; a QNN says its own bits."""
    name = ann["name"][0].upper() + ann["name"][1:]
    return name if "bit" in name else f"{name}, {ann['costs'].partition('/')[2]}"


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


def place(estimate: Mapping[str, Any], chip: str) -> str:
    """ "on Loihi 2", or whose prices they are when those are another chip's. `chip` is the program's chip for people."""
    own = estimate["pruned"]
    return f"on {chip}" if own["costs"].partition("/")[0] == own["chip"] else f"priced as {own['title']}"


def named(unpriced: Iterable[str]) -> list[str]:
    """What has no price, without how often it happened."""
    return [re.sub(r" \([\d.e+]+ per sample\)$", "", one) for one in unpriced]


def verdict(rows: tuple[Contestant, ...], where: str) -> tuple[str, Standing]:
    """What it comes to against the dense twin and the int8 ANN of the same shape, in one sentence that is honest when the
    network loses; and the standing, the worse of the two comparisons. Totals are compared: what is powered is paid for.

    `where` as `place` says it. A network of whose events some have no price cannot win.
    """
    own, dense = rows[0], rows[1]
    missing = [one for one in named(own.unpriced) if not one.startswith("static")]
    where = where[0].upper() + where[1:]
    if own.energy.nominal <= 0:
        return f"{where}, nothing that it does has a price: there is no verdict.", "undecided"
    name = "its dense twin" if dense.name == TWIN else "the same spikes over unpruned weights"
    words, standing = against(own, dense, name)
    sentence = f"{where}, one sample costs {si(own.energy.nominal, 'J')}: {words}"
    ann = next((row for row in rows if row.name == "ANN, int8"), None)
    if ann is not None:
        ann_words, ann_standing = against(own, ann, "an int8 ANN of the same shape on 45 nm logic")
        less = [own.energy.nominal <= other.energy.nominal for other in (dense, ann)]
        ranks: tuple[Standing, ...] = ("loses", "undecided", "wins")
        sentence += f", {'and' if less[0] == less[1] else 'but'} {ann_words}"
        standing = min((standing, ann_standing), key=ranks.index)
    if not missing:
        return f"{sentence}.", standing
    return f"{sentence}. Not in it, for want of a price: {', '.join(missing)}.", "undecided" if standing == "wins" else standing


def remark(estimate: Mapping[str, Any]) -> str:
    """What the verdict's sentence leaves out: the same comparison without static energy, and on the ANN's own logic."""
    on_chip, alike = judged(estimate["verdicts"]), judged(estimate["like_for_like_verdicts"])
    said = (
        ["The ANN's price is arithmetic and memory alone, with no static energy in it."] if estimate["pruned"]["static"] else []
    )
    accuracy = next((one["accuracy"] for one in estimate["anns"] if on_chip and is_of(on_chip, one)), None)
    if accuracy is not None:
        said.insert(0, f"The int8 ANN answers {percent(accuracy, 2)} rightly.")
    if on_chip and on_chip["ratio"]["nominal"] > 0:
        said.append(f"Dynamic energy against dynamic energy, the chip takes {times(on_chip['ratio'])} the int8 ANN's.")
    if alike:
        said.append(f"On the ANN's own 45 nm logic, this network would take {times(alike['ratio'])}.")
    return " ".join(said)


def judged(verdicts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The verdict against the int8 ANN."""
    return next((one for one in verdicts if one["baseline"] == "ANN" and one["baseline_costs"] == "cmos45/int8"), None)


def is_of(verdict: Mapping[str, Any], ann: Mapping[str, Any]) -> bool:
    """Whether a verdict is on this baseline."""
    return (verdict["baseline"], verdict["baseline_costs"]) == (ann["name"], ann["costs"])


def rivals(estimate: Mapping[str, Any]) -> tuple[Rival, ...]:
    """The networks without spikes, each with how this one compares with it in dynamic energy."""
    pairs = [(ann, one) for ann in estimate["anns"] for one in estimate["verdicts"] if is_of(one, ann)]
    return tuple(
        Rival(
            name=ann_name(ann),
            accuracy=ann["accuracy"],
            energy=amount(ann["energy"]),
            ratio=amount(one["ratio"]),
            answer=one["answer"],
        )
        for ann, one in pairs
    )


SPREADS = (("SynOps", "synop_spread", ""), ("Dynamic energy", "dynamic_spread", "J"), ("Latency", "latency_spread", "s"))


def spreads(own: Mapping[str, Any]) -> tuple[Spread, ...]:
    """What differs from sample to sample, at nominal prices."""
    found = [(name, unit, own[key]) for name, key, unit in SPREADS if own[key]]
    return tuple(
        Spread(name=name, unit=unit, **{field: value[field] for field in Spread.__struct_fields__ if field in value})
        for name, unit, value in found
    )


def times(range: Mapping[str, float]) -> str:
    """ "0.56× (0.1×–5×)"."""
    return f"{ratio(range['nominal'])} ({ratio(range['low'])}–{ratio(range['high'])})"


def levers(estimate: Mapping[str, Any]) -> tuple[Lever, ...]:
    """What would make the dynamic energies of this network on its chip and of the int8 ANN equal, one thing at a time."""
    found = judged(estimate["verdicts"])
    if found is None or found["ratio"]["nominal"] == 0:
        return ()
    rate, steps, sparsity = found["break_even_rate"], found["steps_to_win"], found["sparsity_to_win"]
    rows = [
        Lever(
            name="Spikes per neuron and step",
            now=figures(found["rate"]),
            needed=f"{figures(rate)} or fewer" if rate is not None else "none would do: the neuron updates alone cost more",
            reachable=rate is not None,
        ),
        Lever(
            name="Steps per sample",
            now=str(found["steps"]),
            needed=f"{steps} or fewer" if steps is not None else "none would do: a single step costs more",
            reachable=steps is not None,
        ),
        Lever(
            name="Synapse sparsity",
            now=percent(found["sparsity"]),
            needed=f"{percent(sparsity)} or more" if sparsity is not None else "none would do: the rest alone costs more",
            reachable=sparsity is not None,
        ),
    ]
    turning = [f"{swing['term'].replace('_', ' ')} ({swing['table']})" for swing in found["swings"] if swing["turns"]]
    rows.append(
        Lever(
            name="A single price",
            now="nominal",
            needed=f"within its range: {', '.join(turning)}" if turning else "none turns it within its range",
            reachable=bool(turning),
        )
    )
    return tuple(rows)


def swings(estimate: Mapping[str, Any]) -> tuple[Swing, ...]:
    """How far single prices move the ratio to the int8 ANN, the widest first."""
    found = judged(estimate["verdicts"])
    rows = found["swings"][:6] if found else []
    return tuple(
        Swing(
            name=row["term"][0].upper() + row["term"][1:].replace("_", " "),
            table=row["table"],
            low=row["at_low"],
            high=row["at_high"],
            turns=row["turns"],
        )
        for row in rows
    )


def against(own: Contestant, other: Contestant, name: str) -> tuple[str, Standing]:
    """How `own` compares: a factor of the nominal values, and whether the ranges keep clear of each other."""
    if other.energy.nominal <= 0:
        return f"not to be compared with {name}", "undecided"
    factor = other.energy.nominal / own.energy.nominal
    words = f"{ratio(factor)} less than {name}" if factor >= 1 else f"{ratio(1 / factor)} more than {name}"
    words = f"about as much as {name}" if abs(math.log(factor)) < LEVEL else words
    if own.energy.high < other.energy.low:
        return words, "wins"
    if own.energy.low > other.energy.high:
        return words, "loses"
    return f"{words} (the ranges overlap)", "undecided"
