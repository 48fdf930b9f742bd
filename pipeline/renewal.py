"""Lets a kafka-python producer go on after a delivery that has failed.

An idempotent producer then needs a new producer id, for nobody knows whether the broker has taken the batch. kafka-python 3.0.12
drops the old one and stays "ready", so that it asks for none, and never sends again: a `flush` would wait for ever.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from kafka import KafkaProducer
from kafka.producer.transaction_manager import TransactionState


def renewing(producer: KafkaProducer) -> KafkaProducer:
    """`producer`, which from now on asks for a new id whenever it has dropped the old one."""
    manager = producer._transaction_manager  # noqa: SLF001 (no other place to mend it)
    if manager is not None:  # it is for idempotent producers
        manager.reset_producer_id = partial(_reset, manager, manager.reset_producer_id)
    return producer


def _reset(manager: Any, reset: Callable[[], None]) -> None:  # noqa: ANN401 (kafka-python is untyped)
    reset()
    with manager._lock:  # noqa: SLF001
        manager._current_state = TransactionState.UNINITIALIZED  # noqa: SLF001
