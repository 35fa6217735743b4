"""Pruned networks under copying, pickling, compilation, autocast and several processes."""

from __future__ import annotations

import copy
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from filopodia.prune import STDS, DataConfig, DataSet, NetConfig, PruneConfig, Samples, TrainConfig, load_data, train


def made() -> tuple[nn.Module, torch.optim.Optimizer, STDS]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    return net, optimizer, STDS(net, optimizer=optimizer, total_steps=12, target_sparsity=0.8)


def learn(net: nn.Module, optimizer: torch.optim.Optimizer, pruner: STDS, steps: int) -> None:
    for _ in range(steps):
        x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(pruner.steps))
        optimizer.zero_grad()
        net(x).square().sum().backward()
        optimizer.step()
        pruner.step()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda parts: pickle.loads(pickle.dumps(parts))])
@pytest.mark.parametrize("taken", [3, 11])
def test_a_copy_of_net_optimizer_and_pruner_goes_on_alike(copied: Callable[[object], object], taken: int) -> None:
    parts = made()
    learn(*parts, taken)
    twin = copied(parts)
    learn(*parts, 12 - taken)
    learn(*twin, 12 - taken)
    for one, other in zip(parts[0].state_dict().values(), twin[0].state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(parts[2].finalize()[3].weight, twin[2].finalize()[3].weight)


def test_compiled_it_trains_alike_and_is_not_compiled_again_as_the_threshold_grows() -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        graphs.append(graph)
        return graph.forward

    plain, compiled = made(), made()
    fast = torch.compile(compiled[0], backend=backend, fullgraph=True)
    learn(*plain, 6)
    learn(fast, *compiled[1:], 6)
    assert len(graphs) == 1
    learn(*plain, 6)
    learn(fast, *compiled[1:], 6)  # the freeze comes in here
    assert len(graphs) == 2
    for one, other in zip(plain[0].state_dict().values(), compiled[0].state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


TINY = TrainConfig(
    data=DataConfig(steps=3),
    net=NetConfig(channels=(), pool=(), hidden=(16,), votes=1, batch_norm="none"),
    prune=PruneConfig(target_sparsity=0.7),
    epochs=3,
    batch_size=30,
    threads=1,
    device="cpu",
)


def few() -> DataSet:
    whole = load_data(DataConfig())
    return DataSet(
        Samples(whole.train.images[:100], whole.train.labels[:100]), Samples(whole.test.images[:50], whole.test.labels[:50])
    )


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_training_keeps_theta_and_zeros_exact(precision: str) -> None:
    net = NetConfig(channels=(4,), pool=(2,), hidden=(8,))
    running = train(msgspec.structs.replace(TINY, precision=precision, net=net), data=few())
    for _ in range(3):
        event = next(running)
    with pytest.raises(StopIteration) as stop:
        next(running)
    weights = [p for p in stop.value.value.parameters() if p.dim() > 1]
    assert {w.dtype for w in weights} == {torch.float32}
    total = sum(w.numel() for w in weights)
    assert sum(int((w == 0).sum()) for w in weights) == round(0.7 * total) == round(event.sparsity * total)


def test_accumulated_gradients_train_as_whole_batches_do(tmp_path: Path) -> None:
    for parts in (1, 3):
        list(train(msgspec.structs.replace(TINY, accumulate=parts), tmp_path / str(parts), data=few()))
    whole, split = (load_file(tmp_path / parts / "weights.safetensors") for parts in ("1", "3"))
    for name, tensor in whole.items():
        torch.testing.assert_close(split[name], tensor)


WORKER = """
import sys
import msgspec, torch
from filopodia.prune import DataSet, Samples, TrainConfig, load_data, train
config = msgspec.json.decode(sys.argv[1], type=TrainConfig)
parts = load_data(config.data)
few = [Samples(part.images[:count], part.labels[:count]) for part, count in ((parts.train, 100), (parts.test, 50))]
list(train(config, sys.argv[2], data=DataSet(*few)))
torch.distributed.destroy_process_group()
"""


@pytest.mark.parametrize("fixed_point", [0, 2])
def test_two_processes_give_what_one_gives(fixed_point: int, tmp_path: Path) -> None:
    config = msgspec.structs.replace(TINY, quantize_epochs=fixed_point)
    list(train(config, tmp_path / "one", data=few()))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", WORKER, msgspec.json.encode(config).decode(), str(tmp_path / "two")]
    workers = [subprocess.Popen(arguments, env={**os.environ, **place, "RANK": rank}) for rank in ("0", "1")]
    assert [worker.wait(timeout=240) for worker in workers] == [0, 0]
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor)
        assert torch.equal(two[name] == 0, tensor == 0)
