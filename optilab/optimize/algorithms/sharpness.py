"""Rules that look at the loss around the point: sharpness-aware minimization."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_doc import Doc
from annotated_types import Gt

from optilab.optimize.algorithms.momentum import SGD
from optilab.optimize.algorithms.rule import Array, Rule, length, xp_of

_SGD = SGD()


@dataclass(frozen=True)
class SAM(Rule):
    """Sharpness-aware minimization (Foret et al. 2021, arXiv:2010.01412): another rule with the gradient of the
    worst point nearby.

    e = radius*g/|g|;  g = gradient at w + e;  then the step of the wrapped rule from w with that g

    Each step takes two gradients. In a network both are of the same batch, |g| is that of all weights, batch
    statistics are those of the first, and weight decay around the rule is added at w, to the second. As
    optax.contrib.sam; pytorch_optimizer's SAM computes |g| in single precision. Where g is 0, e is 0.
    """

    name: ClassVar[str] = "sam"
    base: Annotated[Rule, Doc("the rule that is wrapped")] = _SGD
    radius: Annotated[float, Gt(0), Doc("distance to the point of the gradient; the paper's rho")] = 0.05

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(dict.fromkeys(("gradient_at", *self.base.needs)))

    @property
    def weights(self) -> Literal["joined", "each", "matrices"]:  # type: ignore[override]
        return self.base.weights

    @property
    def formula(self) -> str:
        ascent = "m = norm(g);  e = where(m > 0, radius*g/m, 0*g);  g = grad(w + e)"
        return f"{ascent};  {self.base.formula}"

    def init(self, x: Array) -> Any:
        return self.base.init(x)

    def update(self, grad: Array, state: Any, *, gradient_at: Callable[[Array], Array], **needed: Any) -> Any:  # type: ignore[override]
        if "gradient_at" in self.base.needs:
            needed["gradient_at"] = gradient_at
        return self.base.update(gradient_at(self.ascent(grad)), state, **needed)

    def ascent(self, grad: Array) -> Array:
        """From the point to the worst one nearby, where the gradient is taken."""
        xp, size = xp_of(grad), length(grad)
        return xp.where(size > 0, self.radius * grad / xp.where(size > 0, size, xp.ones_like(size)), 0 * grad)


ENTRIES = (SAM,)
