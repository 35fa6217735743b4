"""The pruners STDS is measured against, under its API: same layers, same steps, same exact target, same frozen end."""

from __future__ import annotations

from filopodia.prune.rivals.growing import RigL as RigL
from filopodia.prune.rivals.growing import SparseEvolution as SparseEvolution
from filopodia.prune.rivals.magnitude import GradualMagnitude as GradualMagnitude
from filopodia.prune.rivals.magnitude import OneShotMagnitude as OneShotMagnitude
from filopodia.prune.rivals.magnitude import RandomMask as RandomMask
from filopodia.prune.rivals.rewiring import GradR as GradR
from filopodia.prune.rivals.soft import SoftThreshold as SoftThreshold
from filopodia.prune.rivals.upr import UPR as UPR
