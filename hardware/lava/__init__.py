"""Real Lava 0.10.0 as a backend: found, fed, followed and ended in a process of its own."""

from filopodia.hardware.lava.runner import LavaStopped, run_lava

__all__ = ["LavaStopped", "run_lava"]
