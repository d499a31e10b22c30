"""Where the weights of a run come from: starting weights, teachers, model soups."""

from dataclasses import dataclass, field
from typing import Any, Literal

from sentinode.errors import plural

Method = Literal["training", "linear probe", "unknown"]


@dataclass(frozen=True)
class Provenance:
    """How the weights of a run were made, through every step.

    Attributes
    ----------
    model : str
        The name of pretrained weights, or the path of the run directory.
    weights_sha256 : str
        SHA-256 of the file with the weights.
    method : {"training", "linear probe", "unknown"}
        Whether all trainable layers were trained, or only the last layer was fitted; unknown for a model file of other
        origin.
    data : str
        Path of the training data.
    normal, tumour : int
        Numbers of training patches.
    fingerprint : str
        Fingerprint of the training patches.
    starting_weights : Provenance or None
        The run whose weights were the initial ones; None for random or ImageNet weights.
    teachers : tuple of Provenance
        The runs whose predictions were the targets (knowledge distillation).
    soup : tuple of dict
        Settings of further training runs whose weights were averaged with those of the first (model soup).
    targets_sha256 : str or None
        SHA-256 of the stored probabilities that were the targets instead of labels.
    """

    model: str
    weights_sha256: str
    method: Method
    data: str
    normal: int
    tumour: int
    fingerprint: str
    starting_weights: "Provenance | None" = None
    teachers: "tuple[Provenance, ...]" = ()
    soup: tuple[dict[str, Any], ...] = field(default=())
    targets_sha256: str | None = None

    @property
    def patches(self) -> int:
        """Number of training patches."""
        return self.normal + self.tumour

    def sentences(self) -> list[str]:
        """Describe every step in one sentence, the last step first.

        Returns
        -------
        list of str

        Examples
        --------
        >>> first = Provenance("d4net-m", "ab", "training", "a.zip", 5, 5, "cd", soup=({"seed": 1},))
        >>> probe = Provenance("runs/probe", "ef", "linear probe", "b.zip", 1, 2, "gh", starting_weights=first)
        >>> for sentence in probe.sentences():
        ...     print(sentence)
        runs/probe: the last layer was fitted on 3 patches of b.zip; all other weights are those of d4net-m.
        d4net-m: the weights are the mean of 2 training runs (model soup), the first on 10 patches of a.zip.
        """
        return [self._sentence(), *(sentence for source in self._sources() for sentence in source.sentences())]

    def _sources(self) -> "tuple[Provenance, ...]":
        return (*([self.starting_weights] if self.starting_weights else []), *self.teachers)

    def _sentence(self) -> str:
        patches = f"{plural(self.patches, 'patch')} of {self.data}"
        start = self.starting_weights.model if self.starting_weights else None
        if self.method == "unknown":
            return f"{self.model}: an external model file (SHA-256 {self.weights_sha256}); its data are unknown."
        if self.method == "linear probe":
            others = f"all other weights are those of {start}" if start else "all other weights are the initial ones"
            return f"{self.model}: the last layer was fitted on {patches}; {others}."
        if self.soup:
            count = len(self.soup) + 1
            return (
                f"{self.model}: the weights are the mean of {count} training runs (model soup), the first on {patches}."
            )
        targets = ", with stored predictions as targets" if self.targets_sha256 else ""
        if self.teachers:
            stored = " and others, stored," if self.targets_sha256 else ""
            targets = f", with the predictions of {', '.join(each.model for each in self.teachers)}{stored} as targets"
        return f"{self.model}: trained on {patches}{f', starting from {start}' if start else ''}{targets}."
