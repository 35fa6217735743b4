"""filopodia: from a spiking network in PyTorch to a neuromorphic chip, every step proved."""

__version__ = "0.1.0"
