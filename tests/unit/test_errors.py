"""The tree of errors: the type decides the fate, and the drawing of it is true."""

import re

import pytest

from schemas import errors
from schemas.codes import Code
from schemas.errors import (
    BundleError,
    ConfigurationError,
    DeadLetterLimitError,
    FatalError,
    LLMOSError,
    MessageError,
    TransientError,
)


@pytest.mark.parametrize(
    ("kind", "parent"),
    [
        (MessageError, LLMOSError),
        (TransientError, LLMOSError),
        (FatalError, LLMOSError),
        (ConfigurationError, FatalError),
        (BundleError, FatalError),
        (DeadLetterLimitError, FatalError),
        (LLMOSError, Exception),
    ],
)
def test_an_error_has_one_place_in_the_tree(kind: type[Exception], parent: type[Exception]) -> None:
    assert kind.__bases__ == (parent,)


def test_the_drawing_holds_every_error_and_no_other() -> None:
    found = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert set(re.findall(r"\w+Error", errors.__doc__ or "")) == found


def test_no_fate_is_another() -> None:
    fates = (MessageError, TransientError, FatalError)
    assert not any(issubclass(one, other) for one in fates for other in fates if one is not other)


def test_a_message_error_names_the_field_in_its_sentence() -> None:
    error = MessageError(Code.INVALID_FIELD, "it is a number", "text")
    assert (error.code, error.path, error.reason, str(error)) == (
        Code.INVALID_FIELD,
        "text",
        "text: it is a number",
        error.reason,
    )


def test_a_message_error_without_a_field_is_its_sentence() -> None:
    error = MessageError(Code.EMPTY_RECORD, "the record has no value")
    assert (error.path, error.reason, str(error)) == ("", "the record has no value", "the record has no value")
