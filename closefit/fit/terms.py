"""An objective is a list of weighted terms."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from jaxtyping import Float
from torch import Tensor

Inputs = TypeVar("Inputs")


@dataclass(frozen=True, eq=False)
class Term(Generic[Inputs]):
    """One weighted term of an objective.

    Attributes:
        name: Name in the loss curves; terms of the same name are added.
        weight: Factor on the loss.
        loss: Computes the loss from the inputs that all terms of a list share. It returns one
            number, or one per frame and person (frame, person): these are averaged over the
            frames and summed over the people after weighting.
    """

    name: str
    weight: float
    loss: Callable[[Inputs], Tensor]


def evaluate(terms: Iterable[Term[Inputs]], inputs: Inputs) -> dict[str, Float[Tensor, ""]]:
    """Weighted losses by name, in the order of the list."""
    values: dict[str, Tensor] = {}
    for term in terms:
        value = term.weight * term.loss(inputs)
        if value.ndim:
            value = value.mean(0).sum()
        values[term.name] = values[term.name] + value if term.name in values else value
    return values
