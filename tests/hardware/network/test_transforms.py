"""Stateless nodes against torch, over random geometries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filopodia.hardware.network.transforms import affine, convolve, pool_sum

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 3),
    per_group=pairs,
    kernel=pairs,
    stride=pairs,
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=pairs,
    seed=st.integers(0, 2**31),
)
def test_convolve(
    groups: int,
    per_group: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    channels, filters = per_group[0] * groups, per_group[1] * groups
    x = rng.integers(-3, 4, (2, channels, 8, 9)).astype(np.float32)
    weight = rng.integers(-3, 4, (filters, per_group[0], *kernel)).astype(np.float32)
    bias = rng.integers(-3, 4, filters).astype(np.float32)
    expected = torch.nn.functional.conv2d(*map(torch.from_numpy, (x, weight, bias)), stride, padding, dilation, groups)
    np.testing.assert_array_equal(convolve(x, weight, bias, stride, padding, dilation, groups), expected.numpy())


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch says that it copies the input
@settings(max_examples=30, deadline=None)
@given(kernel=pairs, dilation=pairs)
def test_same_padding_puts_the_odd_zero_last(kernel: tuple[int, int], dilation: tuple[int, int]) -> None:
    x = np.arange(2 * 7 * 6, dtype=np.float32).reshape(1, 2, 7, 6)
    weight = np.arange(2 * 2 * kernel[0] * kernel[1], dtype=np.float32).reshape(2, 2, *kernel)
    bias = np.zeros(2, np.float32)
    expected = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(weight), padding="same", dilation=dilation)
    np.testing.assert_array_equal(convolve(x, weight, bias, (1, 1), "same", dilation, 1), expected.numpy())


@settings(max_examples=30, deadline=None)
@given(kernel=pairs, stride=pairs, padded=st.booleans())
def test_pool_sum(kernel: tuple[int, int], stride: tuple[int, int], padded: bool) -> None:
    x = np.arange(2 * 3 * 7 * 8, dtype=np.float32).reshape(2, 3, 7, 8)
    padding = (kernel[0] // 2, kernel[1] // 2) if padded else (0, 0)
    average = torch.nn.functional.avg_pool2d(torch.from_numpy(x), kernel, stride, padding, divisor_override=1)
    np.testing.assert_array_equal(pool_sum(x, kernel, stride, padding), average.numpy())


def test_affine_with_and_without_axes_of_its_own() -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(4, 2, 5)), rng.normal(size=(2, 3, 5))
    np.testing.assert_allclose(affine(x, weight, None), np.stack([x[:, i] @ weight[i].T for i in range(2)], axis=1))
    np.testing.assert_allclose(affine(x, weight[0], np.ones(3)), x @ weight[0].T + 1)
    # sums are rounded once: 2^24 ones and a half are lost one by one in float32, not here
    ones = np.full((1, 1000), 1e-4, np.float32)
    assert affine(np.ones((1, 1000), np.float32), ones, np.array([1e4], np.float32))[0, 0] == np.float32(
        1e4 + 1000 * float(ones[0, 0])
    )
