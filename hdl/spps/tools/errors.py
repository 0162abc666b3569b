"""The error whose message is for the user."""

__all__ = ["ToolError"]


class ToolError(RuntimeError):
    """What was asked for cannot be done; the message says what, where and what was expected.

    `spps` shows the message and ends with exit code 1. Any other exception is a defect and ends in a traceback.
    """
