"""SOAP, the optimiser of `livestyle train` and `livestyle add-style`."""

import copy

import pytest
import torch
from torch import Tensor, nn

from livestyle.errors import ConfigError
from livestyle.train.soap import Soap


def make_problem(seed: int = 1) -> tuple[nn.Conv2d, Tensor, Tensor]:
    """A convolution to find, behind one that mixes channels of very different strength: (layer, input, output)."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    layer, truth = nn.Conv2d(8, 6, 3), nn.Conv2d(8, 6, 3)
    mixing = torch.linalg.qr(torch.randn(8, 8, generator=generator))[0] * torch.logspace(0, -2, 8)
    pictures = torch.einsum("oc,nchw->nohw", mixing, torch.randn(4, 8, 12, 12, generator=generator))
    with torch.no_grad():
        return layer, pictures, truth(pictures)


def descend(optimizer: torch.optim.Optimizer, problem: tuple[nn.Conv2d, Tensor, Tensor], steps: int) -> list[float]:
    layer, pictures, wanted = problem
    losses = []
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        loss = (layer(pictures) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_it_goes_down_faster_than_adam_where_channels_are_mixed() -> None:
    ours, adams = make_problem(), make_problem()
    assert torch.equal(ours[0].weight, adams[0].weight)
    first, *_, last = descend(Soap(ours[0].parameters(), lr=3e-3), ours, 300)
    *_, adam = descend(torch.optim.Adam(adams[0].parameters(), lr=3e-3), adams, 300)
    assert last < 1e-3 * first
    assert last < 0.1 * adam


def test_what_has_no_gradient_stays_and_begins_with_its_first() -> None:
    problem = make_problem()
    idle = nn.Parameter(torch.ones(3, 4))
    optimizer = Soap([*problem[0].parameters(), idle], lr=1e-2)
    descend(optimizer, problem, 12)
    assert torch.equal(idle, torch.ones(3, 4))
    assert idle not in optimizer.state
    for step in range(3):
        idle.grad = torch.ones(3, 4)
        optimizer.step()
        assert bool((idle < 1.0).all()) == (step > 0)  # the first gradient only begins the preconditioner


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-12, 1.0])
def test_gradients_that_are_next_to_nothing_or_of_one_row_are_taken(size: float) -> None:
    weight = nn.Parameter(torch.zeros(48, 64, 3, 3))
    optimizer = Soap([weight], lr=1e-2)
    generator = torch.Generator().manual_seed(1)
    for _ in range(12):
        weight.grad = torch.zeros_like(weight)
        weight.grad[5] = size * torch.randn(64, 3, 3, generator=generator)
        optimizer.step()
    assert bool(weight.isfinite().all())
    assert float(weight.detach().abs().max()) <= 0.12 * 64**0.5  # twelve steps, turned in all directions of a row


def test_its_state_is_enough_to_go_on_exactly() -> None:
    problem = make_problem()
    optimizer = Soap(problem[0].parameters(), lr=1e-2)
    descend(optimizer, problem, 15)
    layer = copy.deepcopy(problem[0])
    later = Soap(layer.parameters(), lr=1e-2)
    later.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    went_on = descend(optimizer, problem, 15)
    assert descend(later, (layer, *problem[1:]), 15) == went_on
    assert torch.equal(layer.weight, problem[0].weight)


def test_the_state_of_adam_is_refused_in_words() -> None:
    problem = make_problem()
    adam = torch.optim.Adam(problem[0].parameters(), lr=1e-2)
    descend(adam, problem, 2)
    with pytest.raises(ConfigError, match="begin it anew"):
        Soap(problem[0].parameters(), lr=1e-2).load_state_dict(adam.state_dict())
