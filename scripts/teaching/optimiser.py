"""The steps of `training.muon` for PyTorch, as operations of the device alone: nothing waits for the host."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sentinode.training.config import RECIPES
from sentinode.training.muon import ADAM_PART
from teaching.network import Network

RECIPE = RECIPES["flagship"]
# Batches are twice as large as the recipe's, so the running mean forgets twice as much in a step.
EMA = RECIPE["ema"] ** 2


class Optimiser:
    """Muon for kernels, AdamW for the rest, and the running mean of the weights.

    Attributes
    ----------
    rate
        The learning rate: a tensor, to be filled before a step.
    weights
        What is learned.
    """

    def __init__(self, network: Network) -> None:
        self.names, self.weights = zip(*network.named_parameters(), strict=True)
        self.rate, self._step = (torch.zeros((), device=self.weights[0].device) for _ in range(2))
        self._first, self._second = ([torch.zeros_like(weight) for weight in self.weights] for _ in range(2))
        self._mean = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def apply(self, gradients: Sequence[Tensor]) -> None:
        """Take a step."""
        self._step += 1
        for name, weight, gradient, first, second in zip(
            self.names, self.weights, gradients, self._first, self._second, strict=True
        ):
            if name.startswith("kernel"):
                weight.mul_(1 - RECIPE["weight_decay"] * self.rate)
                first.mul_(RECIPE["momentum"]).add_(gradient)
                ahead = (gradient + RECIPE["momentum"] * first).reshape(-1, weight.shape[-1])
                weight.sub_(_alike(ahead).reshape(weight.shape) * self.rate)
                continue
            if name == "head":
                weight.mul_(1 - RECIPE["weight_decay"] * ADAM_PART * self.rate)
            first.lerp_(gradient, 0.1)
            second.lerp_(gradient.square(), 0.01)
            unbiased = torch.sqrt(-torch.expm1(self._step * np.log(0.99))) / -torch.expm1(self._step * np.log(0.9))
            weight.sub_(ADAM_PART * self.rate * unbiased * first / (second.sqrt() + 1e-7))
        torch._foreach_lerp_(self._mean, self.weights, 1 - EMA)

    def forget(self) -> None:
        """Be as before the first step; weights stay as they are."""
        for tensor in (self._step, *self._first, *self._second):
            tensor.zero_()

    @torch.no_grad()
    def put_mean_in(self) -> None:
        """Give the network the running mean of its weights."""
        for weight, mean in zip(self.weights, self._mean, strict=True):
            weight.copy_(mean)


def _alike(matrix: Tensor) -> Tensor:
    """Make the singular values alike, by four steps of Newton and Schulz."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-7)
    for _ in range(4):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x if wide else x.T
