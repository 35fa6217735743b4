"""Chip files: every number has its unit, range, evidence and source, and a bad file says where it is bad."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from filopodia.errors import FileError
from filopodia.hardware.chip import chip_names, load_chip, load_costs
from filopodia.hardware.energy.prices import Barrier, Price, Range

GOOD = """
name = "toy"
title = "Toy"
[formats.sparse]
zeros = "skipped"
evidence = "measured"
source = "here"
[costs.a]
title = "A"
[costs.a.energy.synop]
low = 1.0
nominal = 2.0
high = 3.0
unit = "pJ"
scope = "per_op"
evidence = "measured"
source = "here"
"""


@pytest.mark.parametrize("name", chip_names())
def test_every_number_has_a_unit_evidence_and_a_source(name: str) -> None:
    chip = load_chip(name)
    assert chip.name == name
    assert chip.costs
    for limit in chip.limits.values():
        assert limit.source.strip()
        assert limit.unit.strip()
    for table in chip.costs.values():
        prices: list[tuple[str, Price]] = [(f"energy.{k}", p) for k, p in table.energy.items()]
        prices += [(f"power.{k}", p) for k, p in table.power.items()] + [(f"time.{k}", p) for k, p in table.time.items()]
        prices += [("barrier", b) for b in table.barrier]
        assert prices, f"{table.name} prices nothing"
        for key, price in prices:
            assert price.source.strip(), f"{table.name}.{key} has no source"
            assert (
                price.note.strip()
                or price.low == price.nominal == price.high
                or isinstance(price, Barrier)
                or "SANA" in price.source
            )


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('unit = "pJ"\n', "", ("costs.a.energy.synop", "unit")),
        ('source = "here"\n[costs', "[costs", ("formats.sparse", "source")),
        ('evidence = "measured"\nsource = "here"\n', 'evidence = "guessed"\nsource = "here"\n', ("evidence", "guessed")),
        ("low = 1.0", "low = -1.0", ("costs.a.energy.synop.low", "-1", ">= 0")),
        ("low = 1.0", "low = 2.5", ("costs.a.energy.synop.low", "2.5", "low <= nominal <= high")),
        ("low = 1.0", 'low = "x"', ("costs.a.energy.synop.low", "'x'")),
        ('unit = "pJ"', 'unit = "ns"', ("costs.a.energy.synop.unit", "'ns'", "pJ")),
        ('source = "here"\n', 'source = " "\n', ("source",)),
        ("nominal = 2.0", "nominal = 2.0\nprice = 3", ("costs.a.energy.synop", "price")),
        ("energy.synop", "energy.synops", ("costs.a.energy.synops", "'synops'", "update_active")),
        ('title = "A"', 'title = "A"\nvoltage = 1', ("costs.a", "voltage")),
        ('name = "toy"', 'name = "toy"\ncolour = "red"', ("colour",)),
        ("formats.sparse", "formats.ternary", ("formats.ternary", "dense, sparse, conv")),
        ('zeros = "skipped"', 'zeros = "maybe"', ("formats.sparse.zeros", "maybe")),
        ("high = 3.0", "high = inf", ("costs.a.energy.synop.high", "inf")),
        ('name = "toy"', 'name = "toy"\ndefault_costs = "b"', ("default_costs", "'b'", "a")),
        ("[costs.a]", "[costs.a", ("TOML",)),
    ],
)
def test_a_bad_file_names_file_key_and_value(tmp_path: Path, old: str, new: str, parts: tuple[str, ...]) -> None:
    path = tmp_path / "toy.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(FileError) as caught:
        load_chip(path)
    for part in ("toy.toml", *parts):
        assert part in str(caught.value)


def test_all_in_is_never_mixed_with_per_operation_prices(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    section = GOOD[GOOD.index("low = 1.0") :]
    path.write_text(GOOD.replace("per_op", "all_in") + "[costs.a.energy.spike]\n" + section)
    with pytest.raises(FileError, match=r"costs\.a\.energy\.synop: scope all_in beside spike"):
        load_chip(path)


def test_a_good_file_and_its_tables(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    path.write_text(GOOD)
    costs = load_costs(f"{path}/a")
    assert costs.name == "toy/a"
    assert costs.energy["synop"].si == Range(1e-12, 2e-12, 3e-12)
    assert load_costs(str(path)) == costs == load_costs(path)
    with pytest.raises(FileError, match="no cost table 'b'"):
        load_costs(f"{path}/b")
    with pytest.raises(FileError, match=re.escape("no chip named nowhere")):
        load_chip("nowhere")


def test_barrier_time_is_interpolated() -> None:
    costs = load_costs("loihi1/davies2018")
    assert costs.synchronisation(1).nominal == pytest.approx(113e-9)
    assert costs.synchronisation(32).nominal == costs.synchronisation(99).nominal == pytest.approx(465e-9)
    assert 113e-9 < costs.synchronisation(16).nominal < 465e-9


def test_a_misspelt_limit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "toy.toml"
    file.write_text('name = "toy"\ntitle = "Toy"\n[limits.neuron]\nvalue = 8\nunit = "neurons"\nsource = "here"\n')
    with pytest.raises(FileError, match=r"limits\.neuron: unknown name 'neuron'\n  allowed: .*neurons"):
        load_chip(file)


@pytest.mark.parametrize(
    ("limit", "value", "allowed"),
    [
        ("neurons", 0, "1 or more"),
        ("synapse_bits", -4, "1 or more"),
        ("mesh_width", 0, "1 or more"),
        ("delay", -1, "0 or more"),
        ("message_bits", 33, "0 to 32"),
        ("soft_reset", 2, "0 to 1"),
        ("cores_per_chip", 129, "up to 128"),
    ],
)
def test_a_limit_has_values_it_can_have(tmp_path: Path, limit: str, value: int, allowed: str) -> None:
    path = tmp_path / "toy.toml"
    path.write_text(GOOD + f"[limits.{limit}]\nvalue = {value}\nunit = 'each'\nsource = 'here'\n")
    with pytest.raises(FileError, match=f"limits.{limit}.value") as caught:
        load_chip(path)
    assert allowed in str(caught.value)
