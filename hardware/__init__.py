"""NIR to neurocores: networks, the compiler, the integer simulator, real Lava, energy. Never imports torch."""

if __name__ == "hardware":
    raise ImportError(
        "write `from filopodia import hardware`: this folder is the package filopodia.hardware, not a top-level module"
    )

from filopodia.hardware.chip import Chip, chip_names, load_chip, load_costs
from filopodia.hardware.energy.baselines import against_baselines, ann
from filopodia.hardware.energy.estimate import Estimate, estimate

__all__ = ["Chip", "Estimate", "against_baselines", "ann", "chip_names", "estimate", "load_chip", "load_costs"]
