"""The random changes of `layers.augmentation` for PyTorch, and a mix of colours besides."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sentinode.data.stain import STAINS

Draw = Callable[..., Tensor]


@dataclass(frozen=True)
class Changes:
    """How far patches are changed, each kind as a part of what its layer in the package says.

    Attributes
    ----------
    placement, focus, stain, light
        The strength of `RandomPlacement` and so on.
    colours
        Of a random matrix by which red, green and blue are mixed: one, and up to ± 0.1 for each of its nine numbers.
    """

    placement: float = 0.8
    focus: float = 0.8
    stain: float = 0.8
    light: float = 0.8
    colours: float = 0.0

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Change patches ``(n, 3, side, side)``, float32, 0 to 255; whole numbers come out."""

        def draw(strength: float, *shape: int) -> Tensor:
            return (torch.rand(len(pixels), *shape, device=pixels.device) * 2 - 1) * strength

        placed = _placed(pixels, draw, self.placement)
        focused = placed + draw(self.focus, 1, 1, 1).clamp(0, 1) * (_blurred(placed) - placed)
        unmixed = _mixed(-torch.log((focused.clamp(0) + 1) / 256), _matrices(pixels.device)[0])
        unmixed = unmixed * (1 + 0.15 * draw(self.stain, 3, 1, 1)) + 0.05 * draw(self.stain, 3, 1, 1)
        stained = 256 * torch.exp(-_mixed(unmixed, _matrices(pixels.device)[1])) - 1
        if self.colours:
            stained = torch.einsum(
                "nchw,ncd->ndhw", stained, _matrices(pixels.device)[2] + 0.1 * draw(self.colours, 3, 3)
            )
        exposure = np.log(1.35) * draw(self.light, 1, 1, 1) + np.log(1.05) * draw(self.light, 3, 1, 1)
        return (stained * torch.exp(exposure)).clamp(0, 255).round()


def _placed(pixels: Tensor, draw: Draw, strength: float) -> Tensor:
    count, side = len(pixels), pixels.shape[-1]
    turned = (torch.rand(count, device=pixels.device) < 0.5).float()
    angle, size = np.pi / 4 * draw(strength) * turned, torch.exp(0.12 * draw(strength) * turned)
    down, right = (torch.where(turned > 0, shift, shift.round()) for shift in (4 * draw(strength), 4 * draw(strength)))
    cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
    # Lengths are in halves of a side, from −1 to 1.
    rows = torch.stack([cos, -sin, 2 * right / side, sin, cos, 2 * down / side], 1).reshape(count, 2, 3)
    grid = F.affine_grid(rows, [count, 3, side, side], align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def _blurred(pixels: Tensor) -> Tensor:
    """Return means with weights 1, 2, 1 along both axes."""
    x = F.pad(pixels, (1, 1, 1, 1), mode="replicate")
    x = (x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]) / 4
    return (x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]) / 4


def _mixed(channels: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("nchw,cd->ndhw", channels, matrix)


@cache
def _matrices(device: torch.device) -> tuple[Tensor, ...]:
    """Return the matrices that unmix the stains, that mix them, and one: copied to the device once."""
    matrices = (np.linalg.inv(STAINS), STAINS, np.eye(3))
    return tuple(torch.tensor(matrix, dtype=torch.float32, device=device) for matrix in matrices)
