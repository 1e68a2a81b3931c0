"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al., ICLR 2025, arXiv 2409.11321).

The layers here have no norms between them and their gradients are far from axis-aligned, which is where Adam is slow.
Adding *leaves* on the frozen `live` network, 200 steps reach what Adam reaches in 400, for 0 to 5 % more time a step.
A kernel of a convolution is a matrix here, outgoing channels by all that comes in; pytorch-optimizer 4.1 has SOAP too,
but fails on biases when it is to merge dimensions so.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from livestyle.errors import ConfigError

MEMORY = 0.95  # of the moments and of the preconditioner, per step
EPSILON = 1e-5  # of the largest root of a second moment: less is rounding, not a direction to go
TINY = 1e-30  # where all gradients were 0
TURN_EVERY = 10  # steps, until the eigenbasis follows the gradients


class Soap(torch.optim.Optimizer):
    """Steps of size ``lr`` as Adam's. Parameters without a gradient keep their values and their state."""

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raises `ConfigError` for the state of another optimiser."""
        if any(moments and "mean" not in moments for moments in state_dict["state"].values()):
            raise ConfigError("an older livestyle began it, which trained with Adam: begin it anew")
        super().load_state_dict(state_dict)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient; its first one only begins the preconditioner."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad.reshape(len(parameter), -1)
                state = self.state[parameter]
                if not state:
                    state.update(_begin(gradient))
                    continue
                change = _follow(gradient, state)
                parameter.sub_(change.reshape(parameter.shape), alpha=group["lr"])
                if state["steps"] % TURN_EVERY == 0:
                    _turn(state)


def _begin(gradient: Tensor) -> dict[str, Any]:
    """``mean`` (rows, columns) is in the parameter's own axes, ``square`` in those of the basis."""
    state: dict[str, Any] = {"steps": 0, "mean": torch.zeros_like(gradient), "square": torch.zeros_like(gradient)}
    state.update(_sides(gradient))
    if "left" in state:
        # The factors' own eigenvectors, without their squares: of a gradient that is next to nothing those are no
        # numbers any more, and the search for eigenvectors of the rank-deficient one fails in float32
        size = gradient.abs().max().clamp_min(TINY)
        left, _, right = torch.linalg.svd((gradient / size).double())
        state["left_basis"], state["right_basis"] = left.to(gradient.dtype), right.mT.to(gradient.dtype).contiguous()
    return state


def _sides(gradient: Tensor) -> dict[str, Tensor]:
    """Shampoo's two factors. A bias has none, so that it is left to Adam."""
    if gradient.shape[1] == 1:
        return {}
    return {"left": gradient @ gradient.T, "right": gradient.T @ gradient}


def _follow(gradient: Tensor, state: dict[str, Any]) -> Tensor:
    """Take the gradient into the moments and give Adam's step, in the parameter's own axes."""
    state["steps"] += 1
    state["mean"].lerp_(gradient, 1.0 - MEMORY)
    state["square"].lerp_(_into(gradient, state).square(), 1.0 - MEMORY)
    unbias = 1.0 - MEMORY ** state["steps"]
    root: Tensor = (state["square"] / unbias).sqrt()
    step: Tensor = (_into(state["mean"], state) / unbias) / (root + EPSILON * root.max()).clamp_min(TINY)
    for side, matrix in _sides(gradient).items():
        state[side].lerp_(matrix, 1.0 - MEMORY)
    if "left" in state:
        step = state["left_basis"] @ step @ state["right_basis"].T
    return step


def _into(gradient: Tensor, state: dict[str, Any]) -> Tensor:
    if "left" not in state:
        return gradient
    turned: Tensor = state["left_basis"].T @ gradient @ state["right_basis"]
    return turned


def _turn(state: dict[str, Any]) -> None:
    """One round of power iteration for each basis; the second moments go along with their axes."""
    for dimension, side in enumerate(("left", "right")):
        if side not in state:
            continue
        turned = state[side] @ state[side + "_basis"]
        order = (state[side + "_basis"] * turned).sum(dim=0).argsort(descending=True)
        state["square"] = state["square"].index_select(dimension, order)
        state[side + "_basis"] = torch.linalg.qr(turned[:, order])[0]
