"""Python's collector of objects that refer to each other, told what the stages are like.

Jobs, records and events refer to nothing that refers to them: they go when nobody needs them, without the collector. But it
counts objects that were made, and a batch makes thousands: it would look through all of them again and again, and now and then
through everything that was loaded at start, for nothing, at a tenth of the stage's CPU time.
"""

import gc
from typing import Final

NEW_OBJECTS: Final = 20_000
"""Made and still there, before the collector looks through them: about one batch, so what it would find stays small."""


def collect_seldom() -> None:
    """Let the collector look rarely, and never at what is there by now; call it once, when all is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)
