"""`filopodia doctor`: what is installed, and whether real Lava can run here. Imports nothing heavy to find out."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import msgspec
from rich.markup import escape

from filopodia.cli import screen
from filopodia.cli.arguments import parse
from filopodia.cli.steps import print_json
from filopodia.errors import LavaError
from filopodia.provenance import machine, versions


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    json: bool = False
    """Print JSON and nothing else."""


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at: whether it serves, what was found, and what to do when it does not."""

    name: str
    well: bool
    found: str
    fix: str = ""


def main(words: Sequence[str]) -> None:
    arguments = parse("doctor", Arguments, words)
    findings = [python(), *packages(), uv(), lava(), chromium(), host()]
    if arguments.json:
        print_json(findings)
        return
    for finding in findings:
        mark = "[green]✓[/]" if finding.well else "[yellow]–[/]"
        screen.console().print(f"{mark} [bold]{finding.name:<13}[/] {escape(finding.found)}", soft_wrap=True)
        if finding.fix:
            screen.say(f"                {finding.fix}")


def python() -> Finding:
    return Finding("python", sys.version_info >= (3, 11), f"{platform.python_version()}, {sys.executable}")


def packages() -> list[Finding]:
    """Everything the results depend on, and its version."""
    found = []
    for name, version in versions().items():
        missing = version == "not installed"
        found.append(Finding(name, not missing, version, f"pip install {name}" if missing else ""))
    return found


def uv() -> Finding:
    """uv prepares Lava's environment."""
    path = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    try:
        version = metadata.version("uv")
    except metadata.PackageNotFoundError:
        version = ""
    found = ", ".join(filter(None, (version, path or "")))
    return Finding("uv", bool(found), found or "not found", "" if found else "pip install uv")


def lava() -> Finding:
    """Where the Python 3.10 for real Lava is, or where it was looked for."""
    from filopodia.hardware.lava.python import LAVA_VERSION, WAYS_OUT, find_python

    try:
        found = find_python()
    except LavaError as error:
        return Finding("lava", False, error.found, error.fix)
    if found is None:
        looked = "no Python 3.10 on PATH, under pyenv or among uv's own"
        return Finding("lava", False, looked, WAYS_OUT)
    ready = f"lava-nc {found.lava} installed in it" if found.has_lava else f"uv brings lava-nc {LAVA_VERSION} on first use"
    return Finding("lava", True, f"Python {found.version} at {found.path} (from {found.origin}); {ready}")


def chromium() -> Finding:
    """A browser, which only the report's own tests need."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return Finding("browser", True, path or "none found (only the report's own tests use one)")


def host() -> Finding:
    return Finding("machine", True, ", ".join(machine().values()))
