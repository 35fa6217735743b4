"""The five questions a reader has at a glance, each answered in a line or two: cost, certainty, rivals, causes, levers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from filopodia.report.contest import amount, named, place
from filopodia.report.costs import Cause, Contestant, Judgement, Lever, Pace
from filopodia.report.data import Answer
from filopodia.report.wording import percent, scientific, si, si_range

GRADES = ("measured", "calibrated", "simulated", "projected")  # the strongest evidence first
WORTH_NAMING = 0.005  # a share of the energy below this goes without its name


def glance(
    estimate: Mapping[str, Any], own: Contestant, chip: str, causes: Sequence[Cause], levers: Sequence[Lever], remark: str
) -> tuple[Answer, ...]:
    """The answers, in the order a reader asks. `estimate` is the content of estimate.json, the rest what was made of it."""
    rows = (
        ("What it costs", cost(estimate, own, chip)),
        ("How sure that is", certainty(estimate["pruned"])),
        ("Against what", rivals(estimate, remark)),
        ("Where it goes", places(own, causes)),
        ("What would change it", changes(levers)),
    )
    return tuple(Answer(question=question, answer=answer) for question, answer in rows if answer)


def cost(estimate: Mapping[str, Any], own: Contestant, chip: str) -> str:
    """Energy, time and their product per sample; "" where nothing has a price, which the verdict says."""
    if own.energy.nominal <= 0:
        return ""
    said = f"{si(own.energy.nominal, 'J')} ({si_range(own.energy, 'J')}) per sample {place(estimate, chip)}"
    if own.latency:
        said += f"; {si(own.latency.nominal, 's')} ({si_range(own.latency, 's')}) from its first step to its last"
    if product := estimate["pruned"]["edp"]:
        said += f"; energy × time {scientific(product['nominal'])} J·s"
    return f"{said}."


def certainty(own: Mapping[str, Any]) -> str:
    """What kind of evidence the prices have, weighted by the energy they stand for, and what has no price."""
    shares = [f"{percent(own['evidence'][grade], 0)} {grade}" for grade in GRADES if own["evidence"].get(grade, 0) > 0]
    said = [f"Counts are exact. Prices behind the dynamic energy: {', '.join(shares)}." if shares else "Counts are exact."]
    graded = {"power": weakest(own, "power", "static"), "time": weakest(own, "time", "")}
    if own["static"] and graded["power"]:
        over = f" over a {graded['time']} time" if graded["time"] and not own["timing"]["paced"] else ""
        said.append(f"Static energy: {graded['power']} power{over}.")
    if own["static"]:
        said.append("The host that feeds the chip is not in the total.")
    if missing := named((*own["unpriced"], *own["uncounted"])):
        said.append(f"Not in the total: {', '.join(missing)}.")
    return " ".join(said)


def weakest(own: Mapping[str, Any], section: str, term: str) -> str:
    """The weakest evidence among the constants of a section whose term begins so; "" for none."""
    found = [
        constant["price"]["evidence"]
        for constant in own["constants"]
        if constant["section"] == section and constant["term"].startswith(term)
    ]
    return max(found, key=GRADES.index, default="")


def rivals(estimate: Mapping[str, Any], remark: str) -> str:
    """Against every non-spiking network, dynamic energy with dynamic energy; then what the comparison leaves out."""
    tally = {"wins": 0, "loses": 0, "open": 0}
    judged = [one for one in estimate["verdicts"] if one["ratio"]["nominal"] > 0]
    for one in judged:
        tally[one["answer"]] += 1
    if not judged:
        return remark
    words = {"wins": "take more", "loses": "take less", "open": "may take more or less"}
    said = ", ".join(f"{number} {words[answer]}" for answer, number in tally.items() if number)
    return f"Of {len(judged)} networks of its shape without spikes, in dynamic energy, {said}. {remark}".strip()


def places(own: Contestant, causes: Sequence[Cause]) -> str:
    """The shares of the largest causes in the total."""
    total = own.energy.nominal
    if total <= 0:
        return ""
    priced = [(cause.name, cause.energy.nominal / total) for cause in causes if cause.energy and cause.name[:4] != "Host"]
    named = [(name, share) for name, share in priced if share >= WORTH_NAMING][:4]
    said = ", ".join(f"{name.lower()} {percent(share, 0)}" for name, share in named)
    return f"{said[0].upper()}{said[1:]}." if said else ""


def changes(levers: Sequence[Lever]) -> str:
    """What would make it equal to the int8 ANN."""
    able = [f"{one.name[0].lower()}{one.name[1:]} {one.needed} (now {one.now})" for one in levers if one.reachable]
    if not levers:
        return ""
    if not able:
        none = "not fewer spikes, steps or synapses, nor any one price within its range"
        return f"Nothing alone would bring it level with the int8 ANN in dynamic energy: {none}."
    return f"Level with the int8 ANN in dynamic energy: {'; or '.join(able)}."


def pace(own: Mapping[str, Any]) -> Pace | None:
    """How fast the chip steps, and which core holds it up; None where the table has no time prices."""
    timing = own["timing"]
    if timing is None:
        return None
    return Pace(
        step=amount(timing["step"]),
        period=amount(timing["period"]),
        throughput=timing["throughput"],
        bottleneck=timing["bottleneck"],
        share=timing["bottleneck_share"],
        imbalance=timing["imbalance"],
        paced=timing["paced"],
    )


def judgements(estimate: Mapping[str, Any]) -> tuple[Judgement, ...]:
    """Every verdict with its sentences: on the chip first, then on the ANNs' own logic."""
    return tuple(
        Judgement(
            baseline=one["baseline"],
            table=one["baseline_costs"],
            costs=one["costs"],
            answer=one["answer"],
            ratio=amount(one["ratio"]),
            sentences=tuple(one["sentences"]),
        )
        for one in (*estimate["verdicts"], *estimate["like_for_like_verdicts"])
    )
