"""The chain of proofs to verify.json: torch, float NIR, integers and Lava on the same samples, layer by layer, step by step."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from filopodia.config import Config
from filopodia.errors import FileError
from filopodia.golden import Golden, first_samples, load_golden
from filopodia.report.data import Accuracy, LayerMatch, Link
from filopodia.report.wording import count, percent
from filopodia.run import RunFolder, write_text
from filopodia.stage import Progress, Stage, holds
from filopodia.stages.answers import correct
from filopodia.stages.lava import LAVA

if TYPE_CHECKING:
    from filopodia.hardware.activity import Activity
    from filopodia.hardware.program import Program
    from filopodia.hardware.verify import Comparison


class Proofs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """verify.json: the links of the chain, and how many samples each run answered rightly."""

    format: str = "filopodia verification"
    version: int = 1
    links: tuple[Link, ...]
    accuracies: tuple[Accuracy, ...]


def verify(folder: RunFolder, config: Config, progress: Progress | None) -> str:
    from filopodia import hardware

    golden = load_golden(folder.require("golden.npz"), config.simulate.samples)
    program = hardware.load_program(folder.require("program.npz"))
    network = hardware.load(folder.require("model.nir"))
    runs: list[tuple[str, Activity, bool]] = []  # name, run, whether it must equal the one before it
    if golden.torch is not None:
        runs.append(("torch", golden.torch, True))
    # Neurons that were trained in fixed point are integers in NIR already: nothing is left to be rounded.
    fixed = bool(network.fixed_point)
    name = "NIR, fixed point" if fixed else "NIR, float32"
    runs.append((name, hardware.simulate(network, golden.spikes, progress=progress), True))
    runs.append(("integers", hardware.load_activity(folder.require("activity.npz")), fixed))
    if holds(LAVA, folder):
        real = hardware.load_activity(folder / "lava.npz")
        runs.append((real.backend[0].upper() + real.backend[1:], real, True))
    proofs = Proofs(
        links=tuple(link(before, after) for before, after in pairwise(runs)),
        accuracies=tuple(a for name, run, _ in runs if (a := accuracy(name, run, program, golden)) is not None),
    )
    write_text(folder / "verify.json", msgspec.json.format(msgspec.json.encode(proofs), indent=1).decode())
    return "; ".join(in_words(one) for one in proofs.links)


def link(before: tuple[str, Activity, bool], after: tuple[str, Activity, bool]) -> Link:
    """Two runs compared on the samples that both have."""
    from filopodia.hardware.verify import compare

    samples = min(before[1].samples, after[1].samples)
    comparison = compare(first_samples(before[1], samples), first_samples(after[1], samples))
    return Link(before=before[0], after=after[0], exact=after[2], samples=samples, layers=matches(comparison))


def matches(comparison: Comparison) -> tuple[LayerMatch, ...]:
    """The comparison of two runs as the report holds it."""
    out = []
    for layer in comparison.layers:
        first = ""
        if layer.first is not None:
            at = layer.first
            neuron = ", ".join(map(str, at.neuron))
            first = f"sample {at.sample}, step {at.step}, neuron ({neuron}): {at.found} instead of {at.expected}"
        spikes = round(layer.expected_rate * layer.compared)
        out.append(
            LayerMatch(
                layer=layer.layer,
                compared=layer.compared,
                differing=layer.mismatches,
                spikes=spikes,
                either=layer.either,
                first=first,
            )
        )
    return tuple(out)


def accuracy(name: str, run: Activity, program: Program, golden: Golden) -> Accuracy | None:
    """Right answers of a run; None where labels or readout are not known."""
    right = correct(program, run, golden)
    return None if right is None else Accuracy(by=name, correct=right, samples=run.samples)


def in_words(link: Link) -> str:
    """One link in a few words."""
    sign = "=" if link.differing == 0 else "≠" if link.exact else "≈"
    much = f"{count(link.spikes)} spikes" if link.differing == 0 else f"{percent(link.share, 2)} of the spikes differ"
    return f"{link.before} {sign} {link.after} ({much})"


def load_proofs(folder: RunFolder) -> Proofs:
    """Read verify.json. Raises FileError when it is missing or not one."""
    path = folder.require("verify.json")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Proofs)
    except msgspec.MsgspecError as error:
        raise FileError(f"not a verification ({error})", where=str(path), fix=f"`filopodia verify {folder.path}`") from None


VERIFY = Stage(
    "verify",
    reads=("model.nir", "golden.npz", "program.npz", "activity.npz"),
    uses=("lava.npz",),
    writes=("verify.json",),
    settings=lambda config: {"samples": config.simulate.samples},
    work=verify,
)
