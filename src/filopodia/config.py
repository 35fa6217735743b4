"""The configuration: one frozen, typed tree that is the TOML file, the command line's flags and what a run folder keeps.

Defaults are overridden by a TOML file (or the run folder's own config.toml), and that by flags.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from filopodia.errors import ConfigError, FileError
from filopodia.prune.config import TrainConfig
from filopodia.run import RunFolder, write_text

Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0.0)]


class ExportConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Torch to files."""

    dt: Seconds = 1e-3
    """The time one step stands for, in seconds."""
    onnx: bool = True
    """Write model.onnx too."""
    samples: Count = 0
    """Test samples whose spikes become the golden vectors that every later stage is checked against; 0 takes all."""


class CompileConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Network to integers on cores."""

    chip: str = "loihi2"
    """A chip by name (loihi1, loihi2), or the path of a chip file (.toml)."""
    calibration: Count = 128
    """Training samples on whose spikes weight scales and clipping are chosen; 0 chooses them from the weights alone."""
    sums: Literal["proved", "measured"] = "proved"
    """Input sums stay in range by proof from the weights, or by measurement on the calibration with a quarter to spare."""
    wide: tuple[str, ...] = ()
    """Layers whose weights get two synapses each, about 15 bits."""
    reset: Literal["trained", "zero"] = "trained"
    """Neurons reset as they were trained; `zero` approximates resets by subtraction, where the chip or Lava has none."""
    objective: Literal["cores", "traffic"] = "cores"
    """Place on the fewest cores, or for the least traffic between them."""


class SimulateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The integer simulator."""

    samples: Count = 0
    """How many golden samples to run; 0 runs all."""
    arithmetic: Literal["lava", "loihi"] = "lava"
    """Lava's models, or Loihi's silicon where they differ from it."""
    threads: Count = 0
    """CPU threads; 0 uses every core."""


class LavaConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same program on real Lava, in a Python 3.10 of its own."""

    use: Literal["auto", "always", "never"] = "auto"
    """`auto` runs Lava when a Python 3.10 can be found, and says so when not; `always` lets uv fetch one, or fails."""
    samples: Count = 0
    """How many of the simulated samples to run on Lava; 0 runs all."""
    run_cfg: Literal["Loihi2SimCfg", "Loihi2HwCfg"] = "Loihi2SimCfg"
    """Lava's own: its models on this machine, or a Loihi 2 board, for those who have one and Intel's lava-loihi."""
    time_limit: Seconds = 600.0
    """Seconds after which Lava and all its children are ended."""


class EstimateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Energy and latency."""

    twin: Literal["dense", "none"] = "dense"
    """`dense` trains the same network with the same recipe unpruned, to compare with; `none` does without."""
    ann: Literal["trained", "untrained"] = "trained"
    """`trained` trains the ANN of the same shape by the same recipe too, in fp32, rounded to int8, pruned and as a QNN of
    few bits; `untrained` prices them with their accuracy unknown."""
    costs: str = ""
    """A cost table, such as loihi1/davies2018; empty takes the chip's own."""
    step_s: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    """Seconds per step if the chip is paced, as in real time; 0 lets it run as fast as it can."""


class ReportConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """report.json and report.html."""

    sample: Count = 0
    """The test sample whose spikes are drawn."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run, from training to report."""

    name: Annotated[str, msgspec.Meta(min_length=1)] = "digits"
    """What the run is called; its folder is runs/NAME unless --out says otherwise."""
    train: TrainConfig = TrainConfig()
    export: ExportConfig = ExportConfig()
    compile: CompileConfig = CompileConfig()
    simulate: SimulateConfig = SimulateConfig()
    lava: LavaConfig = LavaConfig()
    estimate: EstimateConfig = EstimateConfig()
    report: ReportConfig = ReportConfig()


S = TypeVar("S", bound=msgspec.Struct)


def load_config(path: Path) -> Config:
    """Read a TOML configuration. Raises FileError when there is none, ConfigError naming key and file when it is wrong."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise FileError("no such file", where=str(path), fix="examples/ has configurations to start from") from None
    except OSError as error:
        raise FileError(f"cannot be read ({error.strerror})", where=str(path)) from None
    try:
        return msgspec.toml.decode(text, type=Config)
    except msgspec.ValidationError as error:
        found = described(error, msgspec.toml.decode(text))
        raise ConfigError(found, where=str(path), allowed=allowed_near(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not valid TOML ({error})", where=str(path)) from None


def folder_config(folder: RunFolder) -> Config:
    """The configuration a run folder was made with; the defaults where it has none."""
    path = folder / "config.toml"
    return load_config(path) if path.is_file() else Config()


def save_config(folder: RunFolder, config: Config) -> None:
    """Write config.toml, every key, so that a run does not change when a default does."""
    write_text(folder / "config.toml", msgspec.toml.encode(msgspec.to_builtins(config)).decode())


def checked(settings: S) -> S:
    """The same settings with every value checked against its type and bounds; flags come unchecked. Raises ConfigError."""
    tree = msgspec.to_builtins(settings)
    try:
        return msgspec.convert(tree, type=type(settings))
    except msgspec.ValidationError as error:
        raise ConfigError(described(error, tree), where="command line") from None


def described(error: msgspec.ValidationError, tree: Any) -> str:
    """msgspec's message with its `$.train.epochs` written as the key a user knows, and what `tree` has there: "epochs = 0:
    expected `int` >= 1"."""
    text, _, path = str(error).partition(" - at `")
    key = path.rstrip("`").removeprefix("$").lstrip(".")
    if not key:
        return text
    value = tree
    for part in re.findall(r"[^.\[\]]+", key):
        value = value[int(part)] if isinstance(value, list | tuple) else value[part]
    shown = "" if isinstance(value, Mapping) else f" = {value!r}"
    return f"{key}{shown}: {text[0].lower()}{text[1:]}"


def allowed_near(error: msgspec.ValidationError) -> str:
    """The keys of the section in which an unknown one was found; "" for other errors."""
    text, _, path = str(error).partition(" - at `")
    if "unknown field" not in text:
        return ""
    section: Any = Config
    for part in [part for part in path.rstrip("`").removeprefix("$").split(".") if part]:
        section = {field.name: field.type for field in msgspec.structs.fields(section)}[part]
    return ", ".join(section.__struct_fields__)
