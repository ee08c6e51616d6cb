"""Names, descriptions and addresses of the simulated products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from active_customers.core.product import Product
from active_customers.evaluation.simulator.catalogue import CURRENCY, Catalogue

FIRST_ID = 10_001
ADDRESS = "https://shop.example/products/"
SERIES_STEP, BRAND_OFFSET, KIND_OFFSET = 7, 13, 5
"""How series names are dealt out; the step shares no factor with their number, so none comes twice in a round."""


def product_id(product: int) -> str:
    """Return the shop's id of the product in this row of the catalogue."""
    return str(FIRST_ID + product)


def picture_path(product: int) -> str:
    """Return where the product's picture lies, relative to the feed."""
    return f"images/{product_id(product)}.svg"


def described(catalogue: Catalogue, pictures: bool) -> Iterator[Product]:
    """Yield every product as the shop's feed describes it, in the order of the rows; names are unique."""
    titles = _titles(catalogue)
    sizes = Counter(catalogue.group.tolist())
    for i in range(len(catalogue)):
        category = catalogue.assortment.categories[catalogue.category[i]]
        group = int(catalogue.group[i])
        option = category.options[catalogue.option[i]] if category.options else None
        yield Product(
            product_id=product_id(i),
            name=f"{titles[group]}, {option}" if option else titles[group],
            description=_description(catalogue, i),
            category=category.path,
            brand=catalogue.assortment.brands[catalogue.brand[i]].name,
            price=float(catalogue.price[i]),
            currency=CURRENCY,
            url=ADDRESS + product_id(i),
            image=picture_path(i) if pictures else None,
            variant_group=f"G{FIRST_ID + group}" if sizes[group] > 1 else None,
            replenishable=category.again > 0,
            released=int(catalogue.released[i]),
        )


def _titles(catalogue: Catalogue) -> list[str]:
    """Return "brand series kind" of each group; a series that comes again for the same brand and kind is numbered."""
    assortment = catalogue.assortment
    made: Counter[tuple[int, int]] = Counter()
    titles: list[str] = []
    firsts = [catalogue.group.searchsorted(group) for group in range(int(catalogue.group[-1]) + 1)]
    for first in firsts:
        brand, kind = int(catalogue.brand[first]), int(catalogue.kind[first])
        nth = made[brand, kind]
        made[brand, kind] += 1
        generation, turn = divmod(nth, len(assortment.series))
        dealt = (turn * SERIES_STEP + brand * BRAND_OFFSET + kind * KIND_OFFSET) % len(assortment.series)
        series = assortment.series[dealt] + (f" {generation + 1}" if generation else "")
        titles.append(f"{assortment.brands[brand].name} {series} {assortment.kinds[kind]}")
    return titles


def _description(catalogue: Catalogue, product: int) -> str:
    assortment = catalogue.assortment
    category = assortment.categories[catalogue.category[product]]
    group = int(catalogue.group[product])
    style = assortment.styles[int(catalogue.style[product].argmax())]
    first = category.features[group % len(category.features)]
    second = category.features[(group + 1 + group // 7 % 2) % len(category.features)]
    kind = assortment.kinds[catalogue.kind[product]]
    brand = assortment.brands[catalogue.brand[product]].name
    return f"{kind} by {brand} in {_article(style)} {style} style: {first}, {second}."


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
