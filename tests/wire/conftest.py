"""Property tests that give the same result every time, on a busy machine too."""

from __future__ import annotations

from hypothesis import settings

# New inputs come from fuzz/run.py, by seed; here a failure must be the change's, not the dice's.
settings.register_profile("natkit", deadline=None, derandomize=True)
settings.load_profile("natkit")
