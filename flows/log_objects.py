"""What a line of a log is about, kept where Prefect keeps nothing but the name of a logger: behind that name.

* ``extra={"object": …}`` of a call of ``self.logger`` says it: anything that has a text. Its address is what its
  ``get_absolute_url()`` returns, as in Django, or its ``absolute_url``.
* An address is a path of this server, or of the web: a page may make a link of it.
* An object that cannot be told costs no line.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

BETWEEN = "\x1f"
"""The separator of units of ASCII, which no name has."""
LONGEST_NAME, LONGEST_ADDRESS = 200, 255
LINKS = ("/", "https://", "http://")
"""What an address begins with."""


def with_object(logger: str, thing: object) -> str:
    """Return the name of a logger with an object behind it.

    Args:
        logger: the name.
        thing: the object that a line is about.
    """
    said = ["", ""]
    # What it raises is the author's, and not what the line is about.
    with suppress(Exception):
        said[0] = str(thing)[:LONGEST_NAME]
        said[1] = _address(thing)
    return BETWEEN.join([logger, *(text.replace(BETWEEN, " ") for text in said)])


def read_object(name: str) -> tuple[str, str, str]:
    """Return the name of a logger, and the name and the address of the object behind it; each empty if there is none.

    Args:
        name: as ``with_object`` returns it, or of any other logger.
    """
    logger, _, rest = name.partition(BETWEEN)
    title, _, address = rest.partition(BETWEEN)
    return logger, title, address if _is_link(address) else ""


def _address(thing: Any) -> str:
    asked = getattr(thing, "get_absolute_url", None)
    address = asked() if callable(asked) else getattr(thing, "absolute_url", "")
    return address if isinstance(address, str) and _is_link(address) else ""


def _is_link(address: str) -> bool:
    return address.startswith(LINKS) and not address.startswith("//") and len(address) <= LONGEST_ADDRESS
