"""Every error of LLM OS, in one tree; its type decides what happens to the message.

LLMOSError
├── MessageError       the message's fault   → dead letter, the stream goes on
├── TransientError     the moment's fault    → retried with backoff and an end; then the process exits, uncommitted
└── FatalError         ours or the operator's → stop loudly, uncommitted
    ├── ConfigurationError   a setting, file or argument cannot work
    ├── BundleError          a model bundle is damaged, incomplete or fails its canary
    └── DeadLetterLimitError most jobs fail: not they are wrong, but who sends them or how we are set up
"""

from schemas.codes import Code


class LLMOSError(Exception):
    """Root of the tree. `str(error)` is one sentence that a person understands."""


class MessageError(LLMOSError):
    """This one message can never succeed: it goes to the dead letters with `code`, `reason` and, where known, `path`."""

    def __init__(self, code: Code, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.code = code
        self.reason = str(self)
        self.path = path


class TransientError(LLMOSError):
    """May work a moment later: broker away, leader moving, device busy. Never a reason to dead-letter a job."""


class FatalError(LLMOSError):
    """Nothing that waiting would mend; the process says so and stops without committing."""


class ConfigurationError(FatalError):
    """A setting, a file or an argument that cannot work; the message names it."""


class DeadLetterLimitError(FatalError):
    """So many of the last jobs became dead letters that a person must look before more follow."""


class BundleError(FatalError):
    """A model bundle whose files, checksums or canaries are not what its manifest promises."""
