"""`simulate`: run a program (integers) or a network (float32) on this computer, and say exactly what happened."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Literal, get_args

from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.network.network import Network
from filopodia.hardware.program import Program
from filopodia.hardware.simulator.inputs import messages
from filopodia.hardware.simulator.settings import check_progress, checked_memory, checked_record, checked_threads

Progress = Callable[[str, int, int], None]

Arithmetic = Literal["lava", "loihi"]

ARITHMETICS = get_args(Arithmetic)


def simulate(
    source: Program | Network,
    spikes: Any,
    *,
    record: Collection[str] = ("spikes",),
    arithmetic: Arithmetic = "lava",
    threads: int | None = None,
    memory: int = 2**30,
    progress: Progress | None = None,
) -> Activity:
    """Run `source` on `spikes` [T, N, *input_shape] (or a mapping from input name to such arrays).

    A `Program` runs in int32, bit-exact with Lava's `fixed_pt` models; binary inputs take 0 and 1 in any numeric type,
    graded ones whole numbers of up to `message_bits` bits. A `Network` runs in float32. All samples start from rest.
    `arithmetic="loihi"` computes what the silicon would where Lava's models differ from it (`hardware.simulator.silicon`).
    `record` names what to keep of every layer and step: "spikes", "u", "v"; rates of the outputs and the counts of a program
    are always there. `threads` defaults to the processors this process may use. `memory` bounds, in bytes, what the call
    allocates, the recorded result included. `progress` is called with ("simulate", samples done, samples in all).

    A program's arrays are read-only from its first simulation on: to change a weight, build another program.

    Raises InputError, before any work, for input of the wrong shape, type or range, NaN, T = 0 or N = 0, for a program
    whose arrays do not fit, for settings of another type or range, and for a memory bound that cannot hold the result and one
    sample. In Loihi's arithmetic, raises ChipLimitError for numbers that the chip's fields cannot hold.
    """
    kept, threads, memory = checked_record(record), checked_threads(threads), checked_memory(memory)
    check_progress(progress)
    if arithmetic not in ARITHMETICS:
        raise InputError(f"arithmetic {arithmetic!r}", where="simulate", allowed=" or ".join(ARITHMETICS))
    if isinstance(source, Network):
        if arithmetic != "lava":
            raise InputError(f"arithmetic {arithmetic!r} for a network in floats", where="simulate", fix="compile it first")
        from filopodia.hardware.network import simulate_network

        return simulate_network(source, spikes, record=kept, threads=threads, memory=memory, progress=progress)
    if not isinstance(source, Program):
        raise InputError(
            f"a {type(source).__name__}",
            where="simulate",
            allowed="a Program or a Network",
            fix="hardware.load reads NIR files",
        )
    from filopodia.hardware.simulator import run
    from filopodia.hardware.simulator.prepared import prepare

    given = messages(source.inputs, spikes)
    if arithmetic == "loihi":
        from filopodia.hardware.simulator.on_silicon import run_on_silicon

        return run_on_silicon(source, given, kept, threads, memory, progress)
    return run.run(prepare(source), given, kept, threads, memory, progress)
