"""What somebody signs in with, as HTTP and websockets carry it.

* ``Authorization`` has a token's key in one of three schemes; the first message of a websocket has it too.
"""

from __future__ import annotations

import base64
import binascii
import json

from starlette.types import Message

from api_shim.actors import INVALID_TOKEN, Credentials, Unauthenticated


def read_credentials(header: str | None) -> Credentials | None:
    """Read an ``Authorization`` header: ``Token key``, ``Bearer key`` or ``Basic`` with ``user:key``.

    Returns:
        what it carries; None if there is no header, or one of another scheme.

    Raises:
        Unauthenticated: it cannot be read.
    """
    scheme, _, value = (header or "").strip().partition(" ")
    match scheme.lower():
        case "token":
            return _key(value)
        case "bearer" | "basic":
            return read_auth_string(value if scheme.lower() == "bearer" else _decoded(value))
        case _:
            return None


def read_auth_string(text: str) -> Credentials:
    """Read ``user:key``, or a key alone.

    Raises:
        Unauthenticated: there is no key.
    """
    username, colon, key = text.strip().partition(":")
    return Credentials(key=key, username=username) if colon and key else _key(username)


def _key(value: str) -> Credentials:
    if not value.strip():
        raise Unauthenticated(INVALID_TOKEN)
    return Credentials(key=value.strip())


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Unauthenticated(INVALID_TOKEN) from error


def credentials_of(message: Message) -> Credentials | None:
    """Read what the first message of a websocket signs in with; None if it is no such message."""
    try:
        said = json.loads(message.get("text") or message.get("bytes") or "")
    except (ValueError, RecursionError):
        return None
    token = said.get("token") if isinstance(said, dict) and said.get("type") == "auth" else None
    return read_auth_string(token) if isinstance(token, str) else None
