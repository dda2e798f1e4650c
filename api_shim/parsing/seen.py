"""Reads which version of a scheduled job a client has seen: ``If-Match``, or ``version`` in the body.

* ``If-Match`` has the ETag that an answer had. ``*`` stands for any version, so it names none.
* An ETag counts with and without the ``W/`` of a proxy that compresses answers: it names what would run, not the bytes.
* Named in both ways, both must agree.

Contract 9.18.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter

from api_shim.parsing.sentences import LENIENT, read
from approval_gate.errors import Invalid

HEADER = "If-Match"
ETAG = re.compile(r'(?:W/)?"([!#-~]*)"')
NO_ETAG = 'Give one ETag, in double quotes, as in If-Match: "0123456789ab".'

Version = Annotated[
    str | None,
    AfterValidator(lambda version: version or None),
    Field(description="The `approval_version` that was seen; if the scheduled job has another one, this is refused."),
]


class Seen(BaseModel):
    """What a caller has seen."""

    model_config = LENIENT

    version: Version = None


_SEEN = TypeAdapter(Seen)


def etag_of(version: str) -> str:
    """Return a version as an ETag."""
    return f'"{version}"'


def read_seen(if_match: Sequence[str], body: object) -> str | None:
    """Return the version that a client names; None if it names none.

    Args:
        if_match: every ``If-Match`` header.
        body: the body, decoded.

    Raises:
        Invalid: it cannot be read, or is named twice and differently.
    """
    named = read(_SEEN, {"version": body.get("version")}).version if isinstance(body, Mapping) else None
    said = {version for version in (named, *map(_read_etag, if_match)) if version is not None}
    if len(said) > 1:
        raise Invalid({"version": ["It is given more than once, with different values."]})
    return next(iter(said), None)


def _read_etag(text: str) -> str | None:
    if text.strip() == "*":
        return None
    etag = ETAG.fullmatch(text.strip())
    if etag is None:
        raise Invalid({HEADER: [NO_ETAG]})
    return etag[1]
