"""Maps compose exactly: every product equals the matrix product."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from filopodia.hardware.compiler import maps
from filopodia.hardware.compiler.maps import ConvMap, DiagonalMap, MatrixMap

sizes = st.integers(1, 3)


def _matrix(map_, sources):
    return maps.matrix(map_, sources).toarray()


def _conv(data, source, rng):
    groups = data.draw(st.sampled_from([g for g in (1, 2, 4) if source[0] % g == 0]))
    weight = rng.integers(-4, 5, (groups * data.draw(sizes), source[0] // groups, data.draw(sizes), data.draw(sizes)))
    pairs = [(data.draw(st.integers(low, 2)), data.draw(st.integers(low, 2))) for low in (1, 0, 1)]
    target = maps.conv_target(source, weight, *pairs)
    assume(min(target) >= 1)
    return ConvMap(weight.astype(np.float64), *pairs, groups, source, target)


def _box(data, source):
    kernel = (data.draw(sizes), data.draw(sizes))
    stride = data.draw(st.sampled_from([kernel, (1, 1), (2, 2)]))
    padding = (data.draw(st.integers(0, 1)), data.draw(st.integers(0, 1)))
    made = maps.box(source, kernel, stride, padding, 1.0)
    assume(min(made.target) >= 1)
    return made


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_two_maps_compose_to_the_matrix_product(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    source = (data.draw(st.sampled_from([1, 2, 4])), data.draw(st.integers(3, 7)), data.draw(st.integers(3, 7)))
    kinds = st.sampled_from(["conv", "box", "diagonal", "matrix"])
    first_kind, second_kind = data.draw(kinds), data.draw(kinds)

    def make(kind, shape):
        size = int(np.prod(shape))
        if kind == "conv":
            return _conv(data, shape, rng)
        if kind == "box":
            return _box(data, shape)
        if kind == "diagonal":
            per_channel = rng.integers(-3, 4, shape[0]).repeat(size // shape[0]).astype(float)
            return DiagonalMap(
                data.draw(st.sampled_from([per_channel, rng.integers(-3, 4, size).astype(float), np.full((), 2.0)]))
            )
        return MatrixMap(rng.integers(-2, 3, (5, size)).astype(float))

    first = make(first_kind, source)
    between = first.target if isinstance(first, ConvMap) else (5,) if first_kind == "matrix" else source
    assume(len(between) == 3 or second_kind in ("diagonal", "matrix"))
    second = make(second_kind, between)
    product = maps.compose(second, first)
    sources, middle = int(np.prod(source)), int(np.prod(between))
    expected = _matrix(second, middle) @ _matrix(first, sources)
    np.testing.assert_allclose(_matrix(product, sources), expected)
    if isinstance(first, ConvMap):
        assert maps.synapses(first) == np.count_nonzero(_matrix(first, sources))
    x = rng.normal(size=sources)
    np.testing.assert_allclose(maps.apply(product, x), expected @ x, atol=1e-9)


@pytest.mark.parametrize("order", ["pool then conv", "conv then pool"])
def test_pooling_beside_a_convolution_stays_a_convolution(order):
    rng = np.random.default_rng(0)
    if order == "pool then conv":
        first = maps.box((3, 8, 8), (2, 2), (2, 2), (0, 0), 0.25)
        second = ConvMap(rng.normal(size=(4, 3, 3, 3)), (1, 1), (1, 1), (1, 1), 1, (3, 4, 4), (4, 4, 4))
    else:
        first = ConvMap(rng.normal(size=(4, 3, 3, 3)), (1, 1), (1, 1), (1, 1), 1, (3, 8, 8), (4, 8, 8))
        second = maps.box((4, 8, 8), (2, 2), (2, 2), (0, 0), 0.25)
    product = maps.compose(second, first)
    assert isinstance(product, ConvMap)
    np.testing.assert_allclose(_matrix(product, 192), _matrix(second, np.prod(first.target)) @ _matrix(first, 192))


def test_the_sum_of_two_convolutions_is_one():
    rng = np.random.default_rng(0)
    one, other = (ConvMap(rng.normal(size=(2, 3, 3, 3)), (1, 1), (1, 1), (1, 1), 1, (3, 4, 4), (2, 4, 4)) for _ in range(2))
    total = maps.add(one, other, 48)
    assert isinstance(total, ConvMap)
    np.testing.assert_allclose(_matrix(total, 48), _matrix(one, 48) + _matrix(other, 48))
    mixed = maps.add(one, MatrixMap(_matrix(other, 48)), 48)
    np.testing.assert_allclose(_matrix(mixed, 48), _matrix(total, 48))
