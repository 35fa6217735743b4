"""Program files: what is saved comes back, and a damaged file says so."""

import numpy as np
import pytest

from filopodia import hardware
from filopodia.errors import FileError, InputError
from filopodia.hardware.program import Connection, Conv, Core, Dense, Input, Layer, Program, Sparse


def _layer(name, shape, **parameters):
    fields = {"du": 4095, "dv": 0, "vth": 10, "bias": 0} | parameters
    return Layer(name, shape, **{k: np.asarray(v, np.int32) for k, v in fields.items()})


def _program():
    weight = np.arange(-18, 18, 2, dtype=np.int16).reshape(2, 1, 3, 3)
    sparse = Sparse((4, 32), np.array([0, 1, 1, 2, 3]), np.array([3, 4, 31], np.int32), np.array([2, -4, 6], np.int16))
    return Program(
        inputs=(Input("input", (1, 4, 4)), Input("pixels", (4,), message_bits=8)),
        layers=(_layer("a", (2, 4, 4), bias=np.arange(32).reshape(2, 4, 4)), _layer("b", (4,), dv=100)),
        connections=(
            Connection("input", "a", Conv(weight, padding=(1, 1)), weight_exp=2),
            Connection("a", "b", sparse, delay=3),
            Connection("pixels", "b", Dense(np.eye(4, dtype=np.int16) * 2), message_bits=8, sign_mode="excitatory"),
        ),
        outputs=("b",),
        chip="loihi2",
        cores=(Core(0, 0, (0, 0, 0), {"b": np.arange(4, dtype=np.int32)}, {"neurons": 4}),),
        metadata={"dt": 1e-3, "readout": {"classes": 2, "votes": 2}, "scale": np.float32(2.5), "list": [1, "x"]},
    )


def test_a_program_comes_back_as_it_was(tmp_path):
    program = _program()
    path = tmp_path / "program.npz"
    hardware.save_program(program, path)
    back = hardware.load_program(path)
    assert [p.name for p in tmp_path.iterdir()] == ["program.npz"]
    assert back.inputs == program.inputs or [vars(x) for x in back.inputs] == [vars(x) for x in program.inputs]
    for one, other in zip(program.layers, back.layers, strict=True):
        np.testing.assert_array_equal(one.bias, other.bias)
        assert (one.name, one.shape, one.bias_exp, one.latency) == (other.name, other.shape, other.bias_exp, other.latency)
    for one, other in zip(program.connections, back.connections, strict=True):
        assert (one.weight_exp, one.delay, one.sign_mode, one.message_bits) == (
            other.weight_exp,
            other.delay,
            other.sign_mode,
            other.message_bits,
        )
        assert type(one.synapses) is type(other.synapses)
        for name, value in vars(one.synapses).items():
            np.testing.assert_array_equal(value, getattr(other.synapses, name))
    assert back.metadata == {**program.metadata, "scale": 2.5}
    assert back.cores[0].position == (0, 0, 0)
    np.testing.assert_array_equal(back.cores[0].neurons["b"], program.cores[0].neurons["b"])


def test_a_shared_array_is_stored_once(tmp_path):
    weight = np.random.default_rng(0).integers(-100, 100, (300, 300)).astype(np.int16)
    layers = (_layer("a", (300,)), _layer("b", (300,)))
    connections = (Connection("input", "a", Dense(weight)), Connection("input", "b", Dense(weight)))
    path = tmp_path / "program.npz"
    hardware.save_program(Program((Input("input", (300,)),), layers, connections, ("b",)), path)
    back = hardware.load_program(path)
    assert back.connections[0].synapses.weight is back.connections[1].synapses.weight


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = tmp_path / "program.npz"
    hardware.save_program(_program(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(FileError, match=r"program\.npz"):
        hardware.load_program(path)


def test_other_files_are_refused_with_what_was_found(tmp_path):
    path = tmp_path / "other.npz"
    with pytest.raises(FileError, match="no such file"):
        hardware.load_program(path)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(FileError, match="no header"):
        hardware.load_program(path)
    np.savez(path, header=np.array('{"format": "filopodia activity", "version": 1}'))
    with pytest.raises(FileError, match="filopodia activity"):
        hardware.load_program(path)
    np.savez(path, header=np.array('{"format": "filopodia program", "version": 99}'))
    with pytest.raises(FileError, match="version 99"):
        hardware.load_program(path)
    np.savez(path, header=np.array('{"format": "filopodia program", "version": 1}'))
    with pytest.raises(FileError, match="damaged header"):
        hardware.load_program(path)
    np.savez(path, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(FileError, match="not a whole program file"):
        hardware.load_program(path)


def test_nothing_is_left_behind_when_saving_fails(tmp_path):
    program = _program()
    broken = Program(program.inputs, program.layers, program.connections, program.outputs, metadata={"x": object()})
    with pytest.raises(InputError, match=r"metadata\.x"):
        hardware.save_program(broken, tmp_path / "program.npz")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileError, match="cannot be written"):
        hardware.save_program(program, tmp_path / "missing" / "program.npz")
