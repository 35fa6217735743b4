"""Reading each data set: from scikit-learn, from the folder FILOPODIA_DATA, from torchvision or from SpikingJelly.

Every reader returns (train samples, train labels, test samples, test labels) as arrays: images float32 [N, C, H, W] in
[0, 1], timed samples uint8 [N, T, …].
"""

from __future__ import annotations

import io
import os
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from filopodia.errors import FileError
from filopodia.prune.pictures import Pictures, class_folders

Images = np.ndarray | Pictures
Parts = tuple[Images, np.ndarray, Images, np.ndarray]
BANDS, LEVELS = 20, 4  # of the spoken digits: frequency bands, and thresholds each band's loudness is compared with


def digits() -> Parts:
    """scikit-learn's handwritten digits: 1797 images of 8 × 8 pixels with values 0…16; 360 of them, stratified, to test on.

    Source: UCI, Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998), CC BY 4.0.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
    train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=360, random_state=0, stratify=labels)
    return train_x, train_y, test_x, test_y


def mnist() -> Parts:
    """MNIST: `mnist.npz` in FILOPODIA_DATA (x_train, y_train, x_test, y_test), else torchvision's files there."""
    if (found := _file("mnist.npz")) is None:
        return _torchvision("MNIST", "mnist")
    with np.load(found) as file:
        return _grey(file["x_train"]), file["y_train"], _grey(file["x_test"]), file["y_test"]


def fashion_mnist() -> Parts:
    """Fashion-MNIST, torchvision's files."""
    return _torchvision("FashionMNIST", "fashion_mnist")


def cifar10() -> Parts:
    """CIFAR-10: torchvision's files, else `cifar10_jpeg.npz` in FILOPODIA_DATA, a lossy copy."""
    if (found := _file("cifar10_jpeg.npz")) is None:
        return _torchvision("CIFAR10", "cifar10")
    with np.load(found) as file:
        train, test = (_jpegs(file[f"{part}_jpeg"], file[f"{part}_offsets"]) for part in ("train", "test"))
        return train, file["train_labels"], test, file["test_labels"]


def imagenet() -> Parts:
    """ImageNet: the folder `imagenet` in FILOPODIA_DATA with train/<class>/ and val/<class>/; decoded when needed."""
    root = (_folder() or Path()) / "imagenet"
    if _folder() is None or not all((root / part).is_dir() for part in ("train", "val")):
        raise _missing("imagenet", "a folder imagenet/ with train/<class>/*.JPEG and val/<class>/*.JPEG (ILSVRC 2012)")
    (files, labels), (test_files, test_labels) = (class_folders(root / part) for part in ("train", "val"))
    if not files or not test_files:
        raise _missing("imagenet", "train/<class>/*.JPEG and val/<class>/*.JPEG in imagenet/", "folders without pictures")
    train, test = Pictures(files, 224, crops=True), Pictures(test_files, 224, crops=False)
    return train, np.array(labels), test, np.array(test_labels)


def nmnist(steps: int) -> Parts:
    """N-MNIST: `nmnist_small.npz` in FILOPODIA_DATA (1000 + 100 recordings), else SpikingJelly's loader (all of it).

    Events become `steps` frames of equal duration, a pixel of a polarity spikes once per frame at most.
    """
    if (found := _file("nmnist_small.npz")) is None:
        return _spikingjelly("n_mnist", "NMNIST", "nmnist", steps)
    parts: list[np.ndarray] = []
    with np.load(found) as file:
        for part in ("train", "test"):
            x, y, p, t, offsets = (file[f"{part}_{name}"] for name in ("x", "y", "p", "t", "offsets"))
            count = len(offsets) - 1
            sample = np.repeat(np.arange(count), np.diff(offsets))
            start, stop = t[offsets[:-1]], t[offsets[1:] - 1] + 1
            frame = (t - start[sample]).astype(np.int64) * steps // (stop - start)[sample]
            frames = np.zeros((count, steps, 2, 34, 34), np.uint8)
            frames[sample, frame, p, y, x] = 1
            parts += [frames, file[f"{part}_labels"]]
    return parts[0], parts[1], parts[2], parts[3]


def fsdd(steps: int) -> Parts:
    """Spoken digits: `fsdd.npz` in FILOPODIA_DATA, takes 0–4 to test on (the official split).

    Each utterance is cut into `steps` windows; the log energy of each of BANDS mel bands spikes on as many of LEVELS lines
    as the thresholds it passes, so that samples are binary.
    """
    if (found := _file("fsdd.npz")) is None:
        raise _missing("fsdd", "the Free Spoken Digit Dataset as fsdd.npz (audio, offsets, labels, takes)")
    with np.load(found) as file:
        audio, offsets, labels, takes = (file[name] for name in ("audio", "offsets", "labels", "takes"))
    spectra = np.stack([_bands(audio[a:b], steps) for a, b in pairwise(offsets)])
    test = takes <= 4
    limits = np.quantile(spectra[~test], np.arange(1, LEVELS + 1) / (LEVELS + 1), axis=(0, 1))  # [LEVELS, BANDS]
    spikes = (spectra[..., None, :] > limits).astype(np.uint8).reshape(len(spectra), steps, BANDS * LEVELS)
    return spikes[~test], labels[~test], spikes[test], labels[test]


def dvs128_gesture(steps: int) -> Parts:
    """DVS128 Gesture, SpikingJelly's loader; frames as `nmnist`."""
    return _spikingjelly("dvs128_gesture", "DVS128Gesture", "dvs128_gesture", steps)


def cifar10_dvs(steps: int) -> Parts:
    """CIFAR10-DVS, SpikingJelly's loader; every tenth recording to test on, since the set has no split of its own."""
    whole, labels = _frames("cifar10_dvs", "CIFAR10DVS", "cifar10_dvs", steps)
    test = np.arange(len(labels)) % 10 == 0
    return whole[~test], labels[~test], whole[test], labels[test]


def shd(steps: int) -> Parts:
    """Spiking Heidelberg Digits, SpikingJelly's loader: 700 channels; frames as `nmnist`."""
    return _spikingjelly("shd", "SpikingHeidelbergDigits", "shd", steps)


def _folder() -> Path | None:
    named = os.environ.get("FILOPODIA_DATA")
    return Path(named) if named else None


def _file(name: str) -> Path | None:
    folder = _folder()
    return folder / name if folder is not None and (folder / name).is_file() else None


def _missing(name: str, what: str, cause: str = "") -> FileError:
    place = _folder() or "the folder that the environment variable FILOPODIA_DATA names"
    return FileError(
        f"not found{f' ({cause})' if cause else ''}",
        where=f"data set {name}",
        allowed=f"{what}, in {place}",
        fix="put it there, or use the data set that needs no file: data.name = digits",
    )


def _torchvision(kind: str, name: str) -> Parts:
    try:
        datasets = import_module("torchvision.datasets")
    except ImportError as error:
        raise _missing(name, "torchvision's files, read with torchvision", "torchvision is not installed") from error
    parts: list[np.ndarray] = []
    for train in (True, False):
        try:
            held: Any = getattr(datasets, kind)(_folder() or ".", train=train, download=False)
        except RuntimeError as error:
            raise _missing(name, f"what torchvision.datasets.{kind}(root, download=True) downloads", "no files") from error
        pixels = np.asarray(held.data)
        parts += [_grey(pixels) if pixels.ndim == 3 else _colour(pixels), np.asarray(held.targets)]
    return parts[0], parts[1], parts[2], parts[3]


def _spikingjelly(module: str, kind: str, name: str, steps: int) -> Parts:
    train, labels = _frames(module, kind, name, steps, train=True)
    return (train, labels, *_frames(module, kind, name, steps, train=False))


def _frames(module: str, kind: str, name: str, steps: int, **split: bool) -> tuple[np.ndarray, np.ndarray]:
    folder = _folder()
    root = folder / name if folder is not None else None
    if root is None or not root.is_dir():
        raise _missing(name, f"a folder {name}/ with the files that spikingjelly.datasets.{kind} asks for")
    loader = getattr(import_module(f"spikingjelly.datasets.{module}"), kind)
    if not any((root / raw).is_dir() for raw in ("events_np", "events_h5")):
        _check_downloads(loader, root / "download", name)
    try:
        held = loader(str(root), data_type="frame", frames_number=steps, split_by="time", **split)
    except (RuntimeError, OSError) as error:
        raise FileError(f"cannot be prepared ({error})", where=f"data set {name}", fix=f"clean {root} and try again") from error
    samples = [(np.asarray(frames) > 0, label) for frames, label in held]
    # Folders come in the order of their names, in which 10 precedes 2; where a name is a number it is the set's own label.
    numbers = [int(name) if name.isdigit() else index for index, name in enumerate(held.classes)]
    return np.stack([frames for frames, _ in samples]).astype(np.uint8), np.array([numbers[label] for _, label in samples])


def _check_downloads(loader: Any, folder: Path, name: str) -> None:
    """Every file must be there and whole: SpikingJelly would delete and download the others, some of them for days."""
    sound = import_module("torchvision.datasets.utils").check_integrity
    for file, url, md5 in loader.resource_url_md5():
        if not sound(folder / file, md5):
            state = "broken" if (folder / file).exists() else "no file"
            raise _missing(name, f"{file} in download/ of a folder {name}/, from {url}", state)


def _grey(pixels: np.ndarray) -> np.ndarray:
    return (pixels.astype(np.float32) / 255.0)[:, None]


def _colour(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32) / 255.0


def _jpegs(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    from PIL import Image

    images = [Image.open(io.BytesIO(data[a:b].tobytes())) for a, b in pairwise(offsets)]
    return _colour(np.stack([np.asarray(image.convert("RGB")) for image in images]))


def _bands(audio: np.ndarray, steps: int) -> np.ndarray:
    """Log mel energies [steps, BANDS] of one utterance at 8 kHz, relative to its loudest."""
    size = 256
    starts = np.linspace(0, max(len(audio) - size, 0), steps).astype(int)
    padded = np.pad(audio.astype(np.float64), (0, size))
    windows = np.stack([padded[start : start + size] for start in starts]) * np.hanning(size)
    power = np.abs(np.fft.rfft(windows)) ** 2
    mel = np.linspace(0, 2595 * np.log10(1 + 4000 / 700), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1) / 8000 * size
    bins = np.arange(power.shape[1])
    lower, peak, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    filters = np.clip(np.minimum((bins - lower) / (peak - lower), (upper - bins) / (upper - peak)), 0, None)
    energy = np.log(power @ filters.T + 1.0)
    relative: np.ndarray = np.subtract(energy, energy.max(), dtype=np.float32)
    return relative
