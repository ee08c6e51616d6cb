"""What routes that change something share: who may, how large a body is, and in which thread the change is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool

from active_customers.core.errors import PayloadTooLargeError
from active_customers.realtime.access import Access, Scope
from active_customers.realtime.hot_routes import read_body
from active_customers.realtime.openapi import document


async def body_of(request: Request, access: Access) -> bytes:
    """Return the body of a request that needs the server scope; raises where that is missing or the body too large."""
    access.check(request.headers.raw, Scope.SERVER)
    body = await read_body(request.receive)
    if body is None:
        raise PayloadTooLargeError("the body", "1 MiB")
    return body


async def changed(change: Callable[..., dict[str, Any]], *arguments: object, **options: bool) -> Response:
    """Make a change in a thread of its own, and return what it says."""
    return document(await run_in_threadpool(change, *arguments, **options))
