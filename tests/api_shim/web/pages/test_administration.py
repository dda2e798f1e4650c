"""The pages of administration: who may do what there, and who does not even know of them."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.routing import APIRoute

from api_shim.domain.accounts import Group, Password, Permission, Token, User, UserGroup, WorkerAccount
from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import ScheduledJob
from api_shim.keys import PREFIX
from api_shim.services import accounts
from api_shim.services.audit_trail import AuditTrail
from api_shim.services.running_servers import ThisServer, tell
from api_shim.services.system_state import SystemState
from api_shim.settings import Settings, SignInRules, shown_settings
from api_shim.store import Store
from api_shim.web.pages import ROUTERS
from api_shim.web.pages.sections import ADMINISTRATION, SECTIONS
from api_shim.web.pages.visit import ZONE_COOKIE
from approval_gate.errors import Conflict
from approval_gate.model import Actor
from approval_gate.policy import LAST_SUPERUSER, SIGNS_IN_AS_THEM, SUPERUSERS_ONLY
from tests.api_shim.statements import statements
from tests.api_shim.web.pages.visitors import Visitors, text_in
from tests.conftest import Clock
from tests.factories import NOW, make_scheduled, make_user
from tests.fakes import FakeEngine

USER, GROUP, TOKEN, PERMISSION = "users.user", "auth.group", "users.token", "users.objectpermission"
USERS, GROUPS, PERMISSIONS = (f"{ADMINISTRATION}/{path}" for path in ("users", "groups", "permissions"))
WORKERS, AUDIT, SYSTEM = (f"{ADMINISTRATION}/{path}" for path in ("workers", "audit", "system"))
NEW_PASSWORD = "battery staple"


@dataclass(frozen=True)
class Need:
    """What a page needs.

    Args:
        kind: the type that its section is about; none if it is for superusers.
        action: the action on it.
        also: a type and an action that it needs besides.
        ok: the status for who may.
        form: what is sent; ``#`` stands for a number that is never the same.
    """

    kind: str = ""
    action: str = "view"
    also: tuple[str, str] = ("", "")
    ok: int = 200
    form: Mapping[str, str] = field(default_factory=dict)


ALL = {"object_types": "extras.job", "actions": "view"}
NEEDS: Mapping[tuple[str, str], Need] = {
    ("GET", ADMINISTRATION): Need(USER, ok=303),
    ("GET", USERS): Need(USER),
    ("POST", USERS): Need(USER, "add", ok=303, form={"username": "newcomer#"}),
    ("GET", f"{USERS}/{{user_id}}"): Need(USER),
    ("POST", f"{USERS}/{{user_id}}"): Need(USER, "change", ok=303, form={"username": "another.name#"}),
    ("POST", f"{USERS}/{{user_id}}/activate"): Need(USER, "change", ok=303),
    ("GET", f"{USERS}/{{user_id}}/deactivate"): Need(USER, "change"),
    ("POST", f"{USERS}/{{user_id}}/deactivate"): Need(USER, "change", ok=303),
    ("POST", f"{USERS}/{{user_id}}/password"): Need(
        USER, "change", also=(TOKEN, "add"), ok=303, form={"password": NEW_PASSWORD}
    ),
    ("POST", f"{USERS}/{{user_id}}/tokens"): Need(USER, also=(TOKEN, "add"), form={"description": "robot"}),
    ("GET", f"{USERS}/{{user_id}}/tokens/{{token_id}}/revoke"): Need(USER, also=(TOKEN, "view")),
    ("POST", f"{USERS}/{{user_id}}/tokens/{{token_id}}/revoke"): Need(USER, also=(TOKEN, "delete"), ok=303),
    ("GET", f"{USERS}/{{user_id}}/remove"): Need(USER, "delete"),
    ("POST", f"{USERS}/{{user_id}}/remove"): Need(USER, "delete", ok=303),
    ("GET", GROUPS): Need(GROUP),
    ("POST", GROUPS): Need(GROUP, "add", ok=303, form={"name": "new group"}),
    ("GET", f"{GROUPS}/{{group_id}}"): Need(GROUP),
    ("POST", f"{GROUPS}/{{group_id}}"): Need(GROUP, "change", ok=303, form={"name": "other"}),
    ("POST", f"{GROUPS}/{{group_id}}/members"): Need(
        GROUP, also=(USER, "change"), ok=303, form={"username": "subject"}
    ),
    ("GET", f"{GROUPS}/{{group_id}}/remove"): Need(GROUP),
    ("POST", f"{GROUPS}/{{group_id}}/remove"): Need(GROUP, "delete", ok=303),
    ("GET", PERMISSIONS): Need(PERMISSION),
    ("POST", PERMISSIONS): Need(PERMISSION, "add", ok=303, form={"name": "new", **ALL}),
    ("GET", f"{PERMISSIONS}/explain"): Need(PERMISSION),
    ("GET", f"{PERMISSIONS}/{{permission_id}}"): Need(PERMISSION),
    ("POST", f"{PERMISSIONS}/{{permission_id}}"): Need(PERMISSION, "change", ok=303, form={"name": "other", **ALL}),
    ("GET", f"{PERMISSIONS}/{{permission_id}}/remove"): Need(PERMISSION),
    ("POST", f"{PERMISSIONS}/{{permission_id}}/remove"): Need(PERMISSION, "delete", ok=303),
    ("GET", WORKERS): Need(),
    ("POST", WORKERS): Need(form={"name": "builder#"}),
    ("GET", f"{WORKERS}/{{worker_id}}/end"): Need(),
    ("POST", f"{WORKERS}/{{worker_id}}/end"): Need(ok=303),
    ("GET", AUDIT): Need(),
    ("GET", f"{AUDIT}/verify"): Need(),
    ("GET", f"{AUDIT}/export"): Need(),
    ("GET", SYSTEM): Need(),
}
ROUTES = sorted(
    (method, route.path)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute) and route.path.startswith(ADMINISTRATION)
    for method in route.methods
)


class Office:
    """People who administer, and what they do it with."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.visitors = Visitors(store, clock)
        self.origin = self.visitors.origin
        self.system = self.origin.shim.state.services.system
        self.ids: dict[str, UUID] = {}
        self.number = 0
        self.renew()

    def renew(self) -> None:
        """Let there be what is administered, whatever has become of it."""
        identity = self.origin.identity
        for user in identity.users():
            if user.username.startswith(("subject", "another.name", "robot")):
                identity.remove_user(user.username, NOW)
        for group, _ in identity.groups():
            identity.remove_group(group.name, NOW)
        for permission in identity.permissions():
            if permission.name in {"new", "other", "theirs"}:
                identity.remove_permission(permission.name, NOW)
        subject = identity.add_user("subject", NOW, reuse_name=True)
        identity.add_token("subject", NOW)
        self.number += 1
        robot, _ = identity.add_worker(f"robot{self.number}", "signoff", NOW)
        self.ids = {
            "worker_id": robot.id,
            "user_id": subject.id,
            "token_id": identity.tokens("subject")[0][0].id,
            "group_id": identity.add_group("staff", NOW).id,
            "permission_id": identity.add_permission("theirs", NOW, types=["extras.job"], actions=["view"]).id,
        }

    def does(self, route: tuple[str, str], who: str | None) -> Any:
        method, path = route
        address = path.format(**self.ids)
        if method == "GET":
            return self.visitors.sees(address, who)
        self.number += 1
        form = {name: text.replace("#", str(self.number)) for name, text in NEEDS[route].form.items()}
        return self.visitors.sends(address, who, **form)

    def state(self) -> list[list[Any]]:
        with self.origin.store.transaction(write=False) as tx:
            return [tx.all(kind) for kind in (User, Group, Token, Permission, UserGroup, Password, WorkerAccount)]


@pytest.fixture
def office(sqlite_store: Store, clock: Clock) -> Office:
    return Office(sqlite_store, clock)


def test_every_page_says_here_what_it_needs() -> None:
    assert sorted(NEEDS) == ROUTES


@pytest.mark.parametrize("route", NEEDS, ids=" ".join)
def test_who_may_and_who_does_not_know(office: Office, route: tuple[str, str]) -> None:
    need, person = NEEDS[route], office.visitors.person
    kinds = [section.kind for section in SECTIONS if section.kind is not None]
    of_others = [] if route[1] == ADMINISTRATION else [(str(kind), "view", None) for kind in kinds if kind != need.kind]
    also = [(need.also[0], f"view {need.also[1]}", None)] if need.also[0] else []
    person("plain", *[each for each in of_others if each[0] != need.kind])
    if need.kind:
        person("viewer", (need.kind, "view", None))
        person("clerk", (need.kind, f"view {need.action}", None), *also)
    lacks = 200 if need.action == "view" and not also and need.ok == 200 else 403
    refused: dict[str | None, set[int]] = {None: {303}, "plain": {404}}
    if need.kind:
        refused["viewer"] = {need.ok} if need.action == "view" and not also else {lacks, 404}
    if route[0] == "POST":
        person("chief", superuser=True)
        refused[office.visitors.reader("chief")] = {403}
    for who, status in refused.items():
        before = office.state()
        answer = office.does(route, who)
        assert answer.status_code in status, (who, answer.status_code, text_in(answer))
        assert who is not None or answer.headers["location"].startswith("/signoff/sign-in")
        assert office.state() == before, who
    for who in (["clerk"] if need.kind else []) + ["admin"]:
        office.renew()
        answer = office.does(route, who)
        assert answer.status_code == need.ok, (who, answer.status_code, text_in(answer))


@pytest.mark.parametrize("route", [each for each, need in NEEDS.items() if "{" in each[1] and need.kind], ids=" ".join)
def test_what_is_not_there_and_what_one_may_not_see_are_alike(office: Office, route: tuple[str, str]) -> None:
    need = NEEDS[route]
    limit: Any = {"id": str(uuid4())}
    also = [(need.also[0], f"view {need.also[1]}", None)] if need.also[0] else []
    office.visitors.person("clerk", (need.kind, "view add change delete", limit), *also)
    hidden = office.does(route, "clerk")
    office.ids = dict.fromkeys(office.ids, uuid4())
    missing = office.does(route, "clerk")
    assert (hidden.status_code, hidden.text) == (404, missing.text)


def test_the_navigation_shows_what_one_may_see(office: Office) -> None:
    office.visitors.person("plain")
    office.visitors.person("clerk", (GROUP, "view", None))
    pages = {who: office.visitors.sees("/signoff/account", who).text for who in ("plain", "clerk", "admin")}
    assert {who: ADMINISTRATION in page for who, page in pages.items()} == {
        "plain": False,
        "clerk": True,
        "admin": True,
    }
    shown = {
        who: re.findall(rf'href="({ADMINISTRATION}/\w+)"', office.visitors.sees(GROUPS, who).text)
        for who in ("clerk", "admin")
    }
    assert set(shown["clerk"]) == {GROUPS, f"{GROUPS}"}
    assert {section.address for section in SECTIONS} <= set(shown["admin"])
    assert office.visitors.sees(ADMINISTRATION, "clerk").headers["location"] == GROUPS


# Users


def test_users_are_searched_and_filtered(office: Office) -> None:
    office.origin.identity.set_active("subject", NOW, active=False)
    for query, seen in (("", {"admin", "robot1", "subject"}), ("?q=sub", {"subject"}), ("?state=superuser", {"admin"})):
        page = office.visitors.sees(f"{USERS}{query}").text
        assert set(re.findall(rf'{USERS}/[0-9a-f-]+">([^<]+)', page)) == seen
    assert "subject" not in text_in(office.visitors.sees(f"{USERS}?state=active"))
    assert "No users match" in text_in(office.visitors.sees(f"{USERS}?q=nobody"))


def test_it_is_shown_who_is_an_agent_and_where_an_account_comes_from(office: Office) -> None:
    office.origin.identity.add_user("helper", NOW, acts_for="subject")
    office.origin.identity.link("subject", "https://login.example.com", "248", NOW)
    rows = re.findall(r"<tr>.*?</tr>", office.visitors.sees(USERS).text, re.S)
    [subject] = [each for each in rows if ">subject<" in each]
    [helper] = [each for each in rows if ">helper<" in each]
    assert ('data-label="Comes from">login.example.com<' in subject, ">agent<" in subject) == (True, False)
    assert ('data-label="Comes from">local<' in helper, ">agent<" in helper) == (True, True)
    assert "from login.example.com" in text_in(office.visitors.sees(f"{USERS}/{office.ids['user_id']}"))


def test_a_user_is_made_and_what_cannot_be_is_explained(office: Office) -> None:
    made = office.visitors.sends(USERS, username="carol")
    assert "They have no permissions" in text_in(office.visitors.sees(made.headers["location"]))
    answer = office.visitors.sends(USERS, username="Carol", superuser="yes")
    assert answer.status_code == 400
    assert 'value="Carol"' in answer.text
    assert re.search(r'name="superuser" value="yes" checked', answer.text)


def test_groups_that_are_ticked_are_added_and_others_stay(office: Office) -> None:
    identity, at = office.origin.identity, f"{USERS}/{office.ids['user_id']}"
    one, two, three = (identity.add_group(name, NOW).id for name in ("one", "two", "three"))
    for name in ("one", "three"):
        identity.set_member(name, "subject", NOW, member=True)
    # The page showed them in “one” alone: somebody has put them into “three” since.
    shown = {"shown.username": "subject", "shown.group": [str(one)]}
    sent = {"username": "subject", **shown, "group": [str(two)]}
    assert office.visitors.sends(at, **sent).status_code == 303
    members = {group.name for group, names in identity.groups() if "subject" in names}
    assert members == {"two", "three"}
    assert three


def test_a_password_is_set_by_who_may_sign_in_as_them(office: Office) -> None:
    at, person = f"{USERS}/{office.ids['user_id']}/password", office.visitors.person
    person("changer", (USER, "view change", None))
    person("other", (USER, "view change", None), (TOKEN, "add", {"user__username": "somebody"}))
    person("maker", (USER, "view change", None), (TOKEN, "add", {"user__username": "subject"}))
    for who, status in (("changer", 403), ("other", 403), ("maker", 303)):
        answer = office.visitors.sends(at, who, password=NEW_PASSWORD)
        assert answer.status_code == status
        assert (SIGNS_IN_AS_THEM in text_in(answer)) is (status == 403)
    own = f"{USERS}/{office.visitors.admin.id}/password"
    assert office.visitors.sends(own, password=NEW_PASSWORD).status_code == 403


def test_where_passwords_are_switched_off_none_is_set(office: Office) -> None:
    at = f"{USERS}/{office.ids['user_id']}"
    assert "Set a password" in office.visitors.sees(at).text
    office.origin.sessions.rules = SignInRules(passwords=False)
    page = text_in(office.visitors.sees(at))
    assert "because passwords are switched off" in page
    assert "Set a password" not in page


def test_a_token_that_cannot_be_made_is_explained_and_what_was_chosen_is_kept(office: Office) -> None:
    typed = {"description": "robot", "expires": "2020-01-31T18:00", "access": "read"}
    answer = office.visitors.sends(f"{USERS}/{office.ids['user_id']}/tokens", **typed)
    assert answer.status_code == 400
    assert all(f'value="{typed[name]}"' in answer.text for name in ("description", "expires"))
    assert '<option value="read" selected>' in answer.text


def test_an_agent_is_offered_no_password_and_gets_none(office: Office) -> None:
    at = f"{USERS}/{office.origin.identity.add_user('helper', NOW, acts_for='subject').id}"
    page = text_in(office.visitors.sees(at))
    assert "cannot sign in to the pages" in page
    assert "Set a password" not in page
    answer = office.visitors.sends(f"{at}/password", password=NEW_PASSWORD)
    assert (answer.status_code, "An agent asks for a person" in text_in(answer)) == (409, True)


def test_only_superusers_touch_superusers(office: Office) -> None:
    office.visitors.person("clerk", (USER, "view add change delete", None), (TOKEN, "view add change delete", None))
    at = f"{USERS}/{office.visitors.admin.id}"
    page = office.visitors.sees(at, "clerk").text
    assert not any(word in page for word in ("Remove …", "Deactivate", "Set a password", 'name="superuser"'))
    before = office.state()
    for path, form in (
        ("", {"username": "other"}),
        ("/activate", {}),
        ("/deactivate", {}),
        ("/password", {"password": NEW_PASSWORD}),
        ("/tokens", {}),
        ("/remove", {}),
    ):
        answer = office.visitors.sends(f"{at}{path}", "clerk", **form)
        assert (answer.status_code, SUPERUSERS_ONLY in text_in(answer)) == (403, True)
    sent = {"username": "subject", "superuser": "yes"}
    assert office.visitors.sends(f"{USERS}/{office.ids['user_id']}", "clerk", **sent).status_code == 403
    assert office.state() == before


@pytest.mark.parametrize(
    ("path", "form"),
    [
        pytest.param("", {"username": "admin", "shown.superuser": "yes"}, id="demoted"),
        pytest.param("/deactivate", {}, id="deactivated"),
        pytest.param("/remove", {}, id="removed"),
    ],
)
def test_the_last_superuser_stays(office: Office, path: str, form: dict[str, str]) -> None:
    answer = office.visitors.sends(f"{USERS}/{office.visitors.admin.id}{path}", **form)
    assert (answer.status_code, LAST_SUPERUSER in text_in(answer)) == (409, True)
    assert office.visitors.sees(USERS).status_code == 200


def test_whoever_removes_a_user_sees_first_what_they_leave(office: Office) -> None:
    job = office.origin.job(name="Nightly")
    with office.origin.store.transaction() as tx:
        [subject] = tx.all(User, username="subject")
    office.origin.add(make_scheduled(job, subject, name="backup"), make_scheduled(job, subject, name="secret"))
    office.visitors.person("clerk", (USER, "view delete", None), ("extras.scheduledjob", "view", {"name": "backup"}))
    at = f"{USERS}/{subject.id}/remove"
    told = text_in(office.visitors.sees(at, "clerk"))
    assert all(
        sentence in told for sentence in ("backup", "1 other scheduled job that you cannot view", "1 of their tokens")
    )
    assert "secret" not in told
    assert office.visitors.sends(at, "clerk").headers["location"] == USERS
    assert "subject was removed." in text_in(office.visitors.sees(USERS, "clerk"))


@pytest.mark.parametrize("way", ["remove", "deactivate"])
def test_what_they_own_goes_with_them_to_another_or_nothing_happens(office: Office, way: str) -> None:
    job = office.origin.job(name="Nightly", deployment_id=uuid4(), projected_version=1)
    with office.origin.store.transaction() as tx:
        [subject] = tx.all(User, username="subject")
    rows = [make_scheduled(job, subject, name=name, projected_version=1) for name in ("backup", "report")]
    office.origin.add(*rows)
    at = f"{USERS}/{subject.id}/{way}"
    shown = re.findall(r'name="seen" value="([^"]+)"', office.visitors.sees(at).text)
    stale = f"{rows[1].id} {'0' * 64}"
    before = office.state(), _owners(office)
    for owner, seen, told in (
        ("nobody", shown, "There is no such user."),
        ("subject", shown, "subject already owns this scheduled job."),
        ("admin", shown[:1], "report: You have not seen it yet"),
        ("admin", [shown[0], stale], "report: "),
    ):
        answer = office.visitors.sends(at, transfer_to=owner, seen=seen)
        assert (answer.status_code, told in text_in(answer)) == (400, True), owner
        assert f'value="{owner}"' in answer.text
    assert (office.state(), _owners(office)) == before
    there = office.visitors.sends(at, transfer_to="Admin", seen=shown).headers["location"]
    assert "What they had scheduled is Admin's now." in text_in(office.visitors.sees(there))
    assert set(_owners(office).values()) == {office.visitors.admin.id}
    with office.origin.store.transaction() as tx:
        assert [user.is_active for user in tx.all(User, username="subject")] == ([] if way == "remove" else [False])


def _owners(office: Office) -> dict[str, UUID | None]:
    with office.origin.store.transaction(write=False) as tx:
        return {row.name: row.owner_id for row in tx.all(ScheduledJob)}


# Groups and permissions


def test_a_user_is_put_into_a_group_and_taken_out(office: Office) -> None:
    at = f"{GROUPS}/{office.ids['group_id']}"
    assert office.visitors.sends(f"{at}/members", username="Subject").headers["location"] == at
    assert "subject is now in staff." in text_in(office.visitors.sees(at))
    office.visitors.sends(f"{at}/members", username="subject", member="no")
    assert office.origin.identity.groups()[0][1] == []
    answer = office.visitors.sends(f"{at}/members", username="nobody")
    assert (answer.status_code, "There is no such user" in text_in(answer)) == (400, True)


def test_a_permission_is_made_changed_and_said_in_words(office: Office) -> None:
    form = {"name": "backups", "object_types": ["extras.job"], "actions": ["view", "run"], "users": "subject"}
    made = office.visitors.sends(PERMISSIONS, **form, constraints='{"name": "Back up"}', groups="staff")
    at = made.headers["location"]
    said = "Can view and run Jobs, but only those whose name is “Back up”."
    assert said in text_in(office.visitors.sees(at))
    assert said in text_in(office.visitors.sees(f"{USERS}/{office.ids['user_id']}"))
    changed = office.visitors.sends(at, **_shown(office, at) | {"actions": "view", "constraints": "", "groups": ""})
    assert changed.status_code == 303
    page = text_in(office.visitors.sees(at))
    assert "Can view Jobs." in page
    assert "switched off" not in page
    [permission] = [each for each in office.origin.identity.permissions() if each.name == "backups"]
    assert office.origin.identity.receivers(permission.id) == (["subject"], [])


@pytest.mark.parametrize(
    ("form", "told"),
    [
        pytest.param({"constraints": "{"}, "The constraints are not JSON", id="no JSON"),
        pytest.param({"constraints": '{"colour": 1}'}, "colour", id="a constraint that does not fit"),
        pytest.param({"actions": []}, "Give at least one action", id="no action"),
        pytest.param({"users": "nobody"}, "There is no user 'nobody'", id="a user that there is not"),
    ],
)
def test_a_permission_that_cannot_be_made_is_explained(office: Office, form: dict[str, Any], told: str) -> None:
    sent = {"name": "typed", **ALL, **form}
    answer = office.visitors.sends(PERMISSIONS, **sent)
    assert answer.status_code == 400
    assert told in text_in(answer)
    assert 'value="typed"' in answer.text


def test_whoever_has_a_permission_and_is_not_shown_keeps_it(office: Office) -> None:
    identity, at = office.origin.identity, f"{PERMISSIONS}/{office.ids['permission_id']}"
    office.visitors.person("clerk", (PERMISSION, "view change", None), (USER, "view", {"username": "admin"}))
    identity.remove_permission("theirs", NOW)
    made = identity.add_permission("theirs", NOW, types=["extras.job"], actions=["view"], users=["subject"])
    at = f"{PERMISSIONS}/{made.id}"
    assert "subject" not in office.visitors.sees(at, "clerk").text
    assert office.visitors.sends(at, "clerk", **_shown(office, at, "clerk")).status_code == 303
    assert office.visitors.sends(at, "clerk", **_shown(office, at, "clerk") | {"users": "admin"}).status_code == 303
    assert identity.receivers(made.id) == (["admin", "subject"], [])
    assert office.visitors.sends(at, "clerk", **_shown(office, at, "clerk") | {"users": ""}).status_code == 303
    assert identity.receivers(made.id) == (["subject"], [])


def test_two_who_save_a_permission_do_not_undo_each_other(office: Office) -> None:
    identity, at = office.origin.identity, f"{PERMISSIONS}/{office.ids['permission_id']}"
    first, second = _shown(office, at), _shown(office, at)
    assert office.visitors.sends(at, **first | {"users": "admin", "actions": ["view", "run"]}).status_code == 303
    assert office.visitors.sends(at, **second | {"users": "subject", "name": "renamed"}).status_code == 303
    [permission] = [each for each in identity.permissions() if each.id == office.ids["permission_id"]]
    assert (permission.name, permission.actions) == ("renamed", ("view", "run"))
    assert identity.receivers(permission.id) == (["admin", "subject"], [])
    # What cannot be saved is shown again with what it showed at first.
    page = office.visitors.sends(at, **second | {"users": "nobody", "name": "renamed"}).text
    assert 'name="shown.name" value="theirs"' in page


def _shown(office: Office, at: str, who: str = "admin") -> dict[str, Any]:
    """Return what the form that changes a permission sends if nobody changes anything in it."""
    text = office.visitors.sees(at, who).text
    found: dict[str, list[str]] = defaultdict(list)
    for tag in re.findall(r"<input [^>]+>", text):
        if "checked" in tag or 'type="checkbox"' not in tag:
            name, value = (re.search(f'{each}="([^"]*)"', tag) for each in ("name", "value"))
            if name and value:
                found[name[1]].append(html.unescape(value[1]))
    [constraints] = re.findall(r'<textarea id="constraints"[^>]*>\n([^<]*)<', text)
    return {**found, "constraints": html.unescape(constraints)}


def test_it_is_explained_what_somebody_may_do_with_a_job(office: Office) -> None:
    job, identity = office.origin.job(name="Nightly"), office.origin.identity
    identity.set_member("staff", "subject", NOW, member=True)
    identity.add_permission(
        "by group", NOW, types=["extras.job"], actions=["view", "run"], groups=["staff"], constraint={"name": "Nightly"}
    )
    query = f"?user={office.ids['user_id']}&job={job.id}"
    told = text_in(office.visitors.sees(f"{PERMISSIONS}/explain{query}"))
    assert "run it may by group through staff" in told
    assert "approve requests of it may not You do not have permission to perform this action. –" in told
    office.visitors.person("clerk", (PERMISSION, "view", None))
    page = office.visitors.sees(f"{PERMISSIONS}/explain{query}", "clerk")
    assert page.status_code == 200
    assert "Nightly" not in page.text


# Workers


def test_a_worker_gets_an_account_and_a_token_that_is_shown_once(office: Office) -> None:
    answer = office.visitors.sends(WORKERS, name="builder", pool="builders")
    [key] = {*re.findall(rf"{PREFIX}\w+", answer.text)}
    assert f"PREFECT_API_AUTH_STRING=builder:{key}" in answer.text
    assert "PREFECT_API_URL=http://signoff.example/api" in answer.text
    page = text_in(office.visitors.sees(WORKERS))
    assert "Work pool builders" in page
    assert "worker of builders" in page
    assert key not in page
    with office.origin.store.transaction(write=False) as tx:
        acts = {(event.act, event.actor) for event in tx.newest_events(3)}
    assert {actor for _, actor in acts} == {"admin"}
    assert {act for act, _ in acts} == {EventType.USER_ADDED, EventType.USER_CHANGED, EventType.TOKEN_ADDED}
    for form, told in (
        ({"name": "subject"}, "subject is not a worker account"),
        ({"name": "builder", "pool": "others"}, "the work pool builders only"),
        ({"name": "not a name"}, "A user name has"),
    ):
        refusal = office.visitors.sends(WORKERS, **form)
        assert refusal.status_code in {400, 409}
        assert told in text_in(refusal)


def test_a_worker_whose_token_cannot_be_made_gets_no_account(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise Conflict("No token for this.")

    before = office.state()
    monkeypatch.setattr(accounts, "_from_token", refuse)
    answer = office.visitors.sends(WORKERS, name="builder", pool="builders")
    assert (answer.status_code, "No token for this." in text_in(answer)) == (409, True)
    assert office.state() == before


def test_an_account_of_workers_is_ended_after_a_page_that_says_what_that_does(office: Office) -> None:
    at = f"{WORKERS}/{office.ids['worker_id']}/end"
    assert "will take no more runs" in text_in(office.visitors.sees(at))
    assert office.visitors.sends(at).headers["location"] == WORKERS
    assert "is no longer a worker account." in text_in(office.visitors.sees(WORKERS))
    assert {office.visitors.sees(at).status_code, office.visitors.sees(f"{WORKERS}/{uuid4()}/end").status_code} == {404}


# The audit


def numbers(page: Any) -> list[int]:
    return [int(number) for number in re.findall(r">event (\d+)<", page.text)]


def test_the_audit_is_filtered_by_who_what_object_and_day(office: Office) -> None:
    def record(name: str, actor: str, act: EventType, at: datetime, **to: Any) -> None:
        with office.origin.store.transaction() as tx:
            tx.record(AuditEvent(at=at, act=act, name=name, actor=actor, **to))

    job = uuid4()
    record("nightly", "zoe", EventType.APPROVED, datetime(2031, 1, 1, 23, 30, tzinfo=UTC), job_id=job)
    record("Weekly", "yve", EventType.DENIED, datetime(2031, 1, 2, 0, 30, tzinfo=UTC), data={"comment": "too late"})
    for query, seen in (
        ("actor=ZOE", ["nightly"]),
        ("act=approval.denied", ["Weekly"]),
        ("object=week", ["Weekly"]),
        (f"object={job}", ["nightly"]),
        ("since=2031-01-02", ["Weekly"]),
        ("since=2031-01-01&until=2031-01-01", ["nightly"]),
        ("since=2031-01-01", ["Weekly", "nightly"]),
        ("since=2031-01-01&act=approval.approved&actor=yve", []),
    ):
        page = office.visitors.sees(f"{AUDIT}?{query}")
        assert re.findall(r'data-label="Object">([^<]+)<', page.text) == seen, query
    assert "too late" in text_in(office.visitors.sees(f"{AUDIT}?object=Weekly"))
    nonsense = office.visitors.sees(f"{AUDIT}?act=nothing&since=9999-99-99&until=9999-12-31&before=x")
    assert nonsense.status_code == 200
    assert numbers(nonsense)
    for zone in ("Europe/Berlin", "America/Los_Angeles"):
        cookie = {"Cookie": f"{office.visitors._cookie('admin')['Cookie']}; {ZONE_COOKIE}={zone}"}
        for query in ("since=0001-01-01", "until=0001-01-01", "since=9999-12-31", "until=9999-12-30"):
            assert office.origin.ask("GET", f"{AUDIT}?{query}", None, headers=cookie).status_code == 200


def test_the_audit_quotes_an_agent_and_says_for_whom_it_asked(office: Office) -> None:
    said = {"agent_for": "zoe", "requested_because": "<b>Approve</b> this."}
    with office.origin.store.transaction() as tx:
        tx.record(AuditEvent(at=NOW, act=EventType.REQUESTED, name="asked for", actor="helper", data=said))
    page = office.visitors.sees(f"{AUDIT}?object=asked+for")
    assert "requested by an agent of zoe" in text_in(page)
    assert '<blockquote class="words">&lt;b&gt;Approve&lt;/b&gt; this.</blockquote>' in page.text


def test_the_audit_is_turned_over_to_its_beginning(office: Office) -> None:
    for _ in range(30):
        with office.origin.store.transaction() as tx:
            tx.record(AuditEvent(at=NOW, act=EventType.REQUESTED, name="one"))
    seen, path = [], AUDIT
    while path:
        page = office.visitors.sees(path)
        seen += numbers(page)
        older = re.search(r'rel="next" href="([^"]+)"', page.text)
        path = f"{AUDIT}{html.unescape(older[1])}" if older else ""
    assert seen == list(range(seen[0], 0, -1))
    assert len(seen) > 30


def test_the_audit_is_verified_and_what_is_wrong_is_told(office: Office) -> None:
    assert "none changed or missing" in text_in(office.visitors.sees(f"{AUDIT}/verify"))
    with office.origin.store.transaction() as tx:
        tx.change(tx.audit_head(), number=1000)
    page = office.visitors.sees(f"{AUDIT}/verify")
    assert "The audit does not match what was recorded." in text_in(page)


def test_the_export_is_that_of_the_command_line(office: Office) -> None:
    answer = office.visitors.sees(f"{AUDIT}/export")
    assert answer.headers["content-disposition"].startswith('attachment; filename="audit-')
    assert answer.headers["cache-control"] == "no-store"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines == [*AuditTrail(office.origin.store).export()]


# The system


def test_the_page_of_the_system_tells_how_it_stands_and_no_secret(office: Office, monkeypatch: Any) -> None:
    monkeypatch.setenv("SIGNOFF_DATABASE_URL", "postgresql://us:hunter2@db/signoff")
    monkeypatch.setenv("SIGNOFF_POOL", "signoff")
    office.system.settings = shown_settings(Settings())
    page = office.visitors.sees(SYSTEM)
    told = text_in(page)
    assert "The database is writable yes" in told
    assert "SIGNOFF_POOL signoff environment" in told
    assert "SIGNOFF_DATABASE_URL (hidden) environment" in told
    assert "hunter2" not in page.text
    assert "Work pool signoff" in told


def test_what_prefect_does_not_answer_is_not_known(office: Office) -> None:
    office.origin.engine.fail("queue_polls", times=-1)
    assert "Unknown, because Prefect is not responding." in text_in(office.visitors.sees(SYSTEM))


# As often for many as for few


@pytest.mark.parametrize("path", [USERS, GROUPS, PERMISSIONS])
def test_a_list_asks_the_database_as_often_for_many_as_for_few(office: Office, path: str) -> None:
    counts = []
    office.visitors.sees(path)
    for number in range(12):
        user, group = make_user(f"user {number}"), Group(id=uuid4(), name=f"group {number}")
        office.origin.add(user, group, UserGroup(user_id=user.id, group_id=group.id))
        office.origin.identity.add_permission(
            f"permission {number}", NOW, types=["extras.job"], actions=["view"], groups=[group.name]
        )
        if number in {1, 11}:
            with statements(office.origin.store) as said:
                assert office.visitors.sees(path).status_code == 200
            counts.append(len(said))
    assert counts[0] == counts[1]


def test_a_server_that_has_told_nobody_makes_prefect_follow_all_the_same(sqlite_store: Store, clock: Clock) -> None:
    me = ThisServer(id=uuid4(), place="here", process=1, silent_after=timedelta(minutes=1))
    with sqlite_store.transaction() as tx:
        tell(tx, me, [], NOW)

    async def checks() -> dict[str, str]:
        return {}

    for ticked in (None, NOW):
        readiness: Any = SimpleNamespace(checks=checks, followed=lambda ticked=ticked: ticked)
        system = SystemState(sqlite_store, FakeEngine(clock=clock), readiness, me)
        found = asyncio.run(system.read(Actor(id=uuid4(), username="root", superuser=True)))
        assert [(each.id, each.followed) for each, _ in found.servers] == [(me.id, ticked)]
