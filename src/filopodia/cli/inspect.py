"""`filopodia inspect`: what is in a run folder or in one file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import tyro

from filopodia.cli import screen
from filopodia.cli.arguments import parse
from filopodia.cli.places import DEFAULT, NETWORKS
from filopodia.cli.steps import print_json
from filopodia.errors import FileError
from filopodia.provenance import load_provenance
from filopodia.report.wording import count, duration
from filopodia.run import RunFolder, open_run


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    path: tyro.conf.Positional[Path] = DEFAULT
    """A run folder, a NIR file, or an .npz file of ours."""
    json: bool = False
    """Print JSON and nothing else."""


def main(words: Sequence[str]) -> None:
    arguments = parse("inspect", Arguments, words)
    path = arguments.path.expanduser()
    value = describe(path)
    if arguments.json:
        print_json(value)
        return
    screen.say(f"{path}: {value['what']}")
    for title, rows in value["tables"].items():
        if rows:
            screen.heading(title)
            screen.table(list(rows[0]), [[shown(cell) for cell in row.values()] for row in rows])
    for key, cell in value["facts"].items():
        screen.say(f"  {key}: {shown(cell)}")


def describe(path: Path) -> dict[str, Any]:
    """What `path` is, as plain values: "what", "facts" by name, "tables" as lists of rows. Raises FileError."""
    if path.is_dir():
        return run_folder(open_run(path))
    if not path.exists():
        raise FileError("no such file or folder", where=str(path))
    if path.suffix in NETWORKS:
        return network(path)
    if path.suffix == ".npz":
        return arrays(path)
    allowed = f"a run folder, a NIR file ({', '.join(NETWORKS)}), or an .npz file of filopodia"
    raise FileError(f"a {path.suffix or 'nameless'} file", where=str(path), allowed=allowed)


def run_folder(folder: RunFolder) -> dict[str, Any]:
    """Steps done and files present."""
    stages = [
        {"step": name, "took": duration(record.seconds), "result": record.skipped or record.summary}
        for name, record in load_provenance(folder).stages.items()
    ]
    files = [{"file": name, "bytes": (folder / name).stat().st_size} for name in folder.present()]
    return {"what": "a run folder", "tables": {"Steps": stages, "Files": files}, "facts": {}}


def network(path: Path) -> dict[str, Any]:
    """Nodes, shapes and semantics of a NIR file."""
    import numpy as np

    from filopodia import hardware

    loaded = hardware.load(path)
    rows = []
    for name, node in loaded.nodes.items():
        weight = getattr(node, "weight", None)
        rows.append(
            {
                "node": name,
                "kind": type(node).__name__,
                "output": "×".join(map(str, loaded.shapes[name])),
                "weights": int(weight.size) if weight is not None else "",
                "non-zero": int(np.count_nonzero(weight)) if weight is not None else "",
                "from": ", ".join(loaded.sources(name)),
            }
        )
    facts = {field: getattr(loaded.semantics, field) for field in loaded.semantics.__dataclass_fields__}
    return {"what": f"a NIR graph of {len(rows)} nodes", "tables": {"Nodes": rows}, "facts": facts}


def arrays(path: Path) -> dict[str, Any]:
    """A program's layers and connections, or an activity's or golden file's arrays."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            entry = file["header"]
            text = bytes(entry).decode() if entry.dtype == np.uint8 else str(entry[()])
            header = json.loads(text)
            shapes = [(name, file[name].shape, str(file[name].dtype)) for name in file.files if name != "header"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"not a file of filopodia, or cut short ({error})", where=str(path)) from None
    what = f"{header.get('format', 'unknown')}, version {header.get('version', '?')}"
    if header.get("format") == "filopodia program":
        return {"what": what, **program(path)}
    rows = [{"array": name, "shape": "×".join(map(str, shape)), "type": kind} for name, shape, kind in shapes]
    facts = {
        key: value for key, value in header.items() if isinstance(value, str | int | float) and key not in {"format", "version"}
    }
    return {"what": what, "tables": {"Arrays": rows}, "facts": facts}


def program(path: Path) -> dict[str, Any]:
    """Layers and connections of a program file."""
    from filopodia import hardware

    loaded = hardware.load_program(path)
    layers = [
        {"layer": layer.name, "shape": "×".join(map(str, layer.shape)), "latency": layer.latency, "reset": layer.reset}
        for layer in loaded.layers
    ]
    connections = [
        {"connection": c.name, "stored as": type(c.synapses).__name__.lower(), "exponent": c.weight_exp, "delay": c.delay}
        for c in loaded.connections
    ]
    facts = {"chip": loaded.chip or "none", "cores": len(loaded.cores), "outputs": ", ".join(loaded.outputs)}
    return {"tables": {"Layers": layers, "Connections": connections}, "facts": facts}


def shown(cell: Any) -> str:
    """A cell as text; whole numbers with thin spaces."""
    return count(cell) if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)
