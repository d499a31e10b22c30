"""Settings of the extraction."""

from dataclasses import dataclass
from typing import Literal, get_args

from sentinode.errors import ConfigError

Balance = Literal["equal", "all"]


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """Which patches are extracted.

    Attributes
    ----------
    step_px : int
        Distance of neighboring candidates in pixels of 0.972 µm. At 32 px each pixel lies in the center of one patch.
    max_per_slide : int
        Most patches of each class from one slide.
    balance : {"equal", "all"}
        As many normal as tumour patches over all slides, spread evenly over them; or all up to `max_per_slide`.
    hard_fraction : float
        Fraction of hard negatives among the normal patches, as far as a scan found so many.
    hard_threshold : float
        Probability of tumour from which on a normal patch is a hard negative.
    unannotated_normal : bool
        Whether slides without annotations hold no tumour; otherwise they are failures.
    annotated_only : bool
        Whether normal patches come from annotated normal regions only, as for slides that are annotated in part;
        otherwise all tissue that is not tumour is normal.
    force : bool
        Whether given µm per pixel are taken although those of a file differ by more than a factor of 1.5.
    seed : int
        Seed of the random choice.

    Raises
    ------
    ConfigError
        A value is not possible.
    """

    step_px: int = 32
    max_per_slide: int = 1000
    balance: Balance = "equal"
    hard_fraction: float = 0.5
    hard_threshold: float = 0.5
    unannotated_normal: bool = False
    annotated_only: bool = False
    force: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("step_px", "max_per_slide"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("hard_fraction", "hard_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be between 0 and 1; got {getattr(self, name)}")
        if self.annotated_only and self.unannotated_normal:
            raise ConfigError(
                "annotated_only and unannotated_normal (--annotated-only, --unannotated-normal) contradict each other; "
                "choose one"
            )
        if self.balance not in get_args(Balance):
            raise ConfigError(f"balance must be one of {', '.join(get_args(Balance))}; got {self.balance!r}")
