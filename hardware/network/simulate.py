"""`simulate_network`: check the input, cut the samples into batches, run them on threads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from filopodia.errors import InputError
from filopodia.hardware.activity import Activity
from filopodia.hardware.network.network import Network
from filopodia.hardware.network.operations import Operations, Port, operations, records
from filopodia.hardware.network.records import Records, wanted
from filopodia.hardware.network.table import BLOCK
from filopodia.hardware.simulator.inputs import check_lengths, check_shape, named
from filopodia.hardware.simulator.settings import checked_record
from filopodia.hardware.simulator.workers import processors, spread

Progress = Callable[[str, int, int], None]

BATCH_BYTES = 2**21  # of what goes into and comes out of the samples that the kernel is handed together


def simulate_network(
    network: Network,
    spikes: ArrayLike | Mapping[str, ArrayLike],
    *,
    record: Collection[str] = ("spikes",),
    dtype: Any = np.float32,
    threads: int | None = None,
    memory: int = 2**30,
    progress: Progress | None = None,
) -> Activity:
    """Run `network` on `spikes` [T, N, *input shape] (or one such array per input, by name) from rest, in float32 or float64.

    It computes what `reference` says, bit for bit, whatever the number of samples, batches and threads.

    `record`: "spikes" keeps every spiking node's output [T, N, *shape] bool, "u" and "v" the synaptic current and the voltage
    after the step (in `states`). Outputs are always kept, under their own names: bool when all that leads to them spikes,
    else floats of `dtype`, and in `rates` their sum over time (int32, or floats).
    Samples run in batches, `threads` of them at a time (default: one per processor that the process may use), within `memory`
    bytes including the result, the network's own tables aside. `progress` is called with ("simulate", samples done, samples in
    all). `InputError` for inputs of a wrong name, shape or length, values that are not finite, or too little memory.
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise InputError(f"dtype {dtype}", where="simulate", allowed="float32 or float64")
    record = checked_record(record)
    entering = checked(network, spikes, dtype)
    steps, samples = (int(n) for n in next(iter(entering.values())).shape[:2])
    keep = wanted(network, record)
    made = operations(network, dtype, frozenset(name for name, values in entering.items() if values.dtype == np.bool_))
    table, ports = records(made, keep)
    room, each = _room_bytes(made), _sample_bytes((*made.entering, *ports), steps, dtype.itemsize)
    kept = Records(network, keep, steps, samples, dtype, memory, room + each)
    free = memory - kept.bytes
    workers = min(threads or processors(), samples, free // (room + each))
    width = max(1, min(-(-samples // workers), BATCH_BYTES // each, (free // workers - room) // each))

    def run_batch(start: int) -> int:
        stop = min(start + width, samples)
        found = _run(made, {name: values[:, start:stop] for name, values in entering.items()}, table, ports)
        for port in ports:
            array = kept.of[port.group, port.name].reshape(steps, samples, port.size)
            array[:, start:stop] = found[port.binary][:, :, port.at : port.at + port.size]
        return stop - start

    done = 0
    for count in spread("tiles", workers - 1, run_batch, range(0, samples, width)):
        done += count
        if progress is not None:
            progress("simulate", done, samples)
    return kept.activity(dtype.name, record)


def _run(
    made: Operations, entering: Mapping[str, NDArray[Any]], table: NDArray[Any], ports: Collection[Port]
) -> dict[bool, NDArray[Any]]:
    """Run one batch on `entering` [T, batch, *shape]; what is recorded [T, batch, values], booleans (True) and floats."""
    from filopodia.hardware.network.stepping import run

    steps, samples = next(iter(entering.values())).shape[:2]
    dtype = made.start.dtype
    given, found = (
        {binary: np.empty((steps, samples, _values(of, binary)), np.bool_ if binary else dtype) for binary in (True, False)}
        for of in (made.entering, ports)
    )
    for port in made.entering:
        given[port.binary][:, :, port.at : port.at + port.size] = entering[port.name].reshape(steps, samples, port.size)
    sent = int(made.slots[-1])
    run(
        *(made.table, table, made.slots, made.sources, made.numbers, made.wholes, made.offsets, made.weights, made.start),
        *(given[True].view(np.uint8), given[False], found[True].view(np.uint8), found[False]),
        tuple(np.empty(length, dtype) for length in (sent, made.start.size, made.currents, made.past, BLOCK)),
        np.empty(made.sums),
        np.empty(sent, np.int32),
        np.empty(BLOCK, np.uint8),
        (np.empty(made.events, np.int32), np.empty(made.events, np.int32)),
    )
    return found


def _values(ports: Collection[Port], binary: bool) -> int:
    return sum(port.size for port in ports if port.binary == binary)


def _room_bytes(made: Operations) -> int:
    """What the kernel needs for one thread: values, states, lists and sums of one sample."""
    sent = int(made.slots[-1])
    floats = sent + made.start.size + made.currents + made.past + BLOCK
    return made.start.itemsize * floats + 8 * made.sums + 4 * (sent + 2 * made.events) + BLOCK


def _sample_bytes(ports: Collection[Port], steps: int, itemsize: int) -> int:
    """What goes into and comes out of the kernel for each sample."""
    return max(1, steps * (_values(ports, True) + itemsize * _values(ports, False)))


def checked(network: Network, spikes: Any, dtype: Any = np.float32) -> dict[str, NDArray[Any]]:
    """One checked array [T, N, *shape] per input, all of whose values are numbers of `dtype`."""
    arrays = named(network.inputs, spikes)
    largest = np.finfo(dtype).max
    for name, array in arrays.items():
        where = f"spikes for input {name}"
        if array.dtype.kind not in "biuf":
            raise InputError(f"type {array.dtype}", where=where, allowed="numbers")
        check_shape(name, network.shapes[name], array)
        if array.dtype.kind == "f":
            if not np.isfinite(array).all():
                raise InputError("values that are not finite", where=where, allowed="finite numbers")
            if np.abs(array).max() > largest:
                found, name_of = np.abs(array).max(), np.dtype(dtype).name
                raise InputError(f"values up to {found}", where=where, allowed=f"{name_of}: {-largest} to {largest}")
    check_lengths(arrays)
    return arrays
