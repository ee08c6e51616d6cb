"""Feeds from an address: fetched from a real server, and only when they have changed."""

from __future__ import annotations

import resource
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from active_customers.core.errors import DiskFullError, InvalidValueError
from active_customers.importing.download import DownloadConfig, Downloads


class Server(ThreadingHTTPServer):
    """Serves bodies by path, each with an ETag of its own."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: dict[str, bytes] = {
            "/feed.xml": b"<rss/>",
            "/export?format=csv": b"id",
            "/unknown": b"?",
            "/%C3%A4.xml": b"<a/>",
        }
        self.types = {"/export?format=csv": "text/csv; charset=utf-8"}
        self.cut = 0
        self.length: str | None = None
        self.statuses: Counter[int] = Counter()

    def url(self, path: str = "/feed.xml") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        body = server.bodies.get(self.path)
        tag = f'"{hash(body)}"'
        status = 404 if body is None else 304 if self.headers["If-None-Match"] == tag else 200
        server.statuses[status] += 1
        self.send_response(status)
        if status == 200:
            self.send_header("ETag", tag)
            self.send_header("Content-Type", server.types.get(self.path, "application/octet-stream"))
            self.send_header("Content-Length", server.length or str(len(body) + server.cut))
        self.end_headers()
        if status == 200:
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server():
    running = Server()
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def downloads(tmp_path):
    def begun(purpose: str = "native", **config: int) -> Downloads:
        return Downloads(tmp_path, tmp_path / "feeds.json", DownloadConfig(**config), purpose)

    return begun


def test_a_feed_is_fetched_again_only_when_it_has_changed_since_it_was_imported(server, downloads):
    first = downloads()
    assert first.fetch(server.url()).read_bytes() == b"<rss/>"
    assert downloads().fetch(server.url()) is not None, "it was not imported yet"
    first.remember()
    assert downloads().fetch(server.url()) is None
    server.bodies["/feed.xml"] = b"<rss>new</rss>"
    assert downloads().fetch(server.url()).read_bytes() == b"<rss>new</rss>"
    assert server.statuses == {200: 3, 304: 1}


def test_one_of_several_that_has_changed_brings_all_of_a_whole(server, downloads, tmp_path):
    server.bodies["/other.xml"] = b"<rss/>"
    names = [server.url(), server.url("/other.xml"), str(tmp_path)]
    both = downloads()
    both.paths(names, whole=True)
    both.remember()
    server.bodies["/feed.xml"] = b"<rss>new</rss>"
    assert len(downloads().paths(names, whole=False)) == 2
    assert len(downloads().paths(names, whole=True)) == 3
    server.bodies["/feed.xml"] = b"<rss/>"
    assert downloads().paths(names[:2], whole=True) == []


def test_the_format_is_told_by_the_address_or_by_the_server(server, downloads):
    assert downloads().fetch(server.url()).suffix == ".xml"
    assert downloads().fetch(server.url("/export?format=csv")).suffix == ".csv"
    with pytest.raises(InvalidValueError, match="let the address end in"):
        downloads().fetch(server.url("/unknown"))


def test_what_cannot_be_fetched_is_named(server, downloads):
    with pytest.raises(InvalidValueError, match="404 is not valid: its server refuses"):
        downloads().fetch(server.url("/nothing.xml"))
    server.cut = 5
    with pytest.raises(InvalidValueError, match="cut off"):
        downloads().fetch(server.url())
    with pytest.raises(InvalidValueError, match="it cannot be fetched"):
        downloads().fetch("http://127.0.0.1:9/feed.xml")


def test_a_feed_that_has_not_changed_is_fetched_again_for_another_purpose(server, downloads):
    first = downloads("native")
    first.fetch(server.url())
    first.remember()
    assert downloads("native --full").fetch(server.url()) is not None
    assert downloads("native").fetch(server.url()) is None


def test_an_address_with_letters_of_a_language_is_fetched(server, downloads):
    assert downloads().fetch(server.url("/ä.xml")).read_bytes() == b"<a/>"


@pytest.mark.parametrize(
    "url", ["http://[bad/feed.xml", "http://127.0.0.1:port/f.xml", "http:///feed.xml", "http://ä.invalid/f.xml"]
)
def test_an_address_that_is_none_is_named(downloads, url):
    with pytest.raises(InvalidValueError, match="it cannot be fetched: check the address"):
        downloads().fetch(url)


def test_a_length_that_is_no_number_is_passed_over(server, downloads):
    server.length = "many"
    assert downloads().fetch(server.url()).read_bytes() == b"<rss/>"


def test_a_feed_over_the_limit_is_refused_by_its_setting(server, downloads):
    server.bodies["/feed.xml"] = b"x" * ((1 << 20) + 1)
    with pytest.raises(InvalidValueError, match=r"over 1 MB.*imports\.download\.most_mb"):
        downloads(most_mb=1).fetch(server.url())


def test_a_disk_without_room_is_no_fault_of_the_address(server, downloads):
    server.bodies["/feed.xml"] = b"x" * (1 << 20)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(DiskFullError, match=r"cannot be saved in .*: free some space"):
            downloads().fetch(server.url())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
