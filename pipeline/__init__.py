"""The pipeline: jobs in, work out, and the tools around it. Programs use `JobPublisher` and `ResultReader`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.publish import JobPublisher
    from pipeline.read import ResultReader

__all__ = ["JobPublisher", "ResultReader"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 (one of the two classes)
    # Late, so that the pure modules can be imported without a Kafka client.
    if name == "JobPublisher":
        from pipeline.publish import JobPublisher  # noqa: PLC0415

        return JobPublisher
    if name == "ResultReader":
        from pipeline.read import ResultReader  # noqa: PLC0415

        return ResultReader
    raise AttributeError(name)
