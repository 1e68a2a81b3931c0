"""Feature maps that VGG would have turned into given deeper features: Deep Image Analogy's deconvolution, by L-BFGS."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from livestyle.train.vgg import VGG16

PICTURE = "picture"  # the layer below relu1_1: BGR on 0..255 less the mean
HISTORY = 2  # pairs that L-BFGS keeps: in so few steps as good as the official code's 4, and 200 MB less at 448×448
BFLOAT16 = bool(torch.cpu.get_capabilities().get("avx512_bf16"))  # half the time; where it is emulated it only costs
FIRST_STEP = 0.02  # of the features' own sum: without it the first line search spends five evaluations on growing


def forward_between(vgg: VGG16, features: Tensor, first: str, last: str) -> Tensor:
    """Features (N, C, h, w) of layer ``last`` from those of the earlier layer ``first`` (`PICTURE` or ``reluB_I``)."""
    start = 0 if first == PICTURE else vgg.names.index(first) + 1
    for number in range(start, vgg.names.index(last) + 1):
        if vgg.names[number].endswith("_1") and number > 0:
            features = F.max_pool2d(features, 2)
        features = F.relu(vgg.convolutions[number](features))
    return features


def reconstruct(
    vgg: VGG16,
    target: Tensor,
    start: Tensor,
    *,
    first: str,
    last: str,
    iterations: int,
    advance: Callable[[float], None] = lambda _: None,
) -> Tensor:
    """Features of ``first``, near ``start`` (1, C, h, w), that VGG turns into ``target``, features of ``last``.

    Minimises ‖VGG(x) - target‖² with at most ``iterations`` evaluations of the network and its gradient. The unknown
    is scaled so that L-BFGS's own first step, of size 1 in the sum of absolute values, is a sensible one. ``advance``
    hears 1.0 in all.
    """
    scale = FIRST_STEP * float(start.abs().sum())
    if scale == 0.0 or iterations == 0:  # a blank map stays blank: there is no gradient through dead units
        advance(1.0)
        return start
    # L-BFGS flattens its unknown, so that keeps the channels last itself.
    unknown = (start / scale).permute(0, 2, 3, 1).contiguous().requires_grad_()
    weight, done = 0.0, 0
    best, best_loss = start, float("inf")
    del start

    def evaluate() -> Tensor:
        nonlocal weight, done, best, best_loss
        with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
            error = forward_between(vgg, unknown.permute(0, 3, 1, 2) * scale, first, last) - target
        loss = error.square().sum()
        (gradient,) = torch.autograd.grad(loss, unknown)
        if not weight:
            weight = 1.0 / max(float(gradient.abs().sum()), 1e-30)
        unknown.grad = gradient * weight
        if loss.item() < best_loss:
            best, best_loss = unknown.detach().permute(0, 3, 1, 2) * scale, loss.item()
        done += 1
        if done <= iterations:
            advance(1.0 / iterations)
        return loss.detach() * weight

    optimiser = torch.optim.LBFGS(
        [unknown],
        max_iter=iterations,
        max_eval=iterations,
        history_size=HISTORY,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )
    optimiser.step(evaluate)  # type: ignore[no-untyped-call]
    if done < iterations:
        advance(1.0 - done / iterations)
    return best
