"""Expected failures: their text may be shown to the person. Everything else is a bug."""

from triage.ports import Text


class TriageError(Exception):
    """`text` is translated where it is shown."""

    def __init__(self, message: str, **params: str | int) -> None:
        self.text = Text(message, params)
        super().__init__(str(self.text))


class NotAllowed(TriageError):
    """The person or token has no right to do this, or the life cycle has no such edge."""


class Stale(TriageError):
    """Somebody else changed it since it was read."""


class NotFound(TriageError):
    """No such thing, or none that this person may see."""


class Invalid(TriageError):
    """The input does not say what it should; the text says what, where and what to do."""
