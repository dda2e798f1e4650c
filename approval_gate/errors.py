"""The errors of the rules, one tree, each with a message for people.

::

    GateError               anything the rules refuse
    ├── Forbidden           you may see it, but you may not do this
    ├── NotFound            there is no such thing, or you may not know that there is
    ├── Invalid             the request cannot be understood or breaks a rule about its contents
    │   └── TooLarge        … because there is too much of it
    ├── Conflict            it contradicts what has already been decided
    ├── NotRunnable         the thing exists, but cannot do this at all
    ├── TooManyAttempts     somebody tries too often
    └── Unavailable         what it needs is not there now; later it may work

The core raises these and knows nothing of status codes; the shell decides what each means there.

* As text each is sentences for people, on one line, each with the field that it is about; ``detail`` is what was said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

UNNAMED = frozenset({"detail", "errors", "non_field_errors"})
"""Keys in a structure of sentences that are no fields."""


class GateError(Exception):
    """The rules refused this.

    Args:
        detail: one sentence for the person who asked, or a structure of such sentences by field.
    """

    def __init__(self, detail: object) -> None:
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        if isinstance(self.detail, str):
            return self.detail
        return " ".join(sentences(self.detail)) or str(self.detail)


class Forbidden(GateError):
    """You may see it, but you may not do this."""


class NotFound(GateError):
    """There is no such thing, or you may not know that there is."""


class Invalid(GateError):
    """The request cannot be understood, or breaks a rule about its contents."""


class TooLarge(Invalid):
    """There is more of it than can be taken."""


class Conflict(GateError):
    """It contradicts what has already been decided."""


class NotRunnable(GateError):
    """The thing exists, but cannot do this at all."""


class TooManyAttempts(GateError):
    """It has been tried too often; later it may be tried again."""


class Unavailable(GateError):
    """What this needs is not there now; later it may work."""


def sentences(detail: object, field: str = "") -> Iterator[str]:
    """Yield the sentences of a refusal, each with the field that it is about.

    Args:
        detail: a sentence, or a structure of such sentences by field.
        field: what all of it is about.

    Yields:
        them, each on one line, and with nothing in it that a terminal would obey.
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
