"""One structure for TOML, flags and run folders: strict, and the same after every way round."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from filopodia.config import Config, LavaConfig, checked, load_config, save_config
from filopodia.errors import ConfigError, FileError
from filopodia.run import RunFolder


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    config = msgspec.structs.replace(Config(), name="mine", lava=LavaConfig(use="never", samples=3))
    save_config(RunFolder(tmp_path), config)
    assert load_config(tmp_path / "config.toml") == config


def test_saved_config_names_every_key(tmp_path: Path) -> None:
    save_config(RunFolder(tmp_path), Config())
    text = (tmp_path / "config.toml").read_text()
    for key in ("target_sparsity", "epochs", "chip", "time_limit", "twin"):
        assert re.search(rf"^{key} = ", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "found", "allowed"),
    [
        ("[train]\nepoch = 3\n", "train: object contains unknown field `epoch`", "epochs"),
        ("[train.prune]\ntarget = 0.9\n", "train.prune: object contains unknown field `target`", "target_sparsity"),
        ("[train]\nepochs = 0\n", "train.epochs = 0: expected `int` >= 1", ""),
        ('[train]\nepochs = "many"\n', "train.epochs = 'many': expected `int`, got `str`", ""),
        ('[lava]\nuse = "maybe"\n', "lava.use = 'maybe': invalid enum value 'maybe'", ""),
        ("unknown = 1\n", "object contains unknown field `unknown`", "compile"),
        ("[train\n", "not valid TOML", ""),
    ],
)
def test_wrong_configuration_is_named(tmp_path: Path, text: str, found: str, allowed: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert found.lower() in str(error.value).lower()
    assert str(path) in str(error.value)
    assert allowed in error.value.allowed


def test_missing_configuration_is_a_file_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        load_config(tmp_path / "none.toml")


def test_flags_are_checked_like_files() -> None:
    with pytest.raises(ConfigError, match=r"time_limit = \S+: expected `float` > 0"):
        checked(LavaConfig(time_limit=-1.0))
