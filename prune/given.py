"""What a training run is given, checked before its first step: the configuration, and data that are not ours."""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor

from filopodia.errors import ConfigError, InputError
from filopodia.prune.config import TrainConfig
from filopodia.prune.data import DataSet, Info, Samples, info


def checked_config(config: TrainConfig) -> TrainConfig:
    """The same configuration; ConfigError where it was built with a value of another type or out of range."""
    if not isinstance(config, TrainConfig):
        raise ConfigError(
            f"a {type(config).__name__}", where="config", allowed="a TrainConfig", fix='prune.recipe("mnist-mlp")'
        )
    try:
        return msgspec.convert(msgspec.to_builtins(config), TrainConfig)
    except msgspec.ValidationError as error:
        found, _, path = str(error).partition(" - at `$.")
        raise ConfigError(found, where=path.rstrip("`") or "config") from None


def checked_data(data: DataSet, config: TrainConfig) -> DataSet:
    """The same data; InputError where they are not the samples that the configuration's network is built for."""
    known = info(config.data.name)
    for part, samples in (("training", data.train), ("test", data.test)):
        _check(samples, known, f"{part} samples for {config.data.name}")
    return data


def _check(samples: Samples, known: Info, where: str) -> None:
    labels, images = samples.labels, samples.images
    if not len(labels) or len(labels) != len(images):
        raise InputError(f"{len(images)} samples with {len(labels)} labels", where=where, allowed="as many, and at least one")
    if labels.is_floating_point() or labels.ndim != 1 or not 0 <= int(labels.min()) <= int(labels.max()) < known.classes:
        found = f"{labels.dtype} of shape {list(labels.shape)}, from {labels.min()} to {labels.max()}"
        raise InputError(found, where=f"labels of the {where}", allowed=f"whole numbers 0 to {known.classes - 1}, one a sample")
    if not isinstance(images, Tensor):  # files, decoded when a batch asks for them
        return
    shape = tuple(images.shape[2 if known.timed else 1 :])
    if shape != known.shape:
        raise InputError(f"shape {list(shape)} of one sample", where=where, allowed=str(list(known.shape)))
    if images.is_floating_point() and not torch.isfinite(images).all():
        raise InputError(
            "values that are not finite", where=where, allowed="numbers", fix="no spike would say that they are none"
        )
