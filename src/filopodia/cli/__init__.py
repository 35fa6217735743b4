"""The command line. This module imports nothing heavy, so `filopodia --help` answers at once; a verb loads what it needs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

VERBS = {
    "run": "the whole chain: train, export, compile, simulate, Lava, verify, estimate, report",
    "train": "train a network sparse, from a configuration",
    "export": "write the trained network as NIR and ONNX, with golden spikes to check every later step",
    "inspect": "say what is in a run folder, a NIR file, a program, an activity or golden spikes",
    "compile": "turn a NIR file into integers, placed on a chip's cores",
    "simulate": "run the program on the bit-exact integer simulator",
    "lava": "run the same program on real Lava",
    "verify": "compare torch, float NIR, integers and Lava, layer by layer and step by step",
    "estimate": "count events and price them: energy and latency, with ranges",
    "report": "write report.json and report.html",
    "compare": "several runs side by side",
    "bench": "time the simulator on a run folder's program",
    "doctor": "what is installed, and whether real Lava can run",
}
EXAMPLES = (
    ("filopodia run", "digits, from training to the report, in runs/digits"),
    ("filopodia run --compile.chip loihi1", "the same on another chip; what is up to date is kept"),
    ("filopodia run my.toml", "with a configuration of yours"),
    ("filopodia compile my.nir --chip loihi2", "any NIR file onto a chip"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit code 0: done; 2: the user's input or a limit of the chip; 1: a bug of ours, with its traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in {"-h", "--help", "help"}:
        print(overview())
        return 0
    if words[0] in {"-V", "--version"}:
        from filopodia import __version__

        print(f"filopodia {__version__}")
        return 0
    if words[0] not in VERBS:
        return refuse(words[0])
    return guarded(words[0], words[1:])


def guarded(verb: str, words: list[str]) -> int:
    """Run a verb; errors that the user can put right end in their message alone."""
    from filopodia.errors import FilopodiaError

    try:
        module = importlib.import_module(f"filopodia.cli.{verb}")
        module.main(words)
        sys.stdout.flush()
    except FilopodiaError as error:
        print(f"filopodia {verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; what was finished is kept, and the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output left, as in `filopodia inspect | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def overview() -> str:
    """What `filopodia --help` prints."""
    width = max(map(len, VERBS))
    wide = max(len(command) for command, _ in EXAMPLES)
    return "\n".join(
        [
            "usage: filopodia VERB [PATH] [OPTIONS]",
            "",
            "From a spiking network in PyTorch to a neuromorphic chip, every step proved.",
            "",
            "verbs (each takes a run folder or a file; `filopodia VERB --help` lists its options):",
            *(f"  {verb:<{width}}  {text}" for verb, text in VERBS.items()),
            "",
            "examples:",
            *(f"  {command:<{wide}}  {text}" for command, text in EXAMPLES),
        ]
    )


def refuse(word: str) -> int:
    """Say that there is no such verb, and which one may have been meant."""
    import difflib

    near = difflib.get_close_matches(word, VERBS, n=1)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    print(f"filopodia: no verb `{word}`{hint}\n  allowed: {', '.join(VERBS)}", file=sys.stderr)
    return 2
