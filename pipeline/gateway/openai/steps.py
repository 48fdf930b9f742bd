"""Long work in short steps: each runs in a thread, and between them the event loop may end it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, TypeVar

T = TypeVar("T")
_END: Final[Any] = object()


async def in_thread(steps: Iterator[T]) -> AsyncIterator[T]:
    """What `steps` yields. Who is cancelled here waits for the step under way, so that nothing goes on behind his back."""
    while True:
        step = asyncio.ensure_future(asyncio.to_thread(next, steps, _END))
        try:
            found = await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait([step])
            raise
        if found is _END:
            return
        yield found
