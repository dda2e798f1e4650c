"""Operations on your own preferences, which concern the pages alone."""

from __future__ import annotations

from typing import Any

from api_shim import schemas
from api_shim.client.protocol import HttpRequest, Operation, body_of, read

CONFIG = "api/users/config/"


def preferences() -> Operation[schemas.Preferences]:
    """Return what you prefer.

    >>> shim.preferences().pagination.per_page
    0
    """
    return read(schemas.Preferences, (yield HttpRequest(path=CONFIG)))


def change_preferences(*, time_zone: str | None = None, page_size: int | None = None) -> Operation[schemas.Preferences]:
    """Change what you prefer; what is not given stays.

    Args:
        time_zone: the IANA name of the zone in which pages tell you times, such as ``"Europe/Berlin"``; empty for that
            of your browser.
        page_size: how many rows lists show; 0 for the usual number.

    Raises:
        Forbidden: your token can only read.
        Invalid: there is no such zone, or lists cannot be as long; ``detail`` has the sentences by field.

    >>> shim.change_preferences(time_zone="Europe/Berlin").timezone
    'Europe/Berlin'
    """
    zone: dict[str, Any] = {} if time_zone is None else {"timezone": time_zone}
    size: dict[str, Any] = {} if page_size is None else {"pagination": {"per_page": page_size}}
    return read(schemas.Preferences, (yield HttpRequest(method="PATCH", path=CONFIG, body=body_of({**zone, **size}))))
