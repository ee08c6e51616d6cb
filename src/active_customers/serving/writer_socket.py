"""The owner's socket: how commands write beside a running service.

Messages are JSON with a length of 4 bytes (big-endian) before it: `{"call": name, "args": [...]}` one way,
`{"result": ...}` or `{"error": [class, message]}` the other.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from active_customers.core.clock import Clock
from active_customers.core.erasure import Erasure
from active_customers.core.errors import ActiveCustomersError, OverloadedError, StorageError, StoreLockedError
from active_customers.core.product import Changed, Product, ProductChange
from active_customers.serving.append_frames import LENGTH_BYTES, error_named
from active_customers.serving.unix_path import short_path
from active_customers.storage.base import Change, StoreWriter
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore, StorageConfig
from active_customers.storage.simulated_clock import clock_of
from active_customers.storage.writer import DirectWriter

MAX_REQUEST = 64 << 20
"""Bytes of one request."""
MAX_REPLY = 1 << 30
"""Bytes of one reply: that of `joined` for 100 million logins."""
_SECONDS_BETWEEN_LOOKS = 0.2


class WriterServer:
    """Serves a `StoreWriter` on the data directory's socket, each call in a thread."""

    def __init__(self, path: Path, writer: DirectWriter) -> None:
        self._path = path
        self._stopping = False
        self._under_way: set[asyncio.Task[dict[str, object]]] = set()
        self._calls: dict[str, Callable[..., object]] = {
            "number_products": writer.number_products,
            "number_customers": writer.number_customers,
            "put_products": lambda rows: writer.put_products([Product.of(row) for row in rows]),
            "change_products": lambda rows: [
                tuple(outcome) for outcome in writer.change_products([ProductChange(*row) for row in rows])
            ],
            "change_records": lambda kind, records, whole, seen: writer.change_records(
                kind, records, whole=whole, seen=seen
            ),
            "archive_log": writer.archive_log,
            "reserve": writer.reserve,
            "adopt": lambda folder: writer.adopt(Path(folder)),
            "erase": writer.erase,
            "finish_erasures": writer.finish_erasures,
            "passed_over": lambda: _packed(writer.passed_over()),
            "joined": lambda: _packed(writer.joined()),
            "acquit": writer.acquit,
        }

    async def start(self) -> None:
        """Listen; a socket that a dead owner left behind is replaced (the caller holds the lock)."""
        self._path.unlink(missing_ok=True)
        with short_path(self._path) as path:
            self._server = await asyncio.start_unix_server(self._serve, path)
        self._path.chmod(0o600)

    async def stop(self) -> None:
        """Stop listening; calls that are under way are finished first, since they use the store."""
        self._stopping = True
        self._server.close()
        self._path.unlink(missing_ok=True)
        await asyncio.gather(*self._under_way)

    async def _serve(self, reader: asyncio.StreamReader, stream: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, orjson.JSONDecodeError):
            while not self._stopping:
                request = orjson.loads(
                    await reader.readexactly(_length(await reader.readexactly(LENGTH_BYTES), MAX_REQUEST))
                )
                body = orjson.dumps(await self._answered(request))
                if len(body) > MAX_REPLY:
                    body = orjson.dumps(
                        {"error": ["StorageError", _too_long("the answer to", request, body, MAX_REPLY)]}
                    )
                stream.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)
                await stream.drain()
        stream.close()

    async def _answered(self, request: dict[str, Any]) -> dict[str, object]:
        if self._stopping:
            return {"error": ["StorageError", "the service is stopping: run this again"]}
        call = asyncio.create_task(asyncio.to_thread(self._answer, request))
        self._under_way.add(call)
        call.add_done_callback(self._under_way.discard)
        return await call

    def _answer(self, request: dict[str, Any]) -> dict[str, object]:
        try:
            return {"result": self._calls[request["call"]](*request["args"])}
        except ActiveCustomersError as error:
            return {"error": [type(error).__name__, str(error)]}
        except Exception as error:  # noqa: BLE001 - whatever went wrong belongs to the caller, the service goes on
            return {"error": ["StorageError", f"{type(error).__name__}: {error}"]}


def _packed(numbers: NDArray[np.uint32]) -> str:
    """Return numbers as text, which takes 5.3 bytes for each."""
    return b64encode(numbers.astype("<u4").tobytes()).decode()


def _unpacked(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(b64decode(text), "<u4").astype(np.uint32)


def _too_long(what: str, request: Mapping[str, Any], body: bytes, limit: int) -> str:
    return (
        f"{what} {request['call']} has {len(body):,} bytes, over the limit of {limit:,}: "
        "stop the service and run this again without it"
    )


def _length(prefix: bytes, limit: int) -> int:
    length = int.from_bytes(prefix, "big")
    if length > limit:
        raise ConnectionError("message too long")
    return length


class RemoteWriter:
    """`StoreWriter` of a running service, through its socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rb")

    @classmethod
    def connect(cls, path: Path) -> Self:
        """Connect to the owner of a data directory; raises `OSError` when nobody listens."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_path(path) as short:
                connection.connect(short)
        except OSError:
            connection.close()
            raise
        return cls(connection)

    def close(self) -> None:
        """Hang up."""
        self._stream.close()
        self._connection.close()

    def number_products(self, product_ids: Sequence[str]) -> list[int]:
        """Return the numbers of products, giving new ones where needed."""
        numbers: list[int] = self._call("number_products", list(product_ids))
        return numbers

    def number_customers(self, customer_ids: Sequence[str]) -> list[int]:
        """Return the numbers of customers, giving new ones where needed."""
        numbers: list[int] = self._call("number_customers", list(customer_ids))
        return numbers

    def put_products(self, products: Sequence[Product]) -> int:
        """Store catalogue entries; return how many."""
        count: int = self._call("put_products", [product.as_dict() for product in products])
        return count

    def change_products(self, changes: Sequence[ProductChange]) -> list[Changed]:
        """Have catalogue entries changed; return what became of each."""
        return [
            Changed(status, None if refusal is None else tuple(refusal))
            for status, refusal in self._call("change_products", [tuple(change) for change in changes])
        ]

    def change_records(
        self, kind: str, records: Change, *, whole: bool = False, seen: Mapping[str, int] | None = None
    ) -> bool:
        """Have what the shop told us by name changed (see `ChangeRecords`)."""
        return bool(self._call("change_records", kind, dict(records), whole, None if seen is None else dict(seen)))

    def archive_log(self) -> None:
        """Have the log moved to the archive."""
        self._call("archive_log")

    def reserve(self, count: int) -> int:
        """Have log positions given away; return the first of them."""
        first: int = self._call("reserve", count)
        return first

    def adopt(self, staged: Path) -> None:
        """Have a staged import adopted."""
        self._call("adopt", str(staged.resolve()))

    def erase(self, customer_id: str) -> Erasure | None:
        """Have a customer erased; None when they are unknown."""
        found: dict[str, Any] | None = self._call("erase", customer_id)
        return None if found is None else Erasure(**found)

    def finish_erasures(self) -> None:
        """Have the archive's rows of erased customers overwritten."""
        self._call("finish_erasures")

    def passed_over(self) -> NDArray[np.uint32]:
        """Return the numbers of whom nothing is to be learned, ascending."""
        return _unpacked(self._call("passed_over"))

    def joined(self) -> NDArray[np.uint32]:
        """Return number and owner's number of everybody whose history became another customer's: uint32[n, 2]."""
        return _unpacked(self._call("joined")).reshape(-1, 2)

    def acquit(self, customer_id: str) -> bool:
        """Have a customer taken for a person."""
        found: bool = self._call("acquit", customer_id)
        return found

    def _call(self, name: str, *args: object) -> Any:
        request = {"call": name, "args": args}
        body = orjson.dumps(request)
        if len(body) > MAX_REQUEST:
            raise StorageError(_too_long("the call of", request, body, MAX_REQUEST))
        try:
            self._connection.sendall(len(body).to_bytes(LENGTH_BYTES, "big") + body)
            answer = orjson.loads(self._stream.read(_length(self._stream.read(LENGTH_BYTES), MAX_REPLY)))
        except (OSError, ValueError) as error:
            raise StorageError(
                f"the running service hung up during {name}: see its log, then run this again"
            ) from error
        if "error" in answer:
            kind, message = answer["error"]
            raise error_named(kind, message)
        return answer["result"]


@dataclass(frozen=True, slots=True)
class OpenStore:
    """A store that a command may read, and a writer for it."""

    store: EmbeddedStore
    writer: StoreWriter
    is_served: bool
    """Whether a running service owns it, which does the upkeep."""
    clock: Clock
    """What the service goes by, or went by when it last ran."""


@contextmanager
def open_served(directory: DataDirectory, config: StorageConfig) -> Iterator[OpenStore]:
    """Yield a data directory to write to through the running service.

    Raises `StoreLockedError` when nobody answers on its socket.
    """
    with closing(_connect(directory)) as remote, closing(EmbeddedStore(directory.store, config).open()) as store:
        yield OpenStore(store, remote, is_served=True, clock=clock_of(directory))


@contextmanager
def open_for_writing(directory: DataDirectory, config: StorageConfig) -> Iterator[OpenStore]:
    """Yield a data directory to write to: through the running service, or as its owner for as long as the block lasts.

    Raises `StoreLockedError` when another process owns it but does not answer on its socket.
    """
    directory.prepare()
    try:
        lock = directory.lock()
    except StoreLockedError:
        with open_served(directory, config) as opened:
            yield opened
        return
    clock = clock_of(directory)
    try:
        with closing(EmbeddedStore(directory.store, config, writer=True).open()) as store:
            writer = DirectWriter(directory, store, clock)
            writer.resume()
            yield OpenStore(store, writer, is_served=False, clock=clock)
    finally:
        os.close(lock)


def wait_until_free(directory: DataDirectory, on_wait: Callable[[str], None]) -> None:
    """Return once this process could own a directory; `on_wait` is told once why that takes a while.

    A command gives it up when it is done; raises `StoreLockedError` when a service owns it, which does not.
    """
    is_told = False
    while True:
        try:
            directory.check_free()
        except StoreLockedError as error:
            if _is_served(directory):
                raise
            if not is_told:
                on_wait(str(error))
            is_told = True
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        else:
            return


def _is_served(directory: DataDirectory) -> bool:
    try:
        RemoteWriter.connect(directory.socket).close()
    except OSError:
        return False
    return True


def erase_remotely(directory: DataDirectory, customer_id: str) -> Erasure | None:
    """Have the running service that owns a directory erase a customer; raises `OverloadedError` while it is away."""
    try:
        with closing(RemoteWriter.connect(directory.socket)) as remote:
            return remote.erase(customer_id)
    except OSError as error:
        raise OverloadedError("the committer is being restarted") from error


def change_products_remotely(directory: DataDirectory, changes: Sequence[ProductChange]) -> list[Changed]:
    """Have the running service that owns a directory change its catalogue; raises as `erase_remotely` does."""
    try:
        with closing(RemoteWriter.connect(directory.socket)) as remote:
            return remote.change_products(changes)
    except OSError as error:
        raise OverloadedError("the committer is being restarted") from error


def change_records_remotely(
    directory: DataDirectory,
    kind: str,
    records: Change,
    *,
    whole: bool = False,
    seen: Mapping[str, int] | None = None,
) -> bool:
    """Have the running service that owns a directory change what the shop told us; raises as `erase_remotely` does."""
    try:
        with closing(RemoteWriter.connect(directory.socket)) as remote:
            return remote.change_records(kind, records, whole=whole, seen=seen)
    except OSError as error:
        raise OverloadedError("the committer is being restarted") from error


def _connect(directory: DataDirectory) -> RemoteWriter:
    try:
        return RemoteWriter.connect(directory.socket)
    except OSError as error:
        raise StoreLockedError(
            f"{directory.root} is in use by another command that does not take requests: run this again when it is done"
        ) from error
