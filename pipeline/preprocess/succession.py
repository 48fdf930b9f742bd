"""What Faust brings, held against what the group has committed: no record is passed over (see `pipeline.succession`).

Faust starts a generation where the group's offsets stand, but looks them up while the next rebalance may already be on its way.
"""

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from typing import Any

from pipeline.backlog import Waiting
from pipeline.backoff import retried
from pipeline.preprocess.gate import Placed
from pipeline.refusal import failure
from pipeline.succession import Place, Succession
from schemas.errors import LLMOSError


class FaustSuccession:
    """`generation` tells the group's present one, `waiting` what its partitions wait for; the executor has one thread."""

    def __init__(
        self,
        generation: Callable[[], int],
        waiting: Callable[[Collection[Place]], dict[Place, Waiting]],
        succession: Succession,
        *,
        executor: Executor,
        patience_s: float,
    ) -> None:
        self._generation = generation
        self._waiting = waiting
        self._succession = succession
        self._executor = executor
        self._patience_s = patience_s
        self._of: int | None = None

    async def follow(self, message: Placed) -> None:
        """`message` is taken up; of a generation that is over none counts. Raises TransientError for what never came."""
        generation, place = self._generation(), message.tp
        if message.generation_id != generation:
            return
        if generation != self._of:
            self._succession.clear()
            self._of = generation
        if not self._succession.knows(place):
            await self._begin(place)
        if self._succession.jumps(place, message.offset):
            await self._ask(self._succession.follow, place, message.offset)
        else:
            self._succession.follow(place, message.offset)

    async def _begin(self, place: Place) -> None:
        """Everything before the committed offset is finished; asked once a generation and partition."""
        # Every error: a broker that is away has many faces.
        found = await retried(lambda: self._ask(self._waiting, [place]), self._patience_s, Exception, _named)
        self._succession.begin(place, found[place].first)

    async def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)


def _named(error: Exception) -> LLMOSError:
    return error if isinstance(error, LLMOSError) else failure("the group's offsets", error)
