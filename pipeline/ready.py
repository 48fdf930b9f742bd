"""The ready file: exists while a process is ready to work, for probes and supervisors."""

from pipeline.settings import Settings


def announce(settings: Settings, *, ready: bool) -> None:
    """Make or remove the ready file, where one is set."""
    if settings.ready_file and ready:
        settings.ready_file.touch()
    elif settings.ready_file:
        settings.ready_file.unlink(missing_ok=True)
