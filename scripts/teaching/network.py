"""`models.d4net` as a module of PyTorch, and wider and deeper networks of the same layers, which only teach."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sentinode.layers.d4 import ORDER, kernel_table
from sentinode.models.d4net import KERNELS, WIDTHS

EPSILON = 1e-3
# Of each layer, in the order of Keras' `get_weights`.
PARTS = ("kernel", "gamma", "beta", "mean", "variance")


class Layer(NamedTuple):
    """A convolution: channels of each block, side, stride and padding, and how many layers back a sum reaches."""

    width: int
    side: int
    stride: int
    padding: int = 0
    skip: int = 0


def d4net(widths: Sequence[int]) -> list[Layer]:
    """Return the layers of the package's network."""
    return [Layer(width, *kernel) for width, kernel in zip(widths, KERNELS, strict=True)]


def residual(widths: Sequence[int], pairs: int) -> list[Layer]:
    """Return those of a deep one: pairs of padded convolutions that the map is handed on around (He et al. 2016)."""
    layers = [Layer(widths[0], 4, 2)]
    for width in widths[1:]:
        layers += [Layer(width, 3, 2), *[Layer(width, 3, 1, 1), Layer(width, 3, 1, 1, skip=2)] * pairs]
    return layers


ARCHITECTURES: dict[str, list[Layer]] = {
    **{size: d4net(widths) for size, widths in WIDTHS.items()},
    "xl": d4net((12, 36, 36, 48, 48, 48, 48)),
    "deep": residual((8, 24, 40, 64), pairs=2),
}


class Turned(torch.autograd.Function):
    """Looks each place of a whole kernel up; each free number stands in eight places, added up in the same order."""

    @staticmethod
    def forward(ctx: Any, kernel: Tensor, table: Tensor, places: Tensor) -> Tensor:
        """Return the rows of the kernel that the table names."""
        ctx.save_for_backward(places)
        return kernel.index_select(0, table)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Return the sum over the places of each row."""
        (places,) = ctx.saved_tensors
        return gradient.index_select(0, places).reshape(-1, ORDER, *gradient.shape[1:]).sum(1), None, None


class Network(torch.nn.Module):
    """Pixels in, float32 ``(n, 3, 96, 96)`` from 0 to 255; logits out, ``(n,)``.

    On a GPU it computes in bfloat16 but for the mean over positions and the last layer.
    """

    def __init__(self, architecture: str, dropout: float = 0.2) -> None:
        super().__init__()
        self.layers, self.dropout = ARCHITECTURES[architecture], dropout
        channels, blocks = 3, 1
        for number, layer in enumerate(self.layers):
            rows = layer.side**2 * blocks
            kernel = torch.randn(rows, channels, layer.width) * (2 / (rows * channels)) ** 0.5
            table = torch.from_numpy(kernel_table(layer.side, blocks).ravel().astype(np.int64))
            self.register_parameter(f"kernel_{number}", torch.nn.Parameter(kernel))
            self.register_parameter(f"gamma_{number}", torch.nn.Parameter(torch.ones(layer.width)))
            self.register_parameter(f"beta_{number}", torch.nn.Parameter(torch.zeros(layer.width)))
            self.register_buffer(f"mean_{number}", torch.zeros(layer.width))
            self.register_buffer(f"variance_{number}", torch.ones(layer.width))
            self.register_buffer(f"table_{number}", table)
            self.register_buffer(f"places_{number}", table.argsort(stable=True))
            channels, blocks = layer.width, ORDER
        limit = (6 / (channels + 1)) ** 0.5
        self.head = torch.nn.Parameter(torch.empty(channels, 1).uniform_(-limit, limit))
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def of(self, part: str, number: int) -> Tensor:
        """Return a tensor of a layer."""
        return getattr(self, f"{part}_{number}")

    def forward(self, pixels: Tensor, seen: list[tuple[Tensor, Tensor]] | None = None) -> Tensor:
        """Compute; where statistics of the batch are used, ``seen`` gets each layer's variances and means."""
        x = (pixels * (4 / 255) - 2.8).to(torch.bfloat16 if pixels.is_cuda else torch.float32)
        maps = [x.contiguous(memory_format=torch.channels_last)]
        for number, layer in enumerate(self.layers):
            kernel = self.whole_kernel(number).to(x.dtype)
            x = F.conv2d(maps[-1], kernel, stride=layer.stride, padding=layer.padding)
            if seen is not None:
                seen.append(torch.var_mean(x.float(), dim=(0, 2, 3), correction=0))
            mean, variance, gamma, beta = (
                self.of(part, number).repeat(ORDER) for part in ("mean", "variance", "gamma", "beta")
            )
            if self.training:
                x = F.batch_norm(x, None, None, gamma, beta, True, 0.0, EPSILON)
            else:
                x = F.batch_norm(x, mean, variance, gamma, beta, False, 0.0, EPSILON)
            maps.append(F.relu(x + maps[-layer.skip] if layer.skip else x))
        x = maps[-1].float().mean((2, 3)).reshape(len(pixels), ORDER, -1).mean(1)
        return (F.dropout(x, self.dropout, self.training) @ self.head + self.bias)[:, 0]

    def whole_kernel(self, number: int) -> Tensor:
        """Return the kernel of the ordinary convolution, ``(8 * width, channels, side, side)``."""
        kernel, side = self.of("kernel", number), self.layers[number].side
        whole = Turned.apply(kernel, self.of("table", number), self.of("places", number))
        whole = whole.reshape(side * side, -1, ORDER, *kernel.shape[1:]).permute(2, 4, 1, 3, 0)
        whole = whole.reshape(ORDER * kernel.shape[2], -1, side, side)
        return whole.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def measure(self, batches: Iterable[Tensor]) -> None:
        """Measure the statistics of all normalisations on batches, each counting alike; predict from here on."""
        self.train()
        of_batches = []
        for pixels in batches:
            seen: list[tuple[Tensor, Tensor]] = []
            self(pixels, seen)
            of_batches.append([[part.reshape(ORDER, -1).mean(0) for part in layer] for layer in seen])
        for number, layers in enumerate(zip(*of_batches, strict=True)):
            variances, means = zip(*layers, strict=True)
            self.of("variance", number).copy_(torch.stack(variances).mean(0))
            self.of("mean", number).copy_(torch.stack(means).mean(0))
        self.eval()

    def to_arrays(self) -> list[np.ndarray]:
        """Return the weights in the order of Keras' `get_weights`."""
        return [tensor.detach().cpu().numpy() for tensor in self._in_order()]

    @torch.no_grad()
    def set_arrays(self, arrays: Sequence[np.ndarray]) -> None:
        """Take them."""
        for tensor, array in zip(self._in_order(), arrays, strict=True):
            tensor.copy_(torch.from_numpy(np.asarray(array)))

    def _in_order(self) -> list[Tensor]:
        return [*(self.of(part, number) for number in range(len(self.layers)) for part in PARTS), self.head, self.bias]
