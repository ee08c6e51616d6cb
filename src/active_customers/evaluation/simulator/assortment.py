"""What the simulated shop can sell: categories, kinds of products, brands, as written in `assortment.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

PRODUCTS_PER_CATEGORY = 8
"""A shop takes in one category for every so many products, until it has them all."""
PRODUCTS_PER_KIND = 2
"""A category takes in one kind of product for every so many products."""
DEMAND_SKEW = 1.8
"""Power of the categories' weights that attention follows: shops carry more of what few look at than it earns."""
SEPARATOR = " > "


@dataclass(frozen=True, slots=True)
class Category:
    """A leaf of the category tree; the fields are explained at the top of `assortment.yaml`."""

    path: str
    weight: float
    price: float
    spread: float
    icon: str
    kinds: tuple[str, ...]
    features: tuple[str, ...]
    peak: int
    season: float
    goes_with: tuple[str, ...]
    options: tuple[str, ...] = ()
    sized: bool = False
    again: int = 0

    @property
    def name(self) -> str:
        """The last level of the path; unique among the leaves."""
        return self.path.rsplit(SEPARATOR, 1)[-1]

    @property
    def department(self) -> str:
        """The first level of the path."""
        return self.path.split(SEPARATOR, 1)[0]


@dataclass(frozen=True, slots=True)
class Brand:
    """An invented maker: `level` of price and quality from -2 (cheap) to 2 (dear), and the `style` it is known for."""

    name: str
    department: str
    level: int
    style: int


@dataclass(frozen=True, slots=True)
class Assortment:
    """The categories that a shop of some size carries, with everything their products are named after.

    Shapes, for L categories and K kinds: `kind_category` int64[K]; `category_department` int64[L], places in
    `departments`; `complements` int64[L, 2], categories bought along with each (-1: none).
    """

    categories: tuple[Category, ...]
    brands: tuple[Brand, ...]
    styles: tuple[str, ...]
    series: tuple[str, ...]
    colours: Mapping[str, str]
    kinds: tuple[str, ...]
    kind_category: NDArray[np.int64]
    departments: tuple[str, ...]
    category_department: NDArray[np.int64]
    complements: NDArray[np.int64]

    @property
    def weights(self) -> NDArray[np.float64]:
        """How much of the catalogue each category takes up, float64[L], summing to 1."""
        weights = np.array([category.weight for category in self.categories])
        return np.asarray(weights / weights.sum())

    @property
    def demand(self) -> NDArray[np.float64]:
        """How much of the customers' attention each category has, float64[L], summing to 1."""
        attention = self.weights**DEMAND_SKEW
        return np.asarray(attention / attention.sum())

    def brands_of(self, department: str) -> NDArray[np.int64]:
        """Return the brands that make products for a department, by index."""
        return np.array([i for i, brand in enumerate(self.brands) if brand.department == department])


def read_data(name: str) -> dict[str, Any]:
    """Return one of the data files beside this module."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return data


def assortment_for(n_products: int) -> Assortment:
    """Return what a shop with so many products carries: the first categories of the list, all from 450 products on."""
    data = read_data("assortment.yaml")
    n_categories = max(1, n_products // PRODUCTS_PER_CATEGORY)
    categories = tuple(_category(entry) for entry in data["categories"][:n_categories])
    kinds = [_kinds_carried(category, n_products // len(categories)) for category in categories]
    styles = tuple(data["styles"])
    departments = tuple(dict.fromkeys(category.department for category in categories))
    return Assortment(
        categories=categories,
        brands=tuple(
            Brand(name, department, level, styles.index(style))
            for department, brands in data["brands"].items()
            for name, (level, style) in brands.items()
        ),
        styles=styles,
        series=tuple(data["series"]),
        colours=data["colours"],
        kinds=tuple(kind for carried in kinds for kind in carried),
        kind_category=np.repeat(np.arange(len(categories)), [len(carried) for carried in kinds]),
        departments=departments,
        category_department=np.array([departments.index(category.department) for category in categories]),
        complements=_complements(categories),
    )


def _category(entry: dict[str, Any]) -> Category:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    return Category(**fields)


def _kinds_carried(category: Category, n_products: int) -> tuple[str, ...]:
    return category.kinds[: max(1, n_products // PRODUCTS_PER_KIND)]


def _complements(categories: tuple[Category, ...]) -> NDArray[np.int64]:
    index = {category.name: i for i, category in enumerate(categories)}
    complements = np.full((len(categories), 2), -1, np.int64)
    for i, category in enumerate(categories):
        carried = [index[name] for name in category.goes_with if name in index][:2]
        complements[i, : len(carried)] = carried
    return complements
