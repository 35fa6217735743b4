"""ImageNet's folders: decoded when asked for, cropped as drawn, and trained on without loading them all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from filopodia.errors import FileError
from filopodia.prune import DataConfig, NetConfig, PruneConfig, TrainConfig, load_data, train
from filopodia.prune.pictures import AREA, RATIO, Pictures, middle, random_box


def folder(root: Path, count: int = 3) -> Path:
    """Two classes: red pictures and blue ones, of several shapes, a green frame around each."""
    for part in ("train", "val"):
        for label, name in enumerate(("n01", "n02")):
            (root / "imagenet" / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = np.zeros((240 + 40 * index, 320, 3), np.uint8)
                pixels[..., 1] = 255
                pixels[8:-8, 8:-8] = (255, 0, 0) if label == 0 else (0, 0, 255)
                Image.fromarray(pixels).save(root / "imagenet" / part / name / f"{index}.png")
    return root


def test_labels_follow_the_folders_and_pictures_their_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILOPODIA_DATA", str(folder(tmp_path)))
    data = load_data(DataConfig(name="imagenet", encoding="direct"))
    assert isinstance(data.test.images, Pictures)
    assert data.test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    images = data.test.images[torch.tensor([0, 5])]
    assert images.shape == (2, 3, 224, 224)
    assert images.dtype == torch.float32
    assert images[:, :, 112, 112].tolist() == [[1, 0, 0], [0, 0, 1]]
    assert images[0, 1].max() == 0  # the frame is outside the middle
    torch.manual_seed(0)
    some = data.train.part(torch.tensor([4, 1]))
    drawn = some.images[:2]
    assert some.labels.tolist() == [1, 0]
    torch.manual_seed(0)
    assert torch.equal(data.train.images[torch.tensor([4, 1])], drawn)  # the same draws, the same crops
    assert not torch.equal(data.train.images[torch.tensor([4, 1])], drawn)
    assert [len(part) for part in data.test.images.split(4)] == [4, 2]


@given(st.integers(10, 500), st.integers(10, 500), st.lists(st.tuples(*[st.floats(0, 1, exclude_max=True)] * 4), max_size=4))
def test_boxes_stay_inside_and_keep_area_and_ratio(width: int, height: int, draws: list[tuple[float, ...]]) -> None:
    box = random_box(width, height, draws)
    left, upper, right, lower = box
    assert 0 <= left < right <= width + 1e-9
    assert 0 <= upper < lower <= height + 1e-9
    if box != middle(width, height):
        wide, high = right - left, lower - upper
        assert AREA[0] - 1e-9 <= wide * high / (width * height) <= AREA[1] + 1e-9
        assert RATIO[0] - 1e-9 <= wide / high <= RATIO[1] + 1e-9


def test_a_network_trains_on_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILOPODIA_DATA", str(folder(tmp_path)))
    config = TrainConfig(
        data=DataConfig(name="imagenet", encoding="direct", steps=2, shift=0, flip=True),
        net=NetConfig(channels=(2, 2), pool=(8, 7), hidden=(), votes=1),
        prune=PruneConfig(target_sparsity=0.5),
        epochs=2,
        batch_size=3,
        validation=0.34,
        device="cpu",
    )
    assert [event.epoch for event in train(config)] == [1, 2]


@pytest.mark.parametrize("parts", [(), ("train", "val")])
def test_missing_folders_and_empty_ones_are_named(
    parts: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in parts:
        (tmp_path / "imagenet" / part).mkdir(parents=True)
    monkeypatch.setenv("FILOPODIA_DATA", str(tmp_path))
    with pytest.raises(FileError, match="ILSVRC 2012" if not parts else "without pictures"):
        load_data(DataConfig(name="imagenet", encoding="direct"))
