"""Files of text as streams of bytes, decompressed on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True, slots=True)
class TextStream:
    """A stream of decompressed bytes over a file."""

    content: pa.NativeFile
    _file: pa.NativeFile

    def bytes_read(self) -> int:
        """Return how many bytes of the file itself have been read."""
        return int(self._file.tell())


@contextmanager
def open_text(path: Path) -> Iterator[TextStream]:
    """Open a file of text, compressed or not by its name."""
    with pa.OSFile(str(path)) as file:
        compression = COMPRESSIONS.get(path.suffix.lower())
        if compression is None:
            yield TextStream(file, file)
            return
        with pa.CompressedInputStream(file, compression) as content:
            yield TextStream(content, file)
