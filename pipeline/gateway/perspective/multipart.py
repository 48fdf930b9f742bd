"""Google's batch format: many HTTP requests in one `multipart/mixed` body, their responses in another. Pure.

The standard library's parser is for mail: it decodes, and folds lines at 78 characters. Here bytes stay bytes.
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Final

_BREAK: Final = re.compile(rb"\r?\n")
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_FOLD: Final = re.compile(r"\r?\n(?=[ \t])")
_BOUNDARY_CHARACTERS_MAX: Final = 200
_HEAD_BYTES_MAX: Final = 64 << 10
"""What is read of the headers of a part; servers allow a request about so much."""


@dataclass(frozen=True, slots=True)
class InnerRequest:
    """One request of a batch. Names of headers are in lower case."""

    content_id: str | None
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class InnerResponse:
    """The answer to one of them; `content_id` is the request's."""

    content_id: str | None
    status: int
    headers: Mapping[str, str]
    body: bytes


def boundary_of(content_type: str) -> bytes | None:
    """What separates the parts of a body of this type; None where it is no multipart."""
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_boundary() if message.get_content_maintype() == "multipart" else None
    if not boundary or len(boundary) > _BOUNDARY_CHARACTERS_MAX:
        return None
    return boundary.encode("utf-8", "replace")


def split_parts(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """The parts between the boundaries; a last one that no boundary ends is a part too."""
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    begin: int | None = None
    for mark in delimiter.finditer(body):
        if begin is not None:
            yield _BREAK.sub(b"", body[begin : mark.start()], count=1)
        begin = mark.end()
        if mark[1]:
            return
    if begin is not None:
        yield _BREAK.sub(b"", body[begin:], count=1)


def inner_request(part: bytes) -> InnerRequest | None:
    """The request in a part; None where there is none."""
    outer, rest = _head_and_body(part)
    line, _, request = rest.partition(b"\n")
    words = line.decode("latin-1").split()
    if len(words) not in (2, 3):
        return None
    headers, body = _head_and_body(request)
    return InnerRequest(outer.get("content-id"), words[0], words[1], headers, body)


def join_responses(responses: Sequence[InnerResponse]) -> tuple[str, bytes]:
    """The content type and the body of a batch's answer."""
    boundary = f"batch_{secrets.token_urlsafe(24)}"
    parts = [b"--" + boundary.encode() + b"\r\n" + _written(response) + b"\r\n" for response in responses]
    return f"multipart/mixed; boundary={boundary}; charset=UTF-8", b"".join(parts) + b"--" + boundary.encode() + b"--\r\n"


def _head_and_body(data: bytes) -> tuple[dict[str, str], bytes]:
    """The headers up to the first blank line, and what follows it."""
    first = _BREAK.match(data)
    end = first or _BLANK_LINE.search(data)
    head = b"" if first else data[: end.start() if end else None]
    lines = _FOLD.sub("", head[:_HEAD_BYTES_MAX].decode("latin-1")).splitlines()
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}, data[end.end() :] if end else b""


def _written(response: InnerResponse) -> bytes:
    content_id = [] if response.content_id is None else [f"Content-ID: {_response_id(response.content_id)}"]
    lines = [
        "Content-Type: application/http",
        *content_id,
        "",
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}",
        *(f"{name}: {value}" for name, value in response.headers.items()),
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1") + response.body


def _response_id(content_id: str) -> str:
    """`<response-a + 1>` for `<a + 1>`: clients find their request by it, and split it at the space, plus and space."""
    inner = content_id.removeprefix("<").removesuffix(">")
    return f"<response-{inner}>"
