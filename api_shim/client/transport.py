"""The connection to a server: its URL, the token, and the meaning of answers.

* A token is sent only to the given URL. Over plain HTTP it does not leave this machine, unless ``insecure`` allows it.
* No error message contains a token, or a URL that may contain a password.
* Refusals and failed connections raise the errors of ``approval_gate.errors``, with a sentence; sentences by field are
  in ``detail``.
* The environment variables are ``SIGNOFF_URL``, ``SIGNOFF_TOKEN`` or ``SIGNOFF_TOKEN_FILE``, and ``SIGNOFF_TIMEOUT``;
  for Prefect ``PREFECT_API_URL`` and ``PREFECT_API_AUTH_STRING``.

Contract 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from api_shim.settings import Patience, read_timeout, readable_settings, told_in_files
from approval_gate.addresses import is_private, trusts_environment
from approval_gate.errors import (
    Conflict,
    Forbidden,
    GateError,
    Invalid,
    NotFound,
    NotRunnable,
    Outdated,
    TooLarge,
    Unavailable,
    sentences,
)

C = TypeVar("C")

HERE = "http://127.0.0.1:4200"


NO_ADDRESS = f"The URL of the server is invalid; it looks like {HERE}."


MORE_THAN_ADDRESS = f"The URL of the server looks like {HERE}, without a user name, password or query."


def read_address(url: str) -> httpx.URL:
    """Parse the URL of a server.

    Raises:
        Invalid: the URL is malformed. The message does not repeat it, because it may contain a password.
    """
    try:
        address = httpx.URL(url)
        # The name resolution of the system encodes the host like this.
        address.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise Invalid(NO_ADDRESS) from error
    is_whole = address.scheme in {"http", "https"} and address.host and (address.port or 0) <= 65535
    if not is_whole or address.userinfo or address.query or address.fragment:
        raise Invalid(MORE_THAN_ADDRESS)
    return address


def check_private(address: httpx.URL, *, insecure: bool = False) -> None:
    """Check that the token is encrypted on its way, or does not leave this machine.

    Args:
        address: the URL of the server.
        insecure: skip the check.

    Raises:
        Unavailable: the URL is plain HTTP to another machine.
    """
    if not is_private(address) and not insecure:
        message = f"Others could read the token on its way to {address.host}. Use https, or --insecure."
        raise Unavailable(message)


def opened(client: Callable[..., C], **how: Any) -> C:
    """Create an httpx client.

    Args:
        client: its class.
        how: its arguments.

    Raises:
        Unavailable: the proxy or certificate settings of the environment are invalid.
    """
    try:
        return client(**how)
    except (ValueError, ImportError, OSError) as error:
        message = f"The proxy or certificate settings of the environment cannot be used: {error}."
        raise Unavailable(message) from error


def options(address: httpx.URL, token: str | None, request_id: str = "") -> dict[str, Any]:
    """Return the arguments of an httpx client for a server.

    Args:
        address: the URL of the server.
        token: the user's key; None where the user is known without it.
        request_id: what all requests are called in the log of the server; empty for a name of its own for each.

    Raises:
        Invalid: the timeout of the environment cannot be read.
    """
    signed = {} if token is None else {"Authorization": f"Token {token}"}
    called = {"X-Request-ID": request_id} if request_id else {}
    return {
        "base_url": address,
        "headers": {**signed, **called, "Accept": "application/json"},
        "timeout": read_timeout(),
        "trust_env": trusts_environment(address),
    }


REFUSALS: Mapping[int, type[GateError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    405: NotRunnable,
    409: Conflict,
    412: Outdated,
    413: TooLarge,
}
"""The error for each status; ``Unavailable`` for any other that is not a success."""

UNREADABLE = object()
"""Stands for content that is not JSON."""


def content_of(answer: httpx.Response, where: str, *, as_bytes: bool = False) -> Any:
    """Return the decoded content of a response; None if it is empty.

    Args:
        answer: the complete response.
        where: the URL of the server, for error messages.
        as_bytes: return the content of a success as it is.

    Raises:
        GateError: the status is not a success.
    """
    if answer.is_success and as_bytes:
        return answer.content
    content = _decoded(answer)
    if answer.is_success:
        return content
    after = answer.headers.get("Retry-After", "")
    kind = partial(REFUSALS.get(answer.status_code, Unavailable), after=float(after) if after.isdecimal() else None)
    told = content.get("detail", content) if isinstance(content, dict) and len(content) == 1 else content
    if not any(sentences(told)):
        raise kind(f"{where} answered with status {answer.status_code}.")
    raise kind(" ".join(sentences(told)) if isinstance(told, str) else told)


def _decoded(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return UNREADABLE


def undelivered(error: httpx.HTTPError, where: str) -> Unavailable:
    """Return the error for a request without a response."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return Unavailable(f"{where} cannot be reached: {error}.")
    return Unavailable(f"{where} did not respond. It may still have processed the request.")


def stranger(where: str) -> Unavailable:
    """Return the error for an answer that is not signoff's."""
    return Unavailable(f"The server at {where} is not signoff, or has another version.")


KEY = re.compile(r"[!-~]+")


NO_TOKEN = "The token is empty or has invalid characters."  # noqa: S105 - a sentence, not a secret


class Environment(Patience):
    """The settings of the client, read from the environment.

    Args:
        url: the URL of the server.
        token: the user's key; not validated here, so that no error repeats it.
        token_file: a file that has it.
    """

    from_files = model_validator(mode="before")(told_in_files)
    url: str = HERE
    token: Any = Field(default=None, repr=False)
    token_file: Path | None = None


def read_environment() -> Environment:
    """Return the settings of the client.

    Raises:
        Invalid: one of them cannot be read; the sentence does not repeat it.
    """
    with readable_settings():
        return Environment()


class PrefectEnvironment(BaseSettings):
    """The settings of Prefect's clients, read from the environment.

    Args:
        api_url: the URL of Prefect's API.
        api_auth_string: ``user:password``.
    """

    model_config = SettingsConfigDict(env_prefix="PREFECT_", env_ignore_empty=True, frozen=True)

    api_url: str | None = None
    api_auth_string: Any = Field(default=None, repr=False)


def check_key(token: str) -> str:
    """Return the token if it is valid.

    Raises:
        Invalid: the token is empty or has invalid characters.
    """
    if not KEY.fullmatch(token):
        raise Invalid(NO_TOKEN)
    return token


def find_token(token: str | None) -> str:
    """Return the given token, or else the one of the environment.

    Raises:
        Invalid: the token is missing, empty or has invalid characters.
    """
    found = read_environment().token if token is None else token
    if found is None:
        raise Invalid("Give a token, or set SIGNOFF_TOKEN.")
    return check_key(str(found).strip() if token is None else token)
