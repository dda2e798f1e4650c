"""The last active superuser remains one, whichever door somebody tries: the REST API, the command line, the start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from api_shim.cli import accounts
from api_shim.domain.accounts import User
from api_shim.domain.audit import EventType
from api_shim.web.rest import users
from approval_gate.policy import LAST_SUPERUSER
from tests.api_shim.cli.conftest import Run
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.databases import store_of
from tests.factories import NOW, administering

REFUSED, NO_SUCH_WAY, DONE = "refused", "no such way", "done"
KEPT = "another-password"


@dataclass
class House:
    """Root, the only active superuser, with a group and a permission; asleep, a superuser who is deactivated; bob."""

    origin: Origin
    signoff: Run
    root: User

    def rest(self, method: str, path: str, body: Any = None) -> str:
        """Say what became of a request that root makes."""
        answer = self.origin.ask(method, f"/api/users/{path}", "root", json=body)
        if answer.status_code == 409:
            assert answer.json() == {"detail": LAST_SUPERUSER}
            return REFUSED
        return NO_SUCH_WAY if answer.status_code == 405 else DONE if answer.is_success else answer.text

    def typed(self, *words: str, stdin: bytes = b"") -> str:
        """Say what became of a command."""
        printed = self.signoff(*words, stdin=stdin)
        if printed.status:
            assert printed.refusal == LAST_SUPERUSER
        return REFUSED if printed.status else DONE

    def starts(self) -> str:
        """Start the server again, as far as accounts are concerned."""
        admin = administering(self.origin.store)
        admin.ensure_worker("a" * 40, NOW, pool="signoff")
        admin.ensure_local("b" * 40, NOW)
        assert admin.first_keys(NOW) == []
        return DONE

    def linked(self) -> str:
        """Let somebody at an identity provider sign in as root."""
        administering(self.origin.store).link("root", "https://id.example.com", "248", NOW)
        return DONE

    def served_by_an_agent(self) -> str:
        """Add an agent that asks for root."""
        return self.typed("user", "add", "helper", "--agent", "--for", "root")

    def id_of(self, path: str) -> str:
        """Return the id of the only group, permission or token that root's are."""
        found = self.origin.ask("GET", f"/api/users/{path}/", "root").json()["results"]
        return str(found[0]["id"])

    def state(self) -> Any:
        with self.origin.store.transaction(write=False) as tx:
            # That something was refused is recorded, and is all that changes.
            events = [event for event in tx.events(0, 100) if event.act is not EventType.REQUEST_REFUSED]
            return tx.all(User, order="username"), events


@pytest.fixture
def house(signoff: Run, tables: None, home: Path, clock: Clock) -> Iterator[House]:
    signoff("group", "add", "ops")
    store = store_of(home)
    origin = Origin(store, clock)
    root = origin.user("root")
    origin.user("bob", superuser=False)
    admin = administering(store)
    admin.add_user("asleep", NOW, superuser=True)
    admin.set_active("asleep", NOW, active=False)
    admin.set_member("ops", "root", NOW, member=True)
    admin.add_permission("see", NOW, types=["extras.job"], actions=["view"], users=["root"], groups=["ops"])
    yield House(origin, signoff, root)
    store.close()


Try = Callable[[House], str]
TRIES: dict[str, tuple[str, Try]] = {
    "REST removes the user by name": (REFUSED, lambda h: h.rest("DELETE", "users/root/")),
    "REST removes the user by id": (REFUSED, lambda h: h.rest("DELETE", f"users/{h.root.id}/")),
    "REST deactivates the user": (REFUSED, lambda h: h.rest("PATCH", "users/root/", {"is_active": False})),
    "REST demotes the user": (REFUSED, lambda h: h.rest("PATCH", "users/root/", {"is_superuser": False})),
    "REST demotes the user among other things": (
        REFUSED,
        lambda h: h.rest("PATCH", "users/root/", {"is_superuser": False, "username": "toor", "groups": []}),
    ),
    "REST removes several users": (NO_SUCH_WAY, lambda h: h.rest("DELETE", "users/", [str(h.root.id)])),
    "REST changes several users": (
        NO_SUCH_WAY,
        lambda h: h.rest("PATCH", "users/", [{"id": str(h.root.id), "is_active": False}]),
    ),
    "REST replaces the user": (NO_SUCH_WAY, lambda h: h.rest("PUT", "users/root/", {"username": "root"})),
    "REST takes the user out of the groups": (DONE, lambda h: h.rest("PATCH", "users/root/", {"groups": []})),
    "REST adds a user of that name": (
        "taken",
        lambda h: "taken" if "already exists" in h.rest("POST", "users/", {"username": "root"}) else "",
    ),
    "REST changes the group": (DONE, lambda h: h.rest("PATCH", "groups/ops/", {"name": "operators"})),
    "REST removes the group": (DONE, lambda h: h.rest("DELETE", "groups/ops/")),
    "REST adds a group": (DONE, lambda h: h.rest("POST", "groups/", {"name": "night"})),
    "REST switches the permission off": (DONE, lambda h: h.rest("PATCH", "permissions/see/", {"enabled": False})),
    "REST removes the permission": (DONE, lambda h: h.rest("DELETE", "permissions/see/")),
    "REST adds a permission": (
        DONE,
        lambda h: h.rest("POST", "permissions/", {"name": "p", "object_types": ["users.user"], "actions": ["view"]}),
    ),
    "REST makes a token read only": (
        DONE,
        lambda h: h.rest("PATCH", f"tokens/{h.id_of('tokens')}/", {"write_enabled": False}),
    ),
    "REST removes a token": (DONE, lambda h: h.rest("DELETE", f"tokens/{h.id_of('tokens')}/")),
    "REST adds a token": (DONE, lambda h: h.rest("POST", "tokens/", {})),
    "user remove": (REFUSED, lambda h: h.typed("user", "remove", "root")),
    "user remove, foreseen": (REFUSED, lambda h: h.typed("user", "remove", "root", "--dry-run")),
    "user remove, with an heir": (REFUSED, lambda h: h.typed("user", "remove", "root", "--transfer-to", "bob")),
    "user deactivate": (REFUSED, lambda h: h.typed("user", "deactivate", "root")),
    "user activate": (DONE, lambda h: h.typed("user", "activate", "root")),
    "user password": (DONE, lambda h: h.typed("user", "password", "root", stdin=KEPT.encode())),
    "user add": (DONE, lambda h: h.typed("user", "add", "carol")),
    "user link": (DONE, lambda h: h.linked()),
    "user unlink": (DONE, lambda h: h.linked() and h.typed("user", "unlink", "root")),
    "user agent": (DONE, lambda h: h.served_by_an_agent() and h.typed("user", "agent", "helper", "--for", "bob")),
    "user worker": (DONE, lambda h: h.typed("user", "worker", "bob")),
    "group add": (DONE, lambda h: h.typed("group", "add", "night")),
    "group join": (DONE, lambda h: h.typed("group", "join", "ops", "bob")),
    "group leave": (DONE, lambda h: h.typed("group", "leave", "ops", "root")),
    "group remove": (DONE, lambda h: h.typed("group", "remove", "ops")),
    "permission add": (
        DONE,
        lambda h: h.typed("permission", "add", "p", "--types", "users.user", "--actions", "view", "--users", "root"),
    ),
    "permission remove": (DONE, lambda h: h.typed("permission", "remove", "see")),
    "token add": (DONE, lambda h: h.typed("token", "add", "root", "--read-only")),
    "token revoke": (DONE, lambda h: h.typed("token", "revoke", h.id_of("tokens"))),
    "the start of the server": (DONE, lambda h: h.starts()),
}
LOOKING = {"list"}


@pytest.mark.parametrize(("expected", "attempt"), TRIES.values(), ids=TRIES)
def test_the_last_superuser_remains(house: House, expected: str, attempt: Try) -> None:
    before = house.state()
    assert attempt(house) == expected
    after = house.state()
    (remaining,) = [user for user in after[0] if user.is_superuser and user.is_active]
    assert remaining.id == house.root.id
    if expected != DONE:
        assert after == before


def test_a_second_active_superuser_lets_the_first_go(house: House) -> None:
    assert house.typed("user", "activate", "asleep") == DONE
    assert house.typed("user", "remove", "root") == DONE
    assert house.typed("user", "deactivate", "asleep") == REFUSED


def test_every_command_that_changes_accounts_is_tried() -> None:
    commands = {
        f"{noun} {command.name}"
        for noun in ("user", "group", "token", "permission")
        for command in getattr(accounts, f"{noun}s").registered_commands
        if command.name not in LOOKING
    }
    assert commands == {
        name.partition(",")[0] for name in TRIES if name.split()[0] in {"user", "group", "token", "permission"}
    }


def test_every_route_that_changes_accounts_is_tried(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[tuple[str, str]] = set()
    monkeypatch.setattr(
        House, "rest", lambda _self, method, path, _body=None: asked.add((method, path.partition("/")[0])) or ""
    )
    for name, (_, attempt) in TRIES.items():
        if name.startswith("REST"):
            attempt(house)
    routes = {
        (method, route.path.split("/")[3])
        for route in users.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    assert {each for each in routes if each[0] not in {"GET"}} <= asked
