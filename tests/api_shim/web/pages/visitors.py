"""People who are signed in to our pages, without a browser and without a server."""

from __future__ import annotations

import asyncio
import html
import re
from typing import Any
from uuid import uuid4

import httpx

from api_shim.domain.accounts import COOKIE, Session
from api_shim.store import Store
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import NOW

PASSWORD = "correct horse"


class Visitors:
    """An origin, and people who look at its pages and send their forms.

    Args:
        store: an empty one.
        clock: tells the time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self.origin = Origin(store, clock, follows=False)
        self.admin = self.origin.user()
        self._cookies: dict[str, tuple[str, Session]] = {}

    def person(self, name: str, *grants: tuple[str, str, Any], superuser: bool = False) -> str:
        """Make a user with these permissions, each a type, actions and a constraint, and return their name."""
        self.origin.user(name, superuser=superuser)
        for kind, actions, constraint in grants:
            self.origin.identity.add_permission(
                str(uuid4()), NOW, types=[kind], actions=actions.split(), users=[name], constraint=constraint
            )
        return name

    def reader(self, name: str) -> str:
        """Return the name under which a user visits who has signed in with a token that only reads."""
        as_reader = f"{name}, reading"
        key = self.origin.identity.add_token(name, NOW, write_enabled=False)
        self._cookies[as_reader] = self._sign_in(name, key)
        return as_reader

    def with_password(self, name: str) -> str:
        """Return the name under which a user visits who has signed in with a password."""
        as_typist = f"{name}, typing"
        self.origin.identity.set_password(name, PASSWORD, NOW)
        self._cookies[as_typist] = self._sign_in(name, PASSWORD)
        return as_typist

    def restore(self, *names: str | None) -> None:
        """Let these people be signed in as before, whatever has become of their sessions."""
        with self.origin.store.transaction() as tx:
            there = {session.id for session in tx.all(Session)}
            for _, session in (self._cookies[name] for name in names if name in self._cookies):
                if session.id not in there:
                    tx.add(session)

    def session(self, who: str) -> Session:
        return self._signed_in(who)[1]

    def _sign_in(self, name: str, secret: str) -> tuple[str, Session]:
        return asyncio.run(self.origin.sessions.sign_in(name, secret, ""))

    def _signed_in(self, who: str) -> tuple[str, Session]:
        if who not in self._cookies:
            self._cookies[who] = self._sign_in(who, self.origin.keys[who])
        return self._cookies[who]

    def sees(self, path: str, who: str | None = "admin", **headers: str) -> httpx.Response:
        return self.origin.ask("GET", path, None, headers={**self._cookie(who), **headers})

    def sends(self, path: str, who: str | None = "admin", **form: Any) -> httpx.Response:
        """Send a form, with the token of the session."""
        csrf = self._signed_in(who)[1].csrf if who else "any"
        return self.origin.ask("POST", path, None, headers=self._cookie(who), data={"csrf": csrf, **form})

    def _cookie(self, who: str | None) -> dict[str, str]:
        return {"Cookie": f"{COOKIE}={self._signed_in(who)[0]}"} if who else {}


def text_in(answer: httpx.Response) -> str:
    """Return what a page says, without its tags, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())
