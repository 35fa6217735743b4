"""Keep the zeros of a finalized network zero while something else trains it on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from filopodia.prune.attach import WEIGHTED


def hold_zeros(net: nn.Module, optimizer: Optimizer) -> Callable[[], None]:
    """After every step of `optimizer`, put the zero weights that `net`'s Linear and Conv layers have now back to zero.

    Returns the function that ends it. Works with any optimizer, momentum and weight decay included.
    """
    held = [(module.weight, module.weight.detach() == 0) for module in net.modules() if isinstance(module, WEIGHTED)]

    @torch.no_grad()
    def after(*_: Any) -> None:
        for weight, zero in held:
            weight.masked_fill_(zero, 0.0)

    return optimizer.register_step_post_hook(after).remove
