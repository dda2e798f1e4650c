"""The errors that the rules raise: one tree, each with a message for people.

::

    GateError               the rules refuse the request
    ├── Forbidden           the caller may see the object, but may not do this
    ├── NotFound            the object does not exist, or the caller may not see it
    ├── Invalid             the request cannot be read, or breaks a rule about its contents
    │   └── TooLarge        the request is too large
    ├── Conflict            the request contradicts the current state of the object
    │   └── Outdated        the object is not what the caller has seen any more
    ├── NotRunnable         the object exists, but does not support this
    ├── TooManyAttempts     the caller has tried too often
    └── Unavailable         something that the request needs is not available now; retry later

* The core raises these errors and knows nothing of status codes; the outer layers map them.
* ``detail`` is the structure that was raised. ``str()`` gives its sentences on one line, each with its field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

UNNAMED = frozenset({"detail", "errors", "non_field_errors"})
"""Keys in a structure of sentences that are not names of fields."""


class GateError(Exception):
    """The rules refuse the request.

    Args:
        detail: one sentence for the caller, or a structure of sentences by field.
        after: in how many seconds the caller may try again; None if that is not known.
    """

    def __init__(self, detail: object, *, after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.after = after

    def __str__(self) -> str:
        if isinstance(self.detail, str):
            return self.detail
        return " ".join(sentences(self.detail)) or str(self.detail)


class Forbidden(GateError):
    """The caller may see the object, but may not do this."""


class NotFound(GateError):
    """The object does not exist, or the caller may not see it."""


class Invalid(GateError):
    """The request cannot be read, or breaks a rule about its contents."""


class TooLarge(Invalid):
    """The request is too large."""


class Conflict(GateError):
    """The request contradicts the current state of the object."""


class Outdated(Conflict):
    """The object is not what the caller has seen any more."""


class NotRunnable(GateError):
    """The object exists, but does not support this."""


class TooManyAttempts(GateError):
    """The caller has tried too often; they may retry later."""


class Unavailable(GateError):
    """Something that the request needs is not available now; the caller may retry later."""


def sentences(detail: object, field: str = "") -> Iterator[str]:
    """Yield the sentences of an error, each prefixed with its field.

    Args:
        detail: a sentence, or a structure of sentences by field.
        field: the field that all of them belong to; empty for none.

    Yields:
        one sentence on one line, with unprintable characters, such as terminal escapes, replaced by spaces.
    """
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from sentences(inner, field if name in UNNAMED else f"{field}.{name}".removeprefix("."))
    elif isinstance(detail, list | tuple):
        for inner in detail:
            yield from sentences(inner, field)
    elif isinstance(detail, str):
        text = "".join(c if c.isprintable() else " " for c in detail)
        yield f"{field}: {text}" if field else text
