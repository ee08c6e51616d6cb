"""`next_cursor`: a signed text that says what a list has shown so far, so that it goes on with no repeats.

Body, before it is sealed: time u32 (seconds, big-endian), then the product numbers in ascending order, each as the
distance to the one before, seven bits a byte (LEB128). 500 products of 100,000 make about 1,100 characters.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from active_customers.core.attribution import VERSION, TokenSigner
from active_customers.core.clock import HOUR, SECOND
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import Context

MOST_SHOWN = 500
"""Products that one list can show; then it ends."""
CURSOR_AGE = 24 * HOUR
"""For so long a list can be continued."""
START = "start"
"""What is sent for a cursor to begin such a list."""

_KIND = VERSION + 1
_TIME_BYTES = 4
_REMEDY = f"begin again with cursor={START}"


class Cursors:
    """Writes and reads cursors; each is good for one customer and context.

    >>> cursors = Cursors(TokenSigner({0: bytes(32)}))
    >>> cursor = cursors.write("7", Context.HOME, {300, 5}, now=0)
    >>> cursors.read(cursor, "7", Context.HOME, now=1)
    [5, 300]
    """

    def __init__(self, signer: TokenSigner) -> None:
        self._signer = signer

    def write(self, customer_id: str, context: Context, shown: Iterable[int], now: int) -> str:
        """Return the cursor of a list that has shown these product numbers."""
        body = (now // SECOND).to_bytes(_TIME_BYTES, "big") + _packed(sorted(shown))
        return self._signer.seal(_KIND, body, _bound(customer_id, context))

    def read(self, cursor: str, customer_id: str, context: Context, now: int) -> list[int]:
        """Return the product numbers that a list has shown, ascending; none for `START`.

        Raises `InvalidValueError` for a cursor that is not ours, of another customer or context, or too old.
        """
        if cursor == START:
            return []
        body = self._signer.unseal(_KIND, cursor, _bound(customer_id, context))
        if body is None:
            remedy = f"send the next_cursor of an answer, with the customer_id and context of that; or {_REMEDY}"
            raise InvalidValueError("cursor", cursor, remedy)
        if now - int.from_bytes(body[:_TIME_BYTES], "big") * SECOND > CURSOR_AGE:
            raise InvalidValueError("cursor", cursor, f"it is over {CURSOR_AGE // HOUR} hours old: {_REMEDY}")
        return _unpacked(body[_TIME_BYTES:])


def _bound(customer_id: str, context: Context) -> bytes:
    return bytes((context,)) + customer_id.encode()


def _packed(ascending: list[int]) -> bytes:
    packed = bytearray()
    for before, number in pairwise([0, *ascending]):
        distance = number - before
        while distance > 0x7F:
            packed.append(distance & 0x7F | 0x80)
            distance >>= 7
        packed.append(distance)
    return bytes(packed)


def _unpacked(packed: bytes) -> list[int]:
    numbers: list[int] = []
    number = distance = shift = 0
    for byte in packed:
        distance |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            number += distance
            numbers.append(number)
            distance = shift = 0
    return numbers
