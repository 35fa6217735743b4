"""Put a parametrization on a module's weight and take it off again, leaving the module picklable in between.

`torch.nn.utils.parametrize` makes `layer.weight` the pruned weight for every reader (forward pass, exporters, counters), and
keeps the very same Parameter object as θ, so an optimizer built earlier goes on training it. What it lacks is pickling and
independent deep copies.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from filopodia.errors import UnsupportedError
from filopodia.prune.theta import SpineSize

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # SpikingJelly's layers are subclasses


def attach(module: nn.Module, name: str, spine: nn.Module, *, where: str = "") -> nn.Parameter:
    """Parametrize `module.<name>` with `spine` and return θ, the Parameter that stays in the optimizer.

    Raises UnsupportedError if the tensor carries a parametrization already.
    """
    check_plain(module, name, where)
    parametrize.register_parametrization(module, name, spine, unsafe=True)
    # register_parametrization made a class for this one module, so this changes no other.
    type(module).__reduce_ex__ = _reduce  # type: ignore[method-assign, assignment]
    type(module).__deepcopy__ = _deepcopy  # type: ignore[attr-defined]
    return theta_of(module, name)


def check_plain(module: nn.Module, name: str, where: str = "") -> None:
    """Raise UnsupportedError if the tensor carries a parametrization already."""
    if parametrize.is_parametrized(module, name):
        raise UnsupportedError(
            "is parametrized already",
            where=where or name,
            allowed="a plain parameter",
            fix="finalize() the other pruner first, or remove_parametrizations()",
        )


def detach(module: nn.Module, name: str) -> None:
    """Leave a plain Parameter holding the present weight."""
    parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def theta_of(module: nn.Module, name: str) -> nn.Parameter:
    """The Parameter behind a parametrized weight."""
    theta = module.parametrizations[name].original  # type: ignore[index, union-attr]
    assert isinstance(theta, nn.Parameter)
    return theta


def spine_of(module: nn.Module, name: str) -> SpineSize:
    """The parametrization of a weight; KeyError or AttributeError if it has none of ours."""
    spine = module.parametrizations[name][0]  # type: ignore[index]
    assert isinstance(spine, SpineSize)
    return spine


def _reduce(module: nn.Module, protocol: Any) -> tuple[Any, tuple[Any, ...]]:
    # The class torch made has no importable name: pickle the plain class and the state, and parametrize again on loading.
    return _rebuild, (type(module).__bases__[0], dict(module.__dict__))


def _deepcopy(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    # torch's own copy shares the made class with the original, and loses its weight when the original is finalized.
    plain, state = type(module).__bases__[0], copy.deepcopy(dict(module.__dict__), memo)
    memo[id(module)] = replica = _rebuild(plain, state)
    return replica


def _rebuild(plain: type[nn.Module], state: dict[str, Any]) -> nn.Module:
    module = plain.__new__(plain)
    module.__dict__.update(state)
    module.__dict__["_modules"] = dict(state["_modules"])
    lists = module._modules.pop("parametrizations")
    assert isinstance(lists, nn.ModuleDict)
    for name, tensors in lists.items():
        spine, theta = tensors[0], tensors.original  # type: ignore[index]
        assert isinstance(theta, nn.Parameter)
        module.register_parameter(name, theta)
        # A blank spine first: registering would otherwise map θ through the inverse of a threshold it already has.
        attach(module, name, SpineSize(theta))
        module.parametrizations[name][0] = spine  # type: ignore[index]
    return module
