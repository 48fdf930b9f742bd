"""Where every thread and every asyncio task of this process stands, as text for a log: for a process that stands still."""

import asyncio
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Final

_DEPTH_MAX: Final = 50
"""Coroutines of one task that wait for each other, at most: enough for any real one, and an end for a broken one."""


def stacks(loops: Iterable[asyncio.AbstractEventLoop] = ()) -> str:
    """All threads, then the tasks of `loops`; callable from any thread, whatever the others do."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    threads = [_thread(names.get(number, "?"), frame) for number, frame in sys._current_frames().items()]  # noqa: SLF001 (documented)
    return "\n".join([*threads, *(_task(task) for loop in loops for task in asyncio.all_tasks(loop))])


def _thread(name: str, frame: FrameType) -> str:
    return f"thread {name}\n{''.join(traceback.format_stack(frame)).rstrip()}"


def _task(task: asyncio.Task[Any]) -> str:
    frames = ((frame, frame.f_lineno) for frame in _waiting(task.get_coro()))
    return f"task {task.get_name()}\n{''.join(traceback.StackSummary.extract(iter(frames)).format()).rstrip()}"


def _waiting(coroutine: Any) -> Iterator[FrameType]:  # noqa: ANN401 (coroutines, generators and C objects share no type)
    """The frames of a suspended coroutine and of what it waits for; a task's own stack shows the first alone."""
    for _ in range(_DEPTH_MAX):
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            yield frame
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
        if coroutine is None:
            return
