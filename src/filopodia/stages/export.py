"""weights.safetensors to model.nir, model.onnx and golden.npz: the last stage in which torch exists.

The model is folded first, and from there on only the folded model speaks: what torch answers in golden.npz is what model.nir
says, spike for spike, with no near-tie left to be decided by the order of a sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from filopodia.config import Config
from filopodia.report.wording import count
from filopodia.run import RunFolder
from filopodia.stage import Progress, Stage

if TYPE_CHECKING:
    from filopodia.export import Golden


def export(folder: RunFolder, config: Config, progress: Progress | None) -> str:
    from filopodia import export, prune
    from filopodia.prune.data import info

    model = prune.load_model(config.train, folder.require("weights.safetensors"))
    data, test = config.train.data, prune.load_data(config.train.data).test
    end = config.export.samples or len(test)
    spikes = prune.encode(test.images[:end], data.steps, data.encoding).float()
    model = export.fold(model, spikes[:, :1])
    readout = {"classes": info(data.name).classes, "votes": config.train.net.votes}
    graph = export.to_nir(model, spikes[:, :1], dt=config.export.dt, readout=readout)
    golden = export.golden(model, spikes, labels=test.labels[:end], dt=config.export.dt, progress=progress)
    export.write_nir(graph, folder / "model.nir")
    export.write_golden(golden, folder / "golden.npz")
    export.write_golden(calibration(config), folder / "calibration.npz")
    if config.export.onnx:
        export.to_onnx(model, spikes[:, :1], folder / "model.onnx")
    else:
        (folder / "model.onnx").unlink(missing_ok=True)
    fired = sum(int(layer.sum(dtype="int64")) for layer in golden.spikes.values())
    return f"{len(graph.nodes)} NIR nodes; {count(fired)} golden spikes of {count(golden.samples)} test samples"


def calibration(config: Config) -> Golden:
    """Training samples for the compiler to choose scales on: the test set stays unseen."""
    from filopodia import export, prune

    data = config.train.data
    images = prune.load_data(data).train.images[: max(1, config.compile.calibration)]
    spikes = prune.encode(images, data.steps, data.encoding).numpy()
    return export.Golden({"input": spikes}, {}, {}, dt=config.export.dt)


EXPORT = Stage(
    "export",
    reads=("weights.safetensors",),
    writes=("model.nir", "golden.npz", "calibration.npz", "model.onnx"),
    settings=lambda config: {
        "data": config.train.data,
        "net": config.train.net,
        "export": config.export,
        "calibration": config.compile.calibration,
    },
    work=export,
)
