"""Pictures of the simulated products: small SVGs made of a few shapes, so that a page of them looks like a shop."""

from __future__ import annotations

import colorsys
from pathlib import Path
from string import Template
from xml.sax.saxutils import escape

from active_customers.evaluation.simulator.assortment import read_data
from active_customers.evaluation.simulator.catalogue import Catalogue
from active_customers.evaluation.simulator.naming import picture_path

GOLDEN_RATIO = 0.618034
"""Steps of this length around the colour wheel keep the accents of neighbouring brands apart."""

_FRAME = Template(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200" role="img">'
    '<rect width="200" height="200" fill="$field"/>'
    '<ellipse cx="100" cy="$ground" rx="62" ry="7" fill="$shade"/>'
    '<g transform="translate(100 98) rotate($turn) scale($scale) translate(-100 -100)">$shapes</g>'
    '<text x="100" y="193" text-anchor="middle" font-family="Helvetica,Arial,sans-serif" font-size="11" '
    'letter-spacing="1" fill="$ink">$brand</text></svg>\n'
)


class Painter:
    """Draws the products of one catalogue: shapes by category, colour by variant, accent by brand."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._icons = {name: Template(shapes) for name, shapes in read_data("icons.yaml").items()}
        self._colours = list(catalogue.assortment.colours.values())

    def picture(self, product: int) -> str:
        """Return the SVG of the product in this row: valid XML of less than 2 kB."""
        catalogue = self._catalogue
        group, brand = int(catalogue.group[product]), int(catalogue.brand[product])
        icon = catalogue.assortment.categories[catalogue.category[product]].icon
        main = self._colours[catalogue.colour[product]]
        hue = brand * GOLDEN_RATIO % 1
        shapes = self._icons[icon].substitute(
            main=main,
            dark=mixed(main, "#000000", 0.35),
            light=mixed(main, "#ffffff", 0.72),
            accent=wheel(hue, 0.48, 0.5),
        )
        return _FRAME.substitute(
            field=wheel(hue, 0.915, 0.3),
            shade=wheel(hue, 0.82, 0.2),
            ink=wheel(hue, 0.35, 0.25),
            ground=166,
            turn=(group * 5) % 9 - 4,
            scale=0.92 + 0.03 * max(int(catalogue.option[product]), 0),
            shapes=shapes,
            brand=escape(catalogue.assortment.brands[brand].name.upper()),
        )

    def write(self, out: Path) -> int:
        """Write all pictures below `out`, where the feed looks for them, and return how many."""
        (out / "images").mkdir(parents=True, exist_ok=True)
        for product in range(len(self._catalogue)):
            (out / picture_path(product)).write_text(self.picture(product), encoding="utf-8")
        return len(self._catalogue)


def mixed(colour: str, other: str, share: float) -> str:
    """Return a colour with a share of another one mixed in.

    >>> mixed("#000000", "#ffffff", 0.5)
    '#808080'
    """
    pairs = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def wheel(hue: float, lightness: float, saturation: float) -> str:
    """Return the colour at this place of the colour wheel; all three in 0..1.

    >>> wheel(0.0, 0.5, 1.0)
    '#ff0000'
    """
    return "#" + "".join(f"{round(part * 255):02x}" for part in colorsys.hls_to_rgb(hue, lightness, saturation))
