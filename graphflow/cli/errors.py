"""The error of a command that was asked for something there is not."""

from __future__ import annotations


class UsageError(ValueError):
    """What was asked for does not exist or cannot be done; the message says what there is."""
