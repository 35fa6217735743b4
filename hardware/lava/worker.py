# /// script
# requires-python = "==3.10.*"
# dependencies = ["lava-nc==0.10.0", "numpy==1.26.4", "scipy==1.15.3"]
# ///
"""Run jobs on real Lava 0.10.0: a self-contained script for Lava's own Python 3.10, started by `hardware.lava.runner`.

    worker.py FOLDER        FOLDER holds plan.json, arrays.npz and the inputs; the outputs were laid out by the runner

A job is a network of Lava processes and messages for many samples. All samples stream through one Lava run; the window of a
layer starts `latency` steps after that of the input, and its state is reset there. Recorders write each step of a layer to
memory-mapped files in sample time ([samples * steps, size]), because Lava's own `Var.get` moves one number at a time.

The arithmetic is Lava's: `LIFReset`, `Dense`, `Sparse`, `DelaySparse` and `Conv` with their `fixed_pt` models.
The subclasses here add what does not touch it: they record, they remember a matrix that Lava would build anew every step, and
between samples (`gap`) they swallow messages that are still under way, so that no sample sees the one before.

Standard output is the protocol: lines that start with "@" hold one JSON object {"event": ...}; all else is Lava's talk.
"""

import json
import logging
import os
import queue
import secrets
import shutil
import signal
import sys
import threading
import time
import traceback
from multiprocessing import shared_memory
from pathlib import Path
from types import SimpleNamespace

PLAN_VERSION = 1


def name_shared_memory(prefix):
    """Give every shared memory segment our prefix, so that the runner can remove what a killed Lava leaves behind."""
    shared_memory._make_filename = lambda: f"/{prefix}{secrets.token_hex(5)}"


if __name__ == "__main__":
    sys.path.pop(0)  # our own folder, whose file names mean nothing here
    FOLDER = Path(sys.argv[1]).resolve()
    PLAN = json.loads((FOLDER / "plan.json").read_text())
    name_shared_memory(PLAN["shared_memory_prefix"])

import numpy as np  # noqa: E402
from lava.magma.compiler.channels import pypychannel  # noqa: E402
from lava.magma.core.decorator import implements, requires, tag  # noqa: E402
from lava.magma.core.model.py.model import PyLoihiProcessModel  # noqa: E402
from lava.magma.core.model.py.ports import PyOutPort  # noqa: E402
from lava.magma.core.model.py.type import LavaPyType  # noqa: E402
from lava.magma.core.process.process import LogConfig  # noqa: E402
from lava.magma.core.resources import CPU  # noqa: E402
from lava.magma.core.run_conditions import RunSteps  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol  # noqa: E402
from lava.magma.runtime import runtime  # noqa: E402
from lava.magma.runtime.message_infrastructure import multiprocessing as infrastructure  # noqa: E402
from lava.proc.conv.models import PyConvModelFixed  # noqa: E402
from lava.proc.conv.process import Conv  # noqa: E402
from lava.proc.dense.models import PyDenseModelBitAcc  # noqa: E402
from lava.proc.dense.process import Dense  # noqa: E402
from lava.proc.io.source import RingBuffer  # noqa: E402
from lava.proc.lif.models import PyLifResetModelBitAcc  # noqa: E402
from lava.proc.lif.process import LIFReset  # noqa: E402
from lava.proc.sparse.models import PyDelaySparseModelBitAcc, PySparseModelBitAcc  # noqa: E402
from lava.proc.sparse.process import DelaySparse, Sparse  # noqa: E402
from lava.utils import loihi  # noqa: E402
from lava.utils.weightutils import SignMode  # noqa: E402
from scipy.sparse import csr_matrix  # noqa: E402

SIGN_MODES = {"mixed": SignMode.MIXED, "excitatory": SignMode.EXCITATORY, "inhibitory": SignMode.INHIBITORY}


def say(event, **values):
    """One line of protocol."""
    print("@" + json.dumps({"event": event, **values}), flush=True)


class Window:
    """Where a step of Lava lies in sample time, for a node whose samples start `latency` steps late."""

    def __init__(self, job, latency):
        self.steps, self.samples, self.period = job["steps"], job["samples"], job["steps"] + job["gap"]
        self.latency = latency

    def __call__(self, time_step):
        """(row of the recording, inside a sample) at Lava's time step, which counts from 1."""
        sample, step = divmod(time_step - 1 - self.latency, self.period)
        inside = step < self.steps
        recorded = inside and 0 <= sample < self.samples
        return (sample * self.steps + step if recorded else None), inside


@implements(proc=RingBuffer, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class FeedFromFile(PyLoihiProcessModel):
    """Lava's RingBuffer source, reading one row of a file per step; between samples it sends nothing."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    data: np.ndarray = LavaPyType(np.ndarray, np.int32)

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.window, path, dtype, shape = proc_params["feed"]
        self.rows = np.memmap(path, dtype, "r", shape=shape)

    def run_spk(self):
        row, _ = self.window(self.time_step)
        self.s_out.send(self.data[:, 0] if row is None else self.rows[row].astype(np.int32))


@implements(proc=LIFReset, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class RecordedLIFReset(PyLifResetModelBitAcc):
    """Lava's LIFReset, recorded or its spikes summed per sample; between samples it sends nothing and keeps nothing."""

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.window, files, size = proc_params["record"]
        rows = {name: self.window.samples * (1 if name == "rates" else self.window.steps) for name in files}
        self.files = {n: np.memmap(path, dtype, "r+", shape=(rows[n], size)) for n, (path, dtype) in files.items()}
        self.fired = np.zeros(size, bool)

    def spiking_activation(self):
        self.fired = super().spiking_activation()
        return self.fired

    def run_spk(self):
        row, inside = self.window(self.time_step)
        if not inside:
            self.a_in.recv()
            self.u[:] = 0
            self.v[:] = 0
            self.s_out.send(np.zeros(self.u.shape, np.int32))
            return
        super().run_spk()
        if row is not None:
            for name, file in self.files.items():
                if name == "rates":
                    file[row // self.window.steps] += self.fired
                else:
                    file[row] = self.fired if name == "spikes" else getattr(self, name)


class RememberingDelaySparse(PyDelaySparseModelBitAcc):
    """Lava's DelaySparse; its matrix of delayed weights, which never changes, is built once instead of every step."""

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.delayed = None

    def get_delay_wgts_mat(self, weights, delays, max_delay):
        if self.delayed is None:
            self.delayed = PyDelaySparseModelBitAcc.get_delay_wgts_mat(weights, delays, max_delay)
        return self.delayed


MODELS = {
    RingBuffer: FeedFromFile,
    LIFReset: RecordedLIFReset,
    Dense: PyDenseModelBitAcc,
    Sparse: PySparseModelBitAcc,
    DelaySparse: RememberingDelaySparse,
    Conv: PyConvModelFixed,
}


def build_layer(job, layer, arrays, log):
    period = job["steps"] + job["gap"]
    number = {}
    for name in ("du", "dv", "vth", "bias"):
        value = arrays[layer[name]]
        number[name] = int(value.flat[0]) if value.size == 1 else value.reshape(-1).astype(np.int64)
    return LIFReset(
        shape=(layer["size"],),
        du=number["du"],
        dv=number["dv"],
        vth=number["vth"],
        bias_mant=number["bias"],
        bias_exp=layer["bias_exp"],
        reset_interval=period,
        reset_offset=layer["latency"] + 1,
        name=layer["process"],
        log_config=log,
    )


def build_connection(connection, arrays, log):
    kind = connection["kind"]
    options = {
        "weight_exp": connection["weight_exp"],
        "num_weight_bits": connection["weight_bits"],
        "num_message_bits": connection["message_bits"],
        "sign_mode": SIGN_MODES[connection["sign_mode"]],
        "name": connection["process"],
        "log_config": log,
    }
    if kind == "conv":
        return Conv(
            weight=arrays[connection["weight"]].astype(np.int32),
            input_shape=tuple(connection["input_shape"]),
            stride=tuple(connection["stride"]),
            padding=tuple(connection["padding"]),
            dilation=tuple(connection["dilation"]),
            groups=connection["groups"],
            num_message_bits=connection["message_bits"],
            name=connection["process"],
            log_config=log,
        )
    if kind == "dense":
        return Dense(weights=arrays[connection["weight"]].astype(np.int32), **options)
    parts = tuple(arrays[connection[name]] for name in ("data", "indices", "indptr"))
    weights = csr_matrix((parts[0].astype(np.int32), *parts[1:]), shape=tuple(connection["shape"]))
    delay = connection["delay"]
    if delay:
        delays = csr_matrix((np.full(len(parts[0]), delay, int), *parts[1:]), shape=weights.shape)
        return DelaySparse(weights=weights, delays=delays, max_delay=delay, **options)
    return Sparse(weights=weights, **options)


def connect(connection, process, sender, target):
    """Join an out port, a connection and a layer."""
    if connection["kind"] == "conv":  # ours is channels first, Lava's Conv channels last
        channels_first = tuple(connection["source_shape"])
        sender.reshape(channels_first).transpose((1, 2, 0)).connect(process.s_in)
        process.a_out.transpose((2, 0, 1)).flatten().connect(target.a_in)
    else:
        sender.connect(process.s_in)
        process.a_out.connect(target.a_in)


def build(job, arrays, folder, adapt=None):
    """(the inputs, the layers, the connections) of a job as processes; `adapt` puts something behind an input's port."""
    log = LogConfig(level=logging.WARNING, level_console=logging.WARNING, logs_to_file=False)
    rows = job["samples"] * job["steps"]
    inputs, layers, connections, senders = [], [], [], {}
    for feed in job["inputs"]:
        source = RingBuffer(data=np.zeros((feed["size"], 1), np.int32))
        source.proc_params["feed"] = (Window(job, 0), folder / feed["file"], feed["dtype"], (rows, feed["size"]))
        senders[feed["name"]] = source.s_out if adapt is None else adapt(source.s_out, feed["size"])
        inputs.append(source)
    for layer in job["layers"]:
        process = build_layer(job, layer, arrays, log)
        files = {name: (folder / path, "bool" if name == "spikes" else "int32") for name, path in layer["record"].items()}
        process.proc_params["record"] = (Window(job, layer["latency"]), files, layer["size"])
        senders[layer["name"]] = process.s_out
        layers.append(process)
    targets = dict(zip((layer["name"] for layer in job["layers"]), layers))  # noqa: B905
    for connection in job["connections"]:
        process = build_connection(connection, arrays, log)
        connect(connection, process, senders[connection["source"]], targets[connection["target"]])
        connections.append(process)
    return inputs, layers, connections


class ThreadActor(threading.Thread):
    """Stands for Lava's SystemProcess: the same work in a thread of ours."""

    def __init__(self, target, args, kwargs):
        super().__init__(daemon=True)
        self.work = (target, args, kwargs)
        self.exception = None
        self._parent_pid = os.getpid()

    def run(self):
        target, args, kwargs = self.work
        try:
            target(*args, **kwargs)
        except Exception as error:
            self.exception = (error, traceback.format_exc())


class PlainMemory:
    """Stands for Lava's SharedMemoryManager where threads share their memory anyway."""

    def start(self):
        pass

    def shutdown(self):
        pass

    def create_shared_memory(self, size):
        return SimpleNamespace(buf=memoryview(bytearray(size)))


def use_threads():
    """Run Lava's actors as threads: for small programs, forking a process for each costs three times what running them does.

    Lava's compiler, runtime service, channels, protocol and models stay as they are.
    """
    infrastructure.SystemProcess = ThreadActor
    infrastructure.SharedMemoryManager = PlainMemory
    pypychannel.Semaphore = threading.Semaphore
    runtime.Queue = queue.Queue


class Watch(threading.Thread):
    """Ends the worker when an actor of Lava's ends before its time, for which Lava itself would wait without end."""

    def __init__(self):
        super().__init__(daemon=True)
        self.actors = []

    def look_after(self, actors):
        self.actors = [(actor, getattr(actor, "pid", None)) for actor in actors]  # a joined process has lost its pid

    def let_go(self):
        self.actors = []

    def run(self):
        while True:
            time.sleep(0.1)
            ends = [end for actor, pid in self.actors if (end := ended(actor, pid)) is not None]
            if ends and self.actors:
                time.sleep(0.5)  # its traceback may still be on the way, and others may follow
                give_up([actor for actor, _ in self.actors], ends)


def ended(actor, pid):
    """How an actor ended, without taking its exit status away from multiprocessing; None while it runs."""
    if pid is None:
        return None if actor.is_alive() else "its thread returned"
    try:
        status = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return "taken away"
    if status is None:
        return None
    if status.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
        return signal.Signals(status.si_status).name
    return f"exit code {status.si_status}"


def give_up(actors, ends):
    """Report what is known about processes that ended, and leave at once: Lava's own clean-up would hang."""
    say("died", ends=sorted(set(ends)), traceback="\n".join(tracebacks(actors)))
    os._exit(3)


def tracebacks(actors):
    """Exceptions of Lava's processes; Lava itself only logs them at INFO."""
    texts = []
    for actor in actors:
        try:
            raised = actor.exception
        except (OSError, EOFError, ValueError):
            continue
        if raised is not None:
            texts.append(raised[1])
    return texts


def follow_runner(prefix):
    """Wait until the runner closes our standard input by dying; then leave no process, shared memory or file behind."""
    while os.read(0, 1):  # not sys.stdin: a forked child closes that, and would wait for our lock on it without end
        pass
    for segment in Path("/dev/shm").glob(prefix + "*"):
        segment.unlink(missing_ok=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def run(index, job, arrays, folder, watch):
    """Build one job's processes, stream all samples through them, stop them."""
    inputs, layers, connections = build(job, arrays, folder)
    # Named models spare Lava's search for them, which runs every file of a folder for every process.
    models = {process: MODELS[type(process)] for process in (*inputs, *layers, *connections)}
    config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=models)
    stream(index, job, layers[0], config, watch)
    layers[0].stop()
    say("done", job=index)


def run_on_board(index, job, arrays, folder, watch):
    """The same on Loihi 2: Lava's own models for the chip, spikes of the recorded layers brought back by its adapters.

    Follows the examples of lava-dl 0.6.0; its authors had no board to try it on.
    """
    from lava.magma.core.run_configs import Loihi2HwCfg
    from lava.proc import embedded_io
    from lava.proc.io.sink import PyReceiveModelFixed
    from lava.proc.io.sink import RingBuffer as Sink

    def adapt(port, size):
        adapter = embedded_io.spike.PyToNxAdapter(shape=(size,))
        port.connect(adapter.inp)
        return adapter.out

    late = max(layer["latency"] for layer in job["layers"])
    total = job["samples"] * job["steps"] + late
    inputs, layers, _ = build(job, arrays, folder, adapt)
    sinks = {}
    for layer, process in zip(job["layers"], layers):  # noqa: B905
        if layer["record"]:
            adapter, sink = embedded_io.spike.NxToPyAdapter(shape=(layer["size"],)), Sink(shape=(layer["size"],), buffer=total)
            process.s_out.connect(adapter.inp)
            adapter.out.connect(sink.a_in)
            sinks[layer["name"]] = sink
    models = dict.fromkeys(inputs, FeedFromFile) | dict.fromkeys(sinks.values(), PyReceiveModelFixed)
    stream(index, job, layers[0], Loihi2HwCfg(exception_proc_model_map=models), watch)
    for layer in job["layers"]:
        if layer["record"]:
            fired = sinks[layer["name"]].data.get().T != 0
            fired = fired[layer["latency"] :][: job["samples"] * job["steps"]]
            if "rates" in layer["record"]:
                sums = fired.reshape(job["samples"], job["steps"], -1).sum(axis=1, dtype=np.int32)
                sums.tofile(folder / layer["record"]["rates"])
            else:
                fired.tofile(folder / layer["record"]["spikes"])
    layers[0].stop()
    say("done", job=index)


def stream(index, job, first, config, watch):
    """Compile the network that `first` belongs to and run it for as long as all samples take, about a second at a time."""
    period = job["steps"] + job["gap"]
    late = max(layer["latency"] for layer in job["layers"])
    total = job["samples"] * period + late
    first.create_runtime(run_cfg=config, compile_config={"pypy_channel_size": 1})
    watch.look_after(first.runtime._messaging_infrastructure.actors)
    say("started", job=index)
    done, chunk = 0, min(total, period)
    while done < total:
        started = time.monotonic()
        chunk = min(chunk, total - done)
        first.run(RunSteps(num_steps=chunk))
        done += chunk
        say("progress", job=index, samples=max(0, min(job["samples"], (done - late) // period)))
        seconds = max(time.monotonic() - started, 1e-3)
        chunk = max(1, round(chunk * min(4.0, 1.0 / seconds)))
    watch.let_go()


def main():
    if PLAN["version"] != PLAN_VERSION:
        say("failed", traceback=f"plan version {PLAN['version']}, this worker reads {PLAN_VERSION}")
        os._exit(3)
    threading.Thread(target=follow_runner, args=(PLAN["shared_memory_prefix"],), daemon=True).start()
    watch = Watch()
    watch.start()
    say("ready", python=sys.version.split()[0])
    if PLAN["actors"] == "threads":
        use_threads()
    on_board = PLAN["run_cfg"] == "Loihi2HwCfg"
    if on_board and not loihi.is_installed():
        say("no board", python=sys.executable)
        os._exit(3)
    try:
        with np.load(FOLDER / "arrays.npz") as file:
            arrays = {name: file[name] for name in file.files}
        for index, job in enumerate(PLAN["jobs"]):
            (run_on_board if on_board else run)(index, job, arrays, FOLDER, watch)
    except BaseException:
        say("failed", traceback="\n".join([traceback.format_exc(), *tracebacks([actor for actor, _ in watch.actors])]))
        sys.stdout.flush()
        os._exit(3)  # Lava's own clean-up hangs after an error; the runner ends the process group
    say("finished")


if __name__ == "__main__":
    main()
