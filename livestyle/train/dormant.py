"""Channels that have died behind their ReLU: found, and begun anew.

A channel whose ReLU is never open gets no gradient and stays dead. Without norms between the layers many die: after
8,300 steps of `livestyle train` 29 of 48 features and 57 of 64 channels of a residual had. They are given new weights
every `REVIVE_EVERY` steps of the first half of a run, as in ReDo (Sokar et al., "The Dormant Neuron Phenomenon in Deep
Reinforcement Learning", ICML 2023), so that the whole network works for what it costs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from livestyle.model.bank import StyleBankNetwork

REVIVE_EVERY = 1000  # steps
SELDOM = 1e-3  # a channel is dormant when it is open in less than this part of a picture, whatever the style

FEATURES = "encoder.to_quarter"  # what gives the features, in every profile


def revive(
    network: StyleBankNetwork, optimizer: torch.optim.Optimizer, photos: Sequence[Tensor], generator: torch.Generator
) -> int:
    """Begin the dormant channels anew; returns how many there were. They are found by painting ``photos``."""
    opened = measure_openness(network, photos)
    count = 0
    for name, share in opened.items():
        dormant = torch.nonzero(share < SELDOM).flatten()
        begin_anew(network.get_submodule(name), dormant, optimizer, generator)
        if name == FEATURES:
            # Whatever their size, features are normalised to unit variance before the banks
            for weight in network.bank.weights.values():
                weight.data[:, dormant] = 0.0
        count += len(dormant)
    return count


def measure_openness(network: StyleBankNetwork, photos: Sequence[Tensor]) -> dict[str, Tensor]:
    """The part of a picture (0 to 1) in which each channel before a ReLU is positive, most of all styles and photos."""
    opened: dict[str, Tensor] = {}

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def look(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            share = (output > 0.0).float().mean(dim=(0, 2, 3))
            opened[name] = torch.maximum(opened[name], share) if name in opened else share

        return network.get_submodule(name).register_forward_hook(look)

    handles = [watch(name) for name in network.profile.rectified]
    with torch.no_grad():
        for photo in photos:
            network.reconstruct(photo)
            for style in network.bank.styles:
                network.paint(photo, [style])
    for handle in handles:
        handle.remove()
    return opened


def begin_anew(
    layer: nn.Module, channels: Tensor, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> None:
    """Random weights for ``channels`` of a convolution, whose moments begin anew with them.

    The weights for each incoming channel sum to 0: the mean of what comes in, which is not negative, would otherwise
    hold half of the channels open everywhere and the other half closed for good. They answer to edges at first, and
    little enough that the picture hardly changes.
    """
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    fresh = torch.randn((len(channels), *weight.shape[1:]), generator=generator) * (2.0 / weight[0].numel()) ** 0.5
    weight.data[channels] = (fresh - fresh.mean(dim=(2, 3), keepdim=True)).to(weight.device)
    bias.data[channels] = 0.0
    for parameter in (weight, bias):
        optimizer.state.pop(parameter, None)  # its moments are of channels that had no gradient
