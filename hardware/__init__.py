"""NIR to neurocores: networks, the compiler, the integer simulator, real Lava, energy. Never imports torch."""

if __name__ == "hardware":
    raise ImportError(
        "write `from filopodia import hardware`: this folder is the package filopodia.hardware, not a top-level module"
    )

from filopodia.hardware.activity_file import load_activity as load_activity
from filopodia.hardware.activity_file import save_activity as save_activity
from filopodia.hardware.network import Network as Network
from filopodia.hardware.network import Semantics as Semantics
from filopodia.hardware.network import load as load
from filopodia.hardware.simulator.simulate import simulate as simulate
