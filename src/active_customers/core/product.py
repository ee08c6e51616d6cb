"""Products as the shop describes them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Product:
    """A catalogue entry. Only the id is required; a product without a name is shown by its id."""

    product_id: str
    name: str | None = None
    description: str | None = None
    category: str | None = None
    """Path from the root, levels joined by " > "."""
    brand: str | None = None
    price: float | None = None
    currency: str | None = None
    url: str | None = None
    image: str | None = None
    variant_group: str | None = None
    replenishable: bool = False
    """Bought again and again (coffee, not a sofa): stays recommendable after a purchase."""
    released: int | None = None
    """First day of sale, in microseconds since the epoch."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that are set, for storage and JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None and value is not False}
