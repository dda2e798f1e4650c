"""The tokens that ``signoff login`` has got, in a file that only its owner can read.

* Each is kept with the address that it is for, and is given to a command for that address alone.
* One that has expired is not sent; the command says that its user has to sign in again.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import typer
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from api_shim.settings import FOR_OTHERS, OWNER_ONLY, utc_now, write_file
from approval_gate.errors import Invalid, Unavailable


class Login(BaseModel):
    """A token, and what it is for."""

    key: str = Field(repr=False, min_length=1)
    id: str
    username: str
    expires: datetime


LOGINS = TypeAdapter(dict[str, Login])
ENDED = "Your sign-in has ended. Sign in again with `signoff login`, or set SIGNOFF_TOKEN."


def logins_file() -> Path:
    """Return the file, in the folder where this machine keeps what its users configure."""
    return Path(typer.get_app_dir("signoff")) / "logins.json"


def kept_login(url: str) -> Login | None:
    """Return what is kept for an address; None if there is nothing.

    Raises:
        Unavailable: the file cannot be read, or others can read it.
    """
    return _read().get(_named(url))


def kept_key(url: str) -> str | None:
    """Return the key for an address; None if nobody has signed in there.

    Raises:
        Invalid: it has expired.
        Unavailable: the file cannot be read, or others can read it.
    """
    kept = kept_login(url)
    if kept is not None and kept.expires <= utc_now():
        raise Invalid(ENDED)
    return kept.key if kept else None


def keep_login(url: str, login: Login) -> None:
    """Keep a token for an address, in the place of another.

    Raises:
        Unavailable: the file cannot be written.
    """
    _write({**_read(), _named(url): login})


def forget_login(url: str) -> None:
    """Forget the token for an address.

    Raises:
        Unavailable: the file cannot be written.
    """
    _write({place: login for place, login in _read().items() if place != _named(url)})


def _named(url: str) -> str:
    return url.rstrip("/")


def _read() -> dict[str, Login]:
    path = logins_file()
    try:
        if path.stat().st_mode & FOR_OTHERS:
            raise Unavailable(f"The file {path} is open to other users; close it with chmod 600.")
        return LOGINS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Unavailable(f"The file {path} cannot be read: {error.strerror}.") from error
    except ValidationError:
        raise Unavailable(f"The file {path} was not written by signoff login; remove it.") from None


def _write(logins: dict[str, Login]) -> None:
    path = logins_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=OWNER_ONLY)
    except OSError as error:
        raise Unavailable(f"The folder {path.parent} cannot be made: {error.strerror}.") from error
    write_file(path, LOGINS.dump_json(logins).decode())
