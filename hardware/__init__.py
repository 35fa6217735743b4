"""NIR to neurocores: networks, the compiler, the integer simulator, real Lava, energy. Never imports torch."""

if __name__ == "hardware":
    raise ImportError(
        "write `from filopodia import hardware`: this folder is the package filopodia.hardware, not a top-level module"
    )

from filopodia.hardware.activity import Activity as Activity
from filopodia.hardware.activity_file import load_activity as load_activity
from filopodia.hardware.activity_file import save_activity as save_activity
from filopodia.hardware.chip import Chip as Chip
from filopodia.hardware.chip import chip_names as chip_names
from filopodia.hardware.chip import load_chip as load_chip
from filopodia.hardware.chip import load_costs as load_costs
from filopodia.hardware.coding import latency_spikes as latency_spikes
from filopodia.hardware.coding import rate_spikes as rate_spikes
from filopodia.hardware.compiler.analog import Graded as Graded
from filopodia.hardware.compiler.analog import analog_messages as analog_messages
from filopodia.hardware.compiler.pipeline import compile as compile
from filopodia.hardware.energy.baselines import ann as ann
from filopodia.hardware.energy.compare import compare as compare
from filopodia.hardware.energy.comparison import against_baselines as against_baselines
from filopodia.hardware.energy.estimate import estimate as estimate
from filopodia.hardware.energy.neurobench import neurobench_metrics as neurobench_metrics
from filopodia.hardware.energy.result import Estimate as Estimate
from filopodia.hardware.lava.runner import run_lava as run_lava
from filopodia.hardware.network import Network as Network
from filopodia.hardware.network import Semantics as Semantics
from filopodia.hardware.network import load as load
from filopodia.hardware.program import Connection as Connection
from filopodia.hardware.program import Conv as Conv
from filopodia.hardware.program import Dense as Dense
from filopodia.hardware.program import Input as Input
from filopodia.hardware.program import Layer as Layer
from filopodia.hardware.program import Program as Program
from filopodia.hardware.program import Sparse as Sparse
from filopodia.hardware.program_file import load_program as load_program
from filopodia.hardware.program_file import save_program as save_program
from filopodia.hardware.simulator.simulate import simulate as simulate
from filopodia.hardware.verify import verify as verify
