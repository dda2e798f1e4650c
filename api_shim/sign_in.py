"""Where signoff runs and with which key somebody signs in, as the environment says; and what Prefect's says.

* ``SIGNOFF_URL`` and ``SIGNOFF_TOKEN``; ``PREFECT_API_URL`` and ``PREFECT_API_AUTH_STRING``.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from api_shim.address import HERE
from approval_gate.errors import Invalid

KEY = re.compile(r"[!-~]+")
NO_TOKEN = "The token is empty, or has characters that no token has."  # noqa: S105 - a sentence, not a secret


class Environment(BaseSettings):
    """What is set from outside.

    Args:
        url: the address of the origin.
        token: a key; whether it is one is seen later, and it is not repeated.
    """

    model_config = SettingsConfigDict(env_prefix="SIGNOFF_", env_ignore_empty=True, frozen=True)

    url: str = HERE
    token: Any = Field(default=None, repr=False)


class PrefectEnvironment(BaseSettings):
    """What is set for clients of Prefect.

    Args:
        api_url: the address of its API.
        api_auth_string: ``user:password``.
    """

    model_config = SettingsConfigDict(env_prefix="PREFECT_", env_ignore_empty=True, frozen=True)

    api_url: str | None = None
    api_auth_string: Any = Field(default=None, repr=False)


def check_key(token: str) -> str:
    """Return a token that can be sent.

    Raises:
        Invalid: it is none.
    """
    if not KEY.fullmatch(token):
        raise Invalid(NO_TOKEN)
    return token


def find_token(token: str | None) -> str:
    """Return a token, from the environment if it is not given.

    Raises:
        Invalid: there is none.
    """
    found = Environment().token if token is None else token
    if found is None:
        raise Invalid("Give a token, or set SIGNOFF_TOKEN to it.")
    return check_key(str(found).strip() if token is None else token)
