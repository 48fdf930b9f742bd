"""The ack gate against a model: whatever is finished when, what it acknowledges is a prefix of what came, and never stale."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.preprocess.gate import AckGate, Slot

PARTITIONS = (("jobs", 0), ("jobs", 1), ("other", 0))


@dataclass
class Message:
    """What the gate reads of a Faust message."""

    tp: tuple[str, int]
    offset: int
    generation_id: int


@dataclass
class Event:
    """What the gate asks of a Faust event; notes each acknowledgement in `acknowledged`."""

    message: Message
    acknowledged: list["Event"]
    slot: Slot = field(init=False, repr=False)

    def ack(self) -> bool:
        """As Faust does, without asking whether it may."""
        self.acknowledged.append(self)
        return True


class Consumer:
    """Delivers events of three partitions in the present generation; the gate under test behind it."""

    def __init__(self) -> None:
        self.generation = 1
        self.acknowledged: list[Event] = []
        self.gate = AckGate(lambda: self.generation)
        self._offsets: defaultdict[object, count[int]] = defaultdict(count)

    def deliver(self, partition: tuple[str, int] = PARTITIONS[0], generation: int | None = None) -> Event:
        """The next event of a partition, admitted."""
        of_generation = self.generation if generation is None else generation
        event = Event(Message(partition, next(self._offsets[partition]), of_generation), self.acknowledged)
        event.slot = self.gate.admit(event)
        return event

    def finish(self, events: Sequence[Event]) -> int:
        """All behind these events is safe."""
        return self.gate.done(event.slot for event in events)


def test_an_event_waits_for_those_before_it() -> None:
    consumer = Consumer()
    first, second, third = (consumer.deliver() for _ in range(3))
    assert consumer.finish([third]) == 0
    assert consumer.finish([first]) == 1
    assert consumer.finish([second]) == 2
    assert consumer.acknowledged == [first, second, third]
    assert consumer.gate.acknowledged == 3


def test_partitions_do_not_wait_for_each_other() -> None:
    consumer = Consumer()
    slow, quick = consumer.deliver(PARTITIONS[0]), consumer.deliver(PARTITIONS[1])
    assert consumer.finish([quick]) == 1
    assert consumer.finish([slow]) == 1


def test_what_was_taken_away_is_never_acknowledged() -> None:
    consumer = Consumer()
    old = [consumer.deliver() for _ in range(3)]
    consumer.finish(old[1:2])
    consumer.generation = 2
    assert consumer.finish(old[:1]) == 0
    new = consumer.deliver()
    assert consumer.finish([*old, new]) == 1
    assert consumer.acknowledged == [new]


def test_an_event_that_comes_late_from_an_old_generation_disturbs_nothing() -> None:
    consumer = Consumer()
    consumer.generation = 2
    first = consumer.deliver()
    late = consumer.deliver(generation=1)
    second = consumer.deliver()
    assert consumer.finish([late, second]) == 0, "the first is not done"
    assert consumer.finish([first]) == 2
    assert consumer.acknowledged == [first, second]


def test_an_end_is_known_of_what_was_acknowledged_in_this_generation() -> None:
    consumer = Consumer()
    events = [consumer.deliver(PARTITIONS[1]) for _ in range(3)]
    consumer.finish(events[:2])
    assert consumer.gate.ends(PARTITIONS) == {PARTITIONS[1]: 2}
    assert consumer.gate.ends(PARTITIONS[:1]) == {}
    consumer.generation = 2
    assert consumer.gate.ends(PARTITIONS) == {}
    consumer.deliver(PARTITIONS[0])
    assert consumer.gate.ends(PARTITIONS) == {}


class AnyOrder(RuleBasedStateMachine):
    """Deliveries, completions in any order, rebalances and latecomers, as hypothesis thinks of them."""

    def __init__(self) -> None:
        super().__init__()
        self.consumer = Consumer()
        self.delivered: defaultdict[tuple[int, tuple[str, int]], list[Event]] = defaultdict(list)
        self.open: list[Event] = []
        self.finished: list[Event] = []

    @rule(partition=st.sampled_from(PARTITIONS), events=st.integers(1, 4))
    def deliver(self, partition: tuple[str, int], events: int) -> None:
        for _ in range(events):
            event = self.consumer.deliver(partition)
            self.delivered[self.consumer.generation, partition].append(event)
            self.open.append(event)

    @rule(partition=st.sampled_from(PARTITIONS), age=st.integers(1, 3))
    def deliver_late(self, partition: tuple[str, int], age: int) -> None:
        self.open.append(self.consumer.deliver(partition, self.consumer.generation - age))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.open), unique_by=id))
        before = len(self.consumer.acknowledged)
        self.finished += chosen
        self.open = [event for event in self.open if not any(event is one for one in chosen)]
        assert self.consumer.finish(chosen) == len(self.consumer.acknowledged) - before
        released = self.consumer.acknowledged[before:]
        assert all(event.message.generation_id == self.consumer.generation for event in released), "stale"

    @rule(steps=st.integers(1, 3))
    def rebalance(self, steps: int) -> None:
        self.consumer.generation += steps

    @invariant()
    def acknowledged_is_a_prefix_of_delivered(self) -> None:
        for (generation, partition), events in self.delivered.items():
            released = [
                event
                for event in self.consumer.acknowledged
                if (event.message.generation_id, event.message.tp) == (generation, partition)
            ]
            assert all(one is other for one, other in zip(released, events, strict=False))
            assert len(released) <= len(events), "twice"
            assert all(event.slot.done for event in released)
        assert self.consumer.gate.acknowledged == len(self.consumer.acknowledged)

    @invariant()
    def nothing_that_may_go_is_held_back(self) -> None:
        for (generation, partition), events in self.delivered.items():
            if generation == self.consumer.generation:
                done = next((place for place, event in enumerate(events) if not event.slot.done), len(events))
                expected = {partition: events[done - 1].message.offset + 1} if done else {}
                assert self.consumer.gate.ends([partition]) == expected

    def teardown(self) -> None:
        self.consumer.finish(self.open)
        present = [events for (generation, _), events in self.delivered.items() if generation == self.consumer.generation]
        assert all(any(event is one for one in self.consumer.acknowledged) for events in present for event in events)


AnyOrder.TestCase.settings = settings(deadline=None, stateful_step_count=40)
TestAnyOrder = AnyOrder.TestCase
