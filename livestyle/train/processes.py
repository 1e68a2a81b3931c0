"""One training run on several GPUs or machines: each process draws its own crops, and gradients are averaged.

``torchrun --nproc-per-node N -m livestyle train …`` starts the processes and tells each its rank in the environment.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from livestyle.model.bank import StyleBankNetwork

Terms = dict[str, Tensor]
Measure = Callable[[StyleBankNetwork], tuple[Tensor, Terms]]  # gives (loss, its terms)


@dataclass(frozen=True, slots=True)
class Process:
    """This process: which of how many, and what it computes on. Rank 0 is the one that writes."""

    rank: int
    count: int
    device: torch.device


def choose_device(rank: int = 0) -> torch.device:
    """The GPU of a local rank, or the processor where there is no GPU."""
    return torch.device("cuda", rank % torch.cuda.device_count()) if torch.cuda.is_available() else torch.device("cpu")


@contextlib.contextmanager
def join_processes() -> Iterator[Process]:
    """Find the other processes of this run, if there are any; leaves them at the end."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    device = choose_device(int(os.environ.get("LOCAL_RANK", "0")))
    if count == 1:
        yield Process(0, 1, device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Process(torch.distributed.get_rank(), count, device)
    finally:
        torch.distributed.destroy_process_group()


class Step(nn.Module):
    """A network as a module whose one forward is a whole loss, which is what DistributedDataParallel can wrap.

    Both branches of StyleBank run through it, and the network may paint several times for one loss.
    """

    def __init__(self, network: StyleBankNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, measure: Measure) -> tuple[Tensor, Terms]:
        return measure(self.network)


def share_gradients(network: StyleBankNetwork, process: Process) -> nn.Module:
    """A `Step` whose backward pass leaves the mean gradient of all processes in the parameters of each.

    Banks that no process has drawn keep no gradient, as in one process.
    """
    step = Step(network)
    if process.count == 1:
        return step
    return DistributedDataParallel(step, find_unused_parameters=True)
