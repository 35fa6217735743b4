"""Design rules: a program by hand that breaks each of them, all reported at once; chips of one's own."""

import numpy as np
import pytest

from filopodia.errors import FileError
from filopodia.hardware.chip import load_chip
from filopodia.hardware.compiler.place import place
from filopodia.hardware.compiler.rules import check
from filopodia.hardware.program import Connection, Dense, Input, Layer, Program


def _layer(name, **fields):
    values = {"du": 4095, "dv": 0, "vth": 10, "bias": 0} | fields
    exp = values.pop("bias_exp", 6)
    return Layer(name, (4,), **{k: np.asarray(v, np.int32) for k, v in values.items()}, bias_exp=exp)


def _program(layer, **connection):
    weight = np.full((4, 4), 2, np.int16)
    settings = {"synapses": Dense(weight)} | connection
    return Program((Input("input", (4,)),), (layer,), (Connection("input", layer.name, **settings),), (layer.name,))


@pytest.mark.parametrize(
    ("program", "rule"),
    [
        (_program(_layer("a", vth=2**17)), "vth"),
        (_program(_layer("a", vth=-1)), "vth"),
        (_program(_layer("a", dv=4096)), "dv"),
        (_program(_layer("a", du=-1)), "du"),
        (_program(_layer("a", bias=np.array([0, 0, 5000, 0]))), "bias"),
        (_program(_layer("a", bias_exp=8)), "bias_exp"),
        (_program(_layer("a"), weight_exp=-1), "weight_exp"),
        (_program(_layer("a"), delay=63), "delay"),
        (_program(_layer("a"), synapses=Dense(np.full((4, 4), 3, np.int16))), "weight grid"),
        (_program(_layer("a"), synapses=Dense(np.full((4, 4), 256, np.int16))), "weight grid"),
        (_program(_layer("a"), synapses=Dense(np.full((4, 4), 254, np.int16)), weight_exp=6), "input sum"),
    ],
)
def test_each_rule_is_seen(program, rule):
    (violation,) = check(program, load_chip("loihi2"))
    assert violation.rule == rule
    assert all((violation.layer, violation.value, violation.limit, violation.source, violation.fix))


def test_loihi_1_has_neither_graded_messages_nor_soft_reset():
    soft = Layer("a", (4,), *(np.asarray(x, np.int32) for x in (4095, 0, 10, 0)), reset="subtract")
    program = Program(
        (Input("input", (4,), message_bits=4),),
        (soft,),
        (Connection("input", "a", Dense(np.full((4, 4), 2, np.int16)), message_bits=4),),
        ("a",),
    )
    assert [v.rule for v in check(program, load_chip("loihi1"))] == ["reset", "message_bits"]
    assert check(program, load_chip("loihi2")) == ()


def test_all_broken_rules_come_at_once():
    program = _program(_layer("a", vth=-5, dv=5000, bias=9999), delay=70, weight_exp=-2)
    assert {v.rule for v in check(program, load_chip("loihi2"))} == {"vth", "dv", "bias", "delay", "weight_exp"}


CHIP = """
name = "small"
title = "A small chip"

[limits.neurons]
value = 2
unit = "neurons"
source = "this test"

[limits.cores_per_chip]
value = 1
unit = "cores"
source = "this test"
"""


def test_a_chip_of_ones_own_is_read_from_its_file(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(CHIP)
    placed = place(_program(_layer("a")), load_chip(path))
    assert [core.used["neurons"] for core in placed.cores] == [2, 2]
    assert [core.chip for core in placed.cores] == [0, 1]
    path.write_text(CHIP + "\n[limits.delay]\nvalue = 'many'\n")
    with pytest.raises(FileError, match=r"small\.toml"):
        load_chip(path)
