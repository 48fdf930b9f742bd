"""The stacks of a process that stands still name what every thread and every task waits for."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.stacks import stacks
from tests.support.waiting import wait_until


@contextmanager
def thread(name: str) -> Iterator[None]:
    """A thread that waits in `stand_still`."""
    release = threading.Event()

    def stand_still() -> None:
        release.wait()

    waiting = threading.Thread(target=stand_still, name=name)
    waiting.start()
    try:
        yield
    finally:
        release.set()
        waiting.join()


async def outer(reached: threading.Event, release: asyncio.Event) -> None:
    await inner(reached, release)


async def inner(reached: threading.Event, release: asyncio.Event) -> None:
    reached.set()
    await release.wait()


def test_every_thread_is_named_with_where_it_stands() -> None:
    with thread("batcher"):
        said = wait_until(lambda: "stand_still" in (text := stacks()) and text, "the thread to stand still")
    assert "thread batcher\n" in said
    assert "release.wait()" in said
    assert "thread MainThread\n" in said


def test_a_task_is_shown_with_all_that_it_waits_for_from_any_thread() -> None:
    loop, reached, releases = asyncio.new_event_loop(), threading.Event(), list[asyncio.Event]()

    async def main() -> None:
        releases.append(asyncio.Event())
        await loop.create_task(outer(reached, releases[0]), name="deliver")

    other = threading.Thread(target=lambda: loop.run_until_complete(main()))
    other.start()
    assert reached.wait(10)
    said = stacks([loop])
    loop.call_soon_threadsafe(releases[0].set)
    other.join()
    loop.close()
    task = said[said.index("task deliver\n") :]
    assert task.index("in outer") < task.index("in inner") < task.index("in wait")
