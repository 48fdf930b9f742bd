"""A multipart upload, taken apart as it comes: small fields to memory, the file to the disk, nothing beyond its limits."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Final

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pipeline.gateway.dialect import ApiError
from pipeline.gateway.openai.file_store import FileStore, FullError, Incoming
from pipeline.gateway.openai.replies import FileObject

FILE_BYTES_MAX: Final = 200 << 20
"""A file for a batch."""
FIELD_BYTES_MAX: Final = 1 << 10
PARTS_MAX: Final = 20
NAME_CHARACTERS_MAX: Final = 255
_PIECE_BYTES: Final = 256 << 10
"""Handed to a thread at once: a hop costs more than what a network delivers at once is worth."""
_DRAIN_BYTES: Final = 512 << 20
"""Of a refused upload, read and thrown away: many clients look at the answer only after they have sent everything."""


class Form:
    """What has come of an upload so far. Its methods block; `discard` may be called whenever it is."""

    def __init__(self, boundary: bytes, store: FileStore) -> None:
        self.fields: dict[str, str] = {}
        self.file: Incoming | None = None
        self.filename = ""
        self._store = store
        self._claimed = 0
        self._lock = threading.Lock()
        self._discarded = self._ended = False
        self._parts = 0
        self._header = (bytearray(), bytearray())
        self._disposition = b""
        self._field: tuple[str, bytearray] | None = None
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._open_part,
                "on_part_data": self._add,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )
        self._writing = False
        self._unwritten = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body; raises ApiError (400, 413)."""
        with self._lock:
            if self._discarded:
                return
            try:
                self._parser.write(data)
                self._write()
            except FormParserError as error:
                raise ApiError(400, "The multipart body could not be parsed.") from error
            except FullError as error:
                raise ApiError(413, "There is no room for more files.", param="file", code="storage_limit_exceeded") from error

    def finish(self) -> None:
        """Return where the whole body has come and has a file; raises ApiError (400)."""
        if not self._ended:
            raise ApiError(400, "The multipart body ends too early.")
        if self.file is None:
            raise ApiError(400, "Missing required parameter: 'file'.", param="file", code="missing_required_parameter")

    def keep(self, tenant: str, keep_s: int) -> FileObject:
        """Make it a file of the tenant: safe on the disk when this returns."""
        with self._lock:
            if self._discarded or self.file is None:
                raise ApiError(400, "The upload was given up.")
            kept = self._store.keep(self.file, tenant=tenant, filename=self.filename, keep_s=keep_s)
            self.file = None
            self._release()
        return kept

    def discard(self) -> None:
        """Leave nothing behind; what is kept stays."""
        with self._lock:
            self._discarded = True
            if self.file:
                self.file.discard()
                self._release()

    def _release(self) -> None:
        self._store.release(self._claimed)
        self._claimed = 0

    def _begin_part(self) -> None:
        self._parts += 1
        self._disposition = b""
        if self._parts > PARTS_MAX:
            raise ApiError(400, f"More than {PARTS_MAX} fields.")

    def _end_header(self) -> None:
        name, value = (bytes(part) for part in self._header)
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = (bytearray(), bytearray())

    def _open_part(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode(errors="replace")
        self._field, self._writing = None, False
        if name != "file":
            self._field = (name, bytearray())
        elif b"filename" in options and self.file is None:
            self.filename = options[b"filename"].decode(errors="replace")[:NAME_CHARACTERS_MAX]
            self.file = self._store.create()
            self._writing = True

    def _add(self, data: bytes, start: int, end: int) -> None:
        if self._writing:
            self._unwritten += memoryview(data)[start:end]
        elif self._field:
            name, value = self._field
            value.extend(data[start:end])
            if len(value) > FIELD_BYTES_MAX:
                raise ApiError(
                    400, f"Field longer than {FIELD_BYTES_MAX} bytes.", param=name[:100], code="string_above_max_length"
                )

    def _write(self) -> None:
        """To the disk; at once for a whole piece, since the parser tells it in crumbs."""
        if self.file is None or not self._unwritten:
            return
        size = len(self._unwritten)
        if self.file.size + size > FILE_BYTES_MAX:
            raise ApiError(413, f"File is too large: at most {FILE_BYTES_MAX >> 20} MB.", param="file", code="file_too_large")
        self._store.claim(size)
        self._claimed += size
        self.file.write(bytes(self._unwritten))
        self._unwritten.clear()

    def _end_part(self) -> None:
        if self._field:
            name, value = self._field
            self.fields[name] = value.decode(errors="replace")

    def _end(self) -> None:
        self._ended = True


async def receive(request: Request, store: FileStore) -> Form:
    """The upload that `request` brings, its file on the disk; raises ApiError (400, 413), and then nothing is left of it."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise ApiError(400, "Files are uploaded as multipart/form-data.")
    try:
        form = Form(options[b"boundary"], store)
    except FormParserError as error:
        raise ApiError(400, "The multipart boundary is not usable.") from error
    stream = request.stream()
    try:
        async for piece in _pieces(stream):
            await asyncio.to_thread(form.feed, piece)
        form.finish()
    except ApiError:
        form.discard()
        await _drain(stream)
        raise
    except BaseException:
        form.discard()
        raise
    return form


async def _pieces(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    piece = bytearray()
    async for data in stream:
        piece += data
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


async def _drain(stream: AsyncIterator[bytes]) -> None:
    left = _DRAIN_BYTES
    async for data in stream:
        left -= len(data)
        if left < 0:
            return
