"""Weights and checkpoints on disk: safetensors with a JSON header of our own, written beside and then renamed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from filopodia.errors import FileError, FilopodiaError
from filopodia.files import written_whole
from filopodia.prune.config import TrainConfig
from filopodia.prune.nets import build_net
from filopodia.prune.pruner import Pruner
from filopodia.prune.quantized import input_of, quantize_aware

VERSION = 1


def save_tensors(tensors: Mapping[str, Tensor], about: Mapping[str, Any], path: Path, kind: str) -> None:
    """Write tensors and a JSON description to `path`, never half."""
    header = json.dumps({"format": f"filopodia {kind}", "version": VERSION, **about})
    with written_whole(path, SafetensorError) as beside:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, beside, {"filopodia": header})


def load_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_tensors` wrote; FileError for a missing, truncated or foreign file."""
    if not path.is_file():
        raise FileError("no such file", where=str(path), fix="train first, or give the run folder that holds it")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("filopodia", "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise FileError(f"cannot be read ({error})", where=str(path), allowed="a complete safetensors file") from error
    try:
        about = json.loads(header or "{}")
    except ValueError:
        about = None
    if not isinstance(about, dict):
        raise FileError("a damaged header", where=str(path), allowed=f"filopodia {kind} version {VERSION}")
    if about.get("format") != f"filopodia {kind}" or about.get("version") != VERSION:
        found = f"{about.get('format', 'no filopodia header')} version {about.get('version', '–')}"
        raise FileError(found, where=str(path), allowed=f"filopodia {kind} version {VERSION}")
    return tensors, about


def load_into(net: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load a complete state into `net`; FileError names the first tensors that are of another architecture."""
    own = net.state_dict()
    missing = [name for name in own if name not in tensors]
    extra = [name for name in tensors if name not in own]
    wrong = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if missing or extra or wrong:
        parts = (("missing", missing), ("unknown", extra), ("of another shape", wrong))
        found = "; ".join(f"{what}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}" for what, names in parts if names)
        raise FileError(
            found, where=where, allowed="the tensors of this architecture", fix="use the configuration it was trained with"
        )
    net.load_state_dict(dict(tensors))


def save_weights(net: nn.Module, path: Path, about: Mapping[str, Any]) -> None:
    """Write a finalized network (plain modules) as `weights.safetensors`; `about` goes into the header."""
    save_tensors(net.state_dict(), about, path, "weights")


def load_model(config: TrainConfig, path: str | Path) -> nn.Module:
    """The network of `config` with the weights of the file, in eval mode. `path` may be the run folder."""
    path = Path(path)
    path = path / "weights.safetensors" if path.is_dir() else path
    tensors, _ = load_tensors(path, "weights")
    net = build_net(config)
    if config.quantize_epochs:
        with torch.no_grad():  # for the structure alone: scales and weights are the file's
            for parameter in net.parameters():
                parameter.zero_()
        sample, step = input_of(config)
        quantize_aware(net, sample, input_step=step).finalize()
    load_into(net, tensors, str(path))
    return net.eval()


def save_checkpoint(path: Path, net: nn.Module, optimizer: Optimizer, pruner: Pruner | None, about: Mapping[str, Any]) -> None:
    """All an interrupted run needs to go on: model (θ, thresholds, masks), optimizer, pruner; `about` has its `config`."""
    tensors = {f"model.{name}": tensor for name, tensor in net.state_dict().items()}
    state = optimizer.state_dict()
    scalars: dict[str, Any] = {}
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                scalars[f"{index}.{key}"] = value
    pruning = None
    if pruner is not None:
        pruning = pruner.state_dict()
        for name, spine in pruning.pop("spines").items():
            tensors |= {f"pruner.{name}.{key}": value for key, value in spine.items()}
        tensors |= {f"measured.{name}": value for name, value in pruning.pop("tensors", {}).items()}
        pruning["layers"] = [weight.name for weight in pruner.weights]
    header = {**about, "optimizer": {"groups": state["param_groups"], "scalars": scalars}, "pruner": pruning}
    save_tensors(tensors, header, path, "checkpoint")


def load_checkpoint(
    path: Path, net: nn.Module, optimizer: Optimizer, pruner: Pruner | None, config: Mapping[str, Any]
) -> dict[str, Any]:
    """Put a checkpoint back into fresh objects of the same run and return its header; FileError if it is of another run, or
    damaged."""
    tensors, about = load_tensors(path, "checkpoint")
    if about.get("config") != config:
        raise FileError("made with another configuration", where=str(path), fix="train into a fresh run folder")
    try:
        _put_back(tensors, about, net, optimizer, pruner, str(path))
    except FilopodiaError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        fix = "train afresh, into another run folder or without this file"
        raise FileError(
            f"damaged ({type(error).__name__}: {error})", where=str(path), allowed="as it was saved", fix=fix
        ) from error
    return about


def _put_back(
    tensors: Mapping[str, Tensor],
    about: Mapping[str, Any],
    net: nn.Module,
    optimizer: Optimizer,
    pruner: Pruner | None,
    where: str,
) -> None:
    """What `load_checkpoint` does with what it read; raises all sorts of errors for a file that was tampered with."""
    int(about["epoch"]), dict(about["scaler"])
    state: dict[str, dict[str, Any]] = {"model": {}, "optimizer": {}, "pruner": {}, "measured": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        state[part][rest] = tensor
    if pruner is not None:
        spines: dict[str, dict[str, Tensor]] = {name: {} for name in about["pruner"]["layers"]}
        for name, tensor in state["pruner"].items():
            layer, _, key = name.rpartition(".")
            spines[layer][key] = tensor
        pruner.load_state_dict({**about["pruner"], "spines": spines, "tensors": state["measured"]})
    load_into(net, state["model"], where)
    values: dict[int, dict[str, Any]] = {}
    for name, value in [*state["optimizer"].items(), *about["optimizer"]["scalars"].items()]:
        index, _, key = name.partition(".")
        values.setdefault(int(index), {})[key] = value
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, kept in values.items():
        for key, value in kept.items():
            if isinstance(value, Tensor) and value.ndim and value.shape != parameters[index].shape:
                raise ValueError(f"optimizer {index} {key} of shape {list(value.shape)}")
    if len({frozenset(kept) for kept in values.values()}) > 1:
        raise KeyError("a part of the optimizer's state")
    optimizer.load_state_dict({"state": values, "param_groups": about["optimizer"]["groups"]})
