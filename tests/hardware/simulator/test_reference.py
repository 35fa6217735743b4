"""The reference against the equations written out once more, one neuron at a time in Python's own integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filopodia.hardware.program import Connection, Conv, Dense, Input, Layer, Program, Sparse
from filopodia.hardware.simulator import reference


def layer(name: str, shape: tuple[int, ...], **changes: Any) -> Layer:
    values: dict[str, Any] = {"du": 4095, "dv": 128, "vth": 10, "bias": 0} | changes
    for key in ("du", "dv", "vth", "bias"):
        values[key] = np.asarray(values[key], np.int32)
    return Layer(name, shape, **values)


def wrap32(x: int) -> int:
    return (x + 2**31) % 2**32 - 2**31


def towards_zero(x: int, factor: int) -> int:
    magnitude = abs(x) * factor >> 12
    return magnitude if x >= 0 else -magnitude


def one_neuron(
    u: int, v: int, a: int, du: int, dv: int, vth: int, bias: int, bias_exp: int, reset: str
) -> tuple[int, int, bool]:
    u = wrap32(towards_zero(u, 4096 - (du + 1)) + wrap32(a << 6))
    if u > 2**23:
        u -= 2**24
    elif u <= -(2**23):
        u += 2**24
    b = bias << bias_exp if bias_exp >= 0 else bias >> -bias_exp
    v = wrap32(towards_zero(v, 4096 - dv) + u + b)
    v = max(-(2**23 - 1), min(v, 2**23 - 1))
    if v > vth << 6:
        return u, (v - (vth << 6) if reset == "subtract" else 0), True
    return u, v, False


STATE = st.integers(-(2**23) + 1, 2**23 - 1)


@settings(max_examples=300, deadline=None)
@given(
    STATE,
    STATE,
    st.one_of(st.integers(-(2**17), 2**17), st.integers(-(2**31), 2**31 - 1)),
    st.integers(-1, 4095),
    st.integers(0, 4096),
    st.integers(-100, 131071),
    st.integers(-4096, 4095),
    st.integers(-7, 7),
    st.sampled_from(["zero", "subtract"]),
)
def test_update_is_the_equation(
    u: int, v: int, a: int, du: int, dv: int, vth: int, bias: int, bias_exp: int, reset: str
) -> None:
    neuron = layer("n", (1,), du=du, dv=dv, vth=vth, bias=bias, bias_exp=bias_exp, reset=reset)
    states = (np.full((1, 1), x, np.int32) for x in (u, v, a))
    got = [x.item() for x in reference.update(neuron, *states)]
    assert tuple(got) == one_neuron(u, v, a, du, dv, vth, bias, bias_exp, reset)


@pytest.mark.parametrize(
    ("mode", "bits", "weights", "acts"),
    [
        ("mixed", 8, [3, -3, 2, 255, -300, 0], [2, -4, 2, 254, -256, 0]),
        ("mixed", 6, [9, -9, 7, 254, -256, 1], [8, -16, 0, 248, -256, 0]),
        ("excitatory", 8, [3, -3, 300, 1, 0, 7], [3, 0, 255, 1, 0, 7]),
        ("inhibitory", 7, [-3, 3, -300, -1, 0, -7], [-2, 0, -254, 0, 0, -6]),
    ],
)
def test_weights_are_clipped_and_floored_as_lava_does(mode: Any, bits: int, weights: list[int], acts: list[int]) -> None:
    connection = Connection("a", "b", Dense(np.array([weights], np.int16)), sign_mode=mode, weight_bits=bits)
    assert reference.effective(connection).tolist() == [acts]


def test_the_sum_is_shifted_not_the_weights_and_messages_are_binary_unless_graded() -> None:
    weight = np.array([[2, 4, -2, 8]], np.int16)
    sent = np.array([[3, 0, -1, 5]], np.int32)

    def total(**changes: Any) -> int:
        connection = Connection("x", "y", Dense(weight), **changes)
        program = Program((Input("x", (4,), 8),), (layer("y", (1,)),), (connection,), ("y",))
        return int(reference.arriving(program, connection, sent)[0, 0])

    assert total() == 2 - 2 + 8
    assert total(message_bits=8) == 6 + 2 + 40
    assert total(message_bits=8, weight_exp=2) == 48 << 2
    assert total(message_bits=8, weight_exp=-5) == 1
    assert total(message_bits=0, weight_exp=-4) == 0


def test_sparse_rows_and_a_matrix_mean_the_same() -> None:
    rng = np.random.default_rng(0)
    matrix = (rng.integers(-40, 40, (7, 9)) * (rng.random((7, 9)) < 0.4)).astype(np.int16)
    rows, columns = np.nonzero(matrix)
    indptr = np.searchsorted(rows, np.arange(8)).astype(np.int64)
    sparse = Sparse((7, 9), indptr, columns.astype(np.int32), matrix[rows, columns])
    sent = rng.random((5, 9)) < 0.3
    totals = []
    for synapses in (Dense(matrix), sparse):
        connection = Connection("x", "y", synapses)
        program = Program((Input("x", (9,)),), (layer("y", (7,)),), (connection,), ("y",))
        totals.append(reference.arriving(program, connection, sent))
    np.testing.assert_array_equal(*totals)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [((1, 1), (0, 0), (1, 1), 1), ((2, 1), (1, 2), (1, 1), 1), ((1, 2), (2, 0), (2, 1), 2), ((1, 1), (1, 1), (1, 1), 4)],
)
def test_convolution_is_cross_correlation(
    stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int], groups: int
) -> None:
    rng = np.random.default_rng(1)
    c_in, c_out, height, width = 4, 8, 6, 5
    weight = rng.integers(-9, 9, (c_out, c_in // groups, 3, 2)).astype(np.int16)
    sent = rng.integers(0, 2, (1, c_in, height, width))
    h_out = (height + 2 * padding[0] - dilation[0] * 2 - 1) // stride[0] + 1
    w_out = (width + 2 * padding[1] - dilation[1] * 1 - 1) // stride[1] + 1
    expected = np.zeros((c_out, h_out, w_out), int)
    for o, y, x, i, k_y, k_x in np.ndindex(c_out, h_out, w_out, c_in // groups, 3, 2):
        y_in = y * stride[0] - padding[0] + k_y * dilation[0]
        x_in = x * stride[1] - padding[1] + k_x * dilation[1]
        if 0 <= y_in < height and 0 <= x_in < width:
            channel = o // (c_out // groups) * (c_in // groups) + i
            expected[o, y, x] += weight[o, i, k_y, k_x] * sent[0, channel, y_in, x_in]
    connection = Connection("x", "y", Conv(weight, stride, padding, dilation, groups))
    target = layer("y", expected.shape)
    program = Program((Input("x", (c_in, height, width)),), (target,), (connection,), ("y",))
    total = reference.arriving(program, connection, sent.reshape(1, -1))
    np.testing.assert_array_equal(total.reshape(expected.shape), expected)


def test_a_lag_is_counted_in_sample_time() -> None:
    one = Dense(np.array([[64]], np.int16))
    early, late = layer("early", (1,), vth=1, latency=1), layer("late", (1,), vth=1, latency=2)
    connections = (
        Connection("x", "early", one),
        Connection("early", "late", one),
        Connection("late", "early", Dense(np.array([[2]], np.int16)), delay=1),
        Connection("x", "late", Dense(np.array([[0]], np.int16)), delay=3),
    )
    program = Program((Input("x", (1,)),), (early, late), connections, ("late",))
    assert [program.lag(c) for c in connections] == [0, 0, 3, 2]
    pulse = np.zeros((8, 1, 1), bool)
    pulse[0] = True
    trace = reference.run(program, {"x": pulse})
    assert trace.spikes["early"][:, 0, 0].tolist() == [True, False, False, True, False, False, True, False]
    np.testing.assert_array_equal(trace.spikes["early"], trace.spikes["late"])
