"""Users, groups, tokens and permissions over HTTP, and with the client that people already use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api_shim.domain.ports import Announcement
from approval_gate.lifecycle import ApprovalState
from approval_gate.policy import REUSED_BY_SUPERUSERS
from tests.acceptance.people import FAR, RESULTS, SCHEDULES, People, unique
from tests.api_shim.in_process import InProcess
from tests.live import eventually

USERS, GROUPS, TOKENS, PERMISSIONS = (f"/api/users/{each}/" for each in ("users", "groups", "tokens", "permissions"))
CANNOT_BE_SET = ["This field cannot be set."]


def name() -> str:
    return f"user{uuid4().hex[:8]}"


def made(admin: httpx.Client, address: str, **fields: Any) -> dict[str, Any]:
    answer = admin.post(address, json=fields)
    assert answer.status_code == 201, answer.text
    shape: dict[str, Any] = answer.json()
    return shape


@pytest.fixture
def user(admin: httpx.Client) -> dict[str, Any]:
    return made(admin, USERS, username=name())


@pytest.fixture
def group(admin: httpx.Client) -> dict[str, Any]:
    return made(admin, GROUPS, name=unique("group"))


@pytest.fixture
def somebody(server: InProcess, people: People) -> Iterator[httpx.Client]:
    """Somebody without any permission."""
    with server.client(people.add()) as client:
        yield client


def ref(server: InProcess, thing: dict[str, Any]) -> dict[str, Any]:
    assert thing["url"].startswith(server.origin)
    return {field: thing[field] for field in ("id", "object_type", "url")}


# From the first to the last


def test_a_user_is_made_seen_changed_and_removed(server: InProcess, admin: httpx.Client, group: dict[str, Any]) -> None:
    who = name()
    shape = made(admin, USERS, username=who, groups=[group["name"]])
    joined = shape["date_joined"]
    assert joined.endswith("Z")
    assert shape == {
        "id": shape["id"],
        "object_type": "users.user",
        "display": who,
        "url": f"{server.origin}{USERS}{shape['id']}/",
        "natural_slug": f"{who}_{shape['id'][:4]}",
        "username": who,
        "is_active": True,
        "is_superuser": False,
        "is_agent": False,
        "provider": "",
        "date_joined": joined,
        "groups": [ref(server, group)],
    }
    for address in (shape["url"], shape["url"].rstrip("/"), f"{USERS}{who}/", f"{USERS}{who}"):
        assert admin.get(address).json() == shape
    for query in ({"username": who}, {"id": shape["id"]}, {"q": who.upper()}):
        assert admin.get(USERS, params=query).json()["results"] == [shape]
    changed = admin.patch(f"{USERS}{who}", json={"username": f"{who}.x", "is_active": False, "groups": []})
    assert (changed.status_code, changed.json()) == (
        200,
        {
            **shape,
            "display": f"{who}.x",
            "natural_slug": f"{who}-x_{shape['id'][:4]}",
            "username": f"{who}.x",
            "is_active": False,
            "groups": [],
        },
    )
    removed = admin.delete(shape["url"])
    assert (removed.status_code, removed.content) == (204, b"")
    assert (gone := admin.get(shape["url"])).status_code == 404
    assert gone.json() == {"detail": "No User matches the given query."}


@pytest.mark.parametrize("depth", [0, 1])
def test_what_get_gave_can_be_sent_back_with_changes(
    admin: httpx.Client, user: dict[str, Any], group: dict[str, Any], depth: int
) -> None:
    assert admin.patch(user["url"], json={"groups": [group["id"]]}).status_code == 200
    token = made(admin, TOKENS, user=user["id"], expires=FAR)
    grant = {"object_types": ["extras.job"], "actions": ["view"], "constraints": {"name": "Greet"}}
    permission = made(admin, PERMISSIONS, name=unique("permission"), users=[user["id"]], **grant)
    changes: dict[str, dict[str, Any]] = {
        user["url"]: {"is_active": False},
        group["url"]: {"name": unique("group")},
        token["url"]: {"write_enabled": False},
        permission["url"]: {"enabled": False, "groups": [group]},
    }
    for address, change in changes.items():
        shown = admin.get(address, params={"depth": depth}).json()
        assert admin.patch(address, json=shown).status_code == 200
        assert admin.get(address, params={"depth": depth}).json() == shown
        assert admin.patch(address, json={**shown, **change}).status_code == 200
        assert admin.get(address).json()[next(iter(change))] == next(iter(change.values()))
        other = admin.patch(address, json={**shown, "id": str(uuid4())})
        assert (other.status_code, other.json()["id"]) == (400, CANNOT_BE_SET)


def test_a_group_counts_its_users(admin: httpx.Client, group: dict[str, Any], user: dict[str, Any]) -> None:
    assert (group["object_type"], group["user_count"]) == ("auth.group", 0)
    assert admin.patch(user["url"], json={"groups": [{"id": group["id"]}]}).status_code == 200
    assert admin.get(f"{GROUPS}{group['name']}/").json() == {**group, "user_count": 1}
    renamed = admin.patch(group["url"], json={"name": f"{group['name']} now"}).json()
    assert (renamed["name"], renamed["user_count"]) == (f"{group['name']} now", 1)
    assert admin.delete(group["url"]).status_code == 204
    assert admin.get(user["url"]).json()["groups"] == []


def test_a_tokens_key_is_shown_when_it_is_made_and_never_again(
    server: InProcess, admin: httpx.Client, user: dict[str, Any]
) -> None:
    shape = made(admin, TOKENS, user=user["username"], write_enabled=False, expires=FAR)
    key = shape.pop("key")
    assert key.startswith("signoff_")
    assert shape["user"] == ref(server, user)
    assert (shape["write_enabled"], shape["expires"]) == (False, "2030-01-01T01:00:00Z")
    answers = [
        admin.get(shape["url"]),
        admin.get(TOKENS, params={"user": user["id"]}),
        admin.get(TOKENS, params={"user__username": user["username"]}),
        admin.patch(shape["url"], json={"expires": None}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert all(key not in answer.text and "key" not in answer.text for answer in answers)
    assert answers[0].json() == shape
    assert [row["id"] for answer in answers[1:3] for row in answer.json()["results"]] == [shape["id"]] * 2
    with server.client(None, Authorization=f"Token {key}") as client:
        assert client.get(TOKENS).json()["count"] == 1
        assert client.patch(shape["url"], json={"write_enabled": True}).status_code == 403
        assert admin.patch(shape["url"], json={"write_enabled": True}).status_code == 200
        assert client.delete(shape["url"]).status_code == 204
        assert client.get(TOKENS).json() == {"detail": "Invalid token"}


def test_a_permission_reaches_whom_it_is_given_to_while_it_is_enabled(
    server: InProcess, admin: httpx.Client, group: dict[str, Any]
) -> None:
    user = made(admin, USERS, username=name(), groups=[group["id"]])
    key = made(admin, TOKENS, user=user["id"])["key"]
    shape = made(
        admin,
        PERMISSIONS,
        name=unique("permission"),
        object_types=["extras.job"],
        actions=["view"],
        constraints={"name": "Greet"},
        groups=[group["name"]],
    )
    assert {field: shape[field] for field in ("enabled", "object_types", "actions", "constraints")} == {
        "enabled": True,
        "object_types": ["extras.job"],
        "actions": ["view"],
        "constraints": {"name": "Greet"},
    }
    assert (shape["users"], shape["groups"]) == ([], [ref(server, group)])
    with server.client(None, Authorization=f"Token {key}") as client:
        assert [row["name"] for row in client.get("/api/extras/jobs/").json()["results"]] == ["Greet"]
        assert admin.patch(shape["url"], json={"constraints": {"name": "nothing"}}).status_code == 200
        assert client.get("/api/extras/jobs/").json()["count"] == 0
        assert admin.patch(shape["url"], json={"enabled": False}).status_code == 200
        assert client.get("/api/extras/jobs/").status_code == 403
        both = {"enabled": True, "groups": [], "users": [user["username"]], "constraints": None}
        assert admin.patch(f"{PERMISSIONS}{shape['name']}", json=both).json()["users"] == [ref(server, user)]
        assert client.get("/api/extras/jobs/").json()["count"] > 1
        assert admin.delete(shape["url"]).status_code == 204
        assert client.get("/api/extras/jobs/").status_code == 403


def test_everybody_sees_to_their_own_tokens(somebody: httpx.Client, admin: httpx.Client) -> None:
    shape = made(somebody, TOKENS)
    assert somebody.get(TOKENS).json()["count"] == 2
    assert somebody.patch(shape["url"], json={"write_enabled": False}).json()["write_enabled"] is False
    assert somebody.delete(shape["url"]).status_code == 204
    theirs = admin.get(TOKENS, params={"user__username": "admin"}).json()["results"][0]
    for answer in (somebody.get(theirs["url"]), somebody.delete(theirs["url"]), somebody.get(f"{TOKENS}admin/")):
        assert (answer.status_code, answer.json()) == (404, {"detail": "No Token matches the given query."})


def test_who_may_do_everything_with_accounts_does_nothing_to_superusers(server: InProcess, people: People) -> None:
    kinds = ("users.user", "users.token")
    grants = [(kind, action, None) for kind in kinds for action in ("view", "add", "change", "delete")]
    chief = people.add(superuser=True)
    with server.client(people.add(*grants)) as client:
        asked = (
            client.post(TOKENS, json={"user": chief}),
            client.post(USERS, json={"username": name(), "is_superuser": True}),
            client.patch(f"{USERS}{chief}/", json={"is_active": False}),
            client.delete(f"{USERS}{chief}/"),
        )
    told = {"detail": "Only a superuser can do this to a superuser."}
    assert [(answer.status_code, answer.json()) for answer in asked] == [(403, told)] * 4


def test_a_token_shows_what_it_is_for_and_when_and_from_where_it_was_last_used(
    server: InProcess, people: People
) -> None:
    with server.client(people.add(), **{"X-Forwarded-For": "203.0.113.7"}) as client:
        shape = made(client, TOKENS, description="deploys")
        client.get(TOKENS)
        server.portal.call(server.application.tokens.write)
        shown = client.get(TOKENS, params={"description": "deploys"}).json()["results"]
        (maker,) = client.get(TOKENS, params={"last_used_from": "203.0.113.7"}).json()["results"]
        assert client.get(TOKENS, params={"made_with": maker["id"]}).json()["results"] == shown
    key = shape.pop("key")
    assert shown == [shape]
    assert (shape["last_used"], shape["last_used_from"]) == (None, "")
    assert shape["made_with"] == ref(server, maker)
    assert maker["last_used"].endswith("Z")
    assert key not in str(maker)


def test_a_token_that_leaks_takes_with_it_what_was_made_with_it(server: InProcess, people: People) -> None:
    owner = people.add()
    leaked = people.token(owner)
    with server.client(None, Authorization=f"Token {leaked}") as thief, server.client(owner) as client:
        hidden = made(thief, TOKENS)["key"]
        stolen = next(row for row in client.get(TOKENS).json()["results"] if row["made_with"])["made_with"]
        assert client.delete(stolen["url"]).status_code == 204
        assert client.get(TOKENS).json()["count"] == 1
    with server.client(None, Authorization=f"Token {hidden}") as thief:
        assert thief.get(TOKENS).json() == {"detail": "Invalid token"}


def test_wrong_tokens_are_slowed_and_a_right_one_from_the_same_address_is_not(
    server: InProcess, people: People
) -> None:
    address, waited = {"X-Forwarded-For": "203.0.113.99"}, server.application.waited
    waited.clear()
    with server.client(None, Authorization="Token wrong", **address) as scanner:
        for path in (TOKENS, "/api/flows/filter", "/api/extras/jobs/") * 10:
            assert scanner.get(path).json() == {"detail": "Invalid token"}
    assert len(waited) == 10
    with server.client(people.add(), **address) as client:
        assert client.get(TOKENS).status_code == 200
    assert len(waited) == 10


# Refusals


@pytest.mark.parametrize(
    ("method", "address", "body", "status", "told"),
    [
        pytest.param("POST", USERS, {}, 400, {"username": ["This field is required."]}, id="a user without a name"),
        pytest.param("POST", USERS, {"username": "admin"}, 400,
                     {"username": ["A user with this name already exists."]}, id="a name that is taken"),
        pytest.param("POST", USERS, {"username": "new", "id": "x", "password": "y", "groups": [5], "is_active": "no"},
                     400, {"id": CANNOT_BE_SET, "password": CANNOT_BE_SET, "is_active": ["Must be a valid boolean."],
                           "groups": ["Expected an id, a name, or an object with an id."]}, id="all faults at once"),
        pytest.param("POST", USERS, [], 400,
                     {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]}, id="a list"),
        pytest.param("POST", GROUPS, {"name": "a,b"}, 400, {"name": [
            "A group name has 1 to 150 printable characters, no comma, and no space around it."]}, id="a comma"),
        pytest.param("POST", TOKENS, {"key": "short", "created": FAR}, 400, {"created": CANNOT_BE_SET, "key": [
            "A token has at least 20 printable ASCII characters, and no space."]}, id="a short key"),
        pytest.param("POST", TOKENS, {"description": "x" * 201, "last_used": FAR}, 400, {"last_used": CANNOT_BE_SET,
            "description": ["A description has up to 200 printable characters."]}, id="a long description"),
        pytest.param("POST", TOKENS, {"user": "nobody"}, 400,
                     {"user": ["There is no user 'nobody', or none that you may see."]}, id="nobody's token"),
        pytest.param("POST", PERMISSIONS, {"name": "p", "object_types": ["extras.job"], "actions": ["view"],
                                           "users": ["nobody"], "groups": ["none"], "constraints": []}, 400,
                     {"users": ["There is no user 'nobody', or none that you may see."],
                      "groups": ["There is no group 'none', or none that you may see."],
                      "constraints": ["An empty list of constraints would match nothing; "
                                      "give null for no constraint."]}, id="whom there is not, and limits"),
        pytest.param("GET", f"{USERS}?name=x", None, 400, {"name": ["Unknown filter field"]}, id="an unknown filter"),
        pytest.param("GET", f"{USERS}?id=x", None, 400, {"id": ["“x” is not a valid UUID."]}, id="an id that is none"),
        pytest.param("GET", f"{GROUPS}none/", None, 404,
                     {"detail": "No Group matches the given query."}, id="no group"),
        pytest.param("GET", f"{TOKENS}none/", None, 404,
                     {"detail": "No Token matches the given query."}, id="no token"),
        pytest.param("DELETE", f"{PERMISSIONS}none/", None, 404,
                     {"detail": "No ObjectPermission matches the given query."}, id="no permission"),
        pytest.param("PUT", f"{USERS}admin/", {}, 405, {"detail": 'Method "PUT" not allowed.'}, id="PUT"),
        pytest.param("DELETE", USERS, [], 405, {"detail": 'Method "DELETE" not allowed.'}, id="DELETE of a list"),
    ],
)  # fmt: skip
def test_what_is_refused_is_told(
    admin: httpx.Client, method: str, address: str, body: Any, status: int, told: dict[str, Any]
) -> None:
    answer = admin.request(method, address, json=body)
    assert (answer.status_code, answer.json()) == (status, told)


def _approved(people: People, by: str) -> tuple[str, str]:
    """Let somebody have approved something, and return its name and id."""
    called, now = unique("approved"), datetime.now(UTC)
    approval = {"approval": ApprovalState.APPROVED, "approved_by": by, "approved_at": now}
    return called, people.scheduled("Greet", "alice", called, approved_by_id=UUID(people.id_of(by)), **approval)


def test_who_takes_an_approver_away_is_told_what_they_approved_and_can_revoke_it(
    server: InProcess, admin: httpx.Client, people: People
) -> None:
    may = (("extras.scheduledjob", "change", None), ("extras.job", "approve", None))
    bob, carol = people.add(*may), people.add(*may)
    (called, row), (other, another) = (_approved(people, by) for by in (bob, carol))

    def named(name: str, row: str) -> dict[str, str]:
        url = f"{server.origin}/api/extras/scheduled-jobs/{row}/"
        return {"id": row, "object_type": "extras.scheduledjob", "url": url, "name": name}

    told = admin.patch(f"{USERS}{bob}/", json={"is_active": False}).json()
    assert (told["standing_approvals"], told["revoked_approvals"]) == ([named(called, row)], [])
    told = admin.patch(f"{USERS}{bob}/", json={"is_active": False, "revoke_approvals": True}).json()
    assert (told["standing_approvals"], told["revoked_approvals"]) == ([], [named(called, row)])
    assert admin.get(f"/api/extras/scheduled-jobs/{row}/").json()["approval_state"] == "pending"
    assert admin.delete(f"{USERS}{bob}/").status_code == 204, "there is nothing to tell any more"
    assert admin.delete(f"{USERS}{carol}/", params={"revoke_approvals": "maybe"}).status_code == 400
    gone = admin.delete(f"{USERS}{carol}/", params={"revoke_approvals": "true"})
    expected = {"standing_approvals": [], "revoked_approvals": [named(other, another)]}
    assert (gone.status_code, gone.json()) == (200, expected)


def test_a_name_that_was_given_up_is_given_again_by_a_superuser_only(
    server: InProcess, admin: httpx.Client, people: People
) -> None:
    gone = people.add()
    assert admin.delete(f"{USERS}{gone}/").status_code == 204
    refused = admin.post(USERS, json={"username": gone.upper()})
    assert refused.status_code == 400
    (sentence,) = refused.json()["username"]
    assert sentence.startswith("Another account had this name until ")
    with server.client(people.add(("users.user", "add", None))) as clerk:
        told = clerk.post(USERS, json={"username": gone, "reuse_name": True})
        assert (told.status_code, told.json()) == (403, {"detail": REUSED_BY_SUPERUSERS})
    assert admin.post(USERS, json={"username": gone, "reuse_name": True}).status_code == 201


def _page_of(path: str, field: str = "user") -> Callable[[httpx.Client, str, str], set[str]]:
    def found(client: httpx.Client, name: str, _row: str) -> set[str]:
        answer = client.get(path, params={field: name, "limit": 1000})
        # Whom there is not, some lists refuse to ask for.
        return {row["id"] for row in answer.json()["results"]} if answer.status_code == 200 else set()

    return found


def _shown(client: httpx.Client, name: str, _row: str) -> Any:
    return client.get(f"{USERS}{name}/").json().get("id")


def _changed(client: httpx.Client, name: str, _row: str) -> Any:
    return client.patch(f"{USERS}{name}/", json={"is_active": True}).json().get("id")


def _given_a_permission(client: httpx.Client, name: str, _row: str) -> Any:
    given = {"name": unique("see"), "object_types": ["extras.job"], "actions": ["view"], "users": [name]}
    return [user["id"] for user in client.post(PERMISSIONS, json=given).json()["users"] if isinstance(user, dict)]


def _explained(client: httpx.Client, name: str, row: str) -> Any:
    return client.get(f"{SCHEDULES}{row}/explain/", params={"user": name}).json().get("user", {}).get("id")


def _given(client: httpx.Client, name: str, row: str) -> Any:
    answer = client.post(f"{SCHEDULES}{row}/transfer/", json={"user": name})
    return answer.status_code, answer.json().get("detail")


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(_shown, id="in the address, to see them"),
        pytest.param(_changed, id="in the address, to change them"),
        pytest.param(_given_a_permission, id="who is given a permission"),
        pytest.param(_explained, id="whom something is explained for"),
        pytest.param(_given, id="whom something is given to"),
        pytest.param(_page_of(USERS, "username"), id="in a filter of users"),
        pytest.param(_page_of(USERS, "username__n"), id="in a filter of other users"),
        pytest.param(_page_of(TOKENS), id="in a filter of tokens"),
        pytest.param(_page_of(SCHEDULES), id="in a filter of scheduled jobs"),
        pytest.param(_page_of("/api/extras/approval-queue/"), id="in a filter of the queue"),
        pytest.param(_page_of(RESULTS), id="in a filter of job results"),
    ],
)
def test_a_user_is_meant_in_whatever_letters_their_name_is_written(
    admin: httpx.Client, people: People, asked: Callable[[httpx.Client, str, str], Any]
) -> None:
    name = people.add()
    row = people.scheduled("Greet", name, unique("theirs"), approval=ApprovalState.PENDING)
    people.result("Greet", user_id=UUID(people.id_of(name)))
    wide = "".join(chr(ord(c) + 0xFEE0) for c in name)
    as_it_is = asked(admin, name, row)
    assert as_it_is
    assert [asked(admin, other, row) for other in (name.upper(), wide)] == [as_it_is] * 2
    assert asked(admin, f"{name}x", row) != as_it_is


def test_a_list_is_sorted_and_comes_in_pages(admin: httpx.Client) -> None:
    word = unique("sorted")
    names = [f"{word} {letter}" for letter in "bca"]
    for each in names:
        made(admin, GROUPS, name=each)
    page = admin.get(GROUPS, params={"q": word, "sort": "-name", "limit": 2}).json()
    assert (page["count"], [row["name"] for row in page["results"]]) == (3, sorted(names)[:0:-1])
    assert [row["name"] for row in admin.get(page["next"]).json()["results"]] == [f"{word} a"]


# What is told of it


def test_prefect_is_told_of_what_was_done(server: InProcess, group: dict[str, Any]) -> None:
    def events() -> list[Announcement]:
        server.tick()
        told = server.application.engine.announced.values()
        return [each for each in told if each.event == "signoff.group.added" and group["id"] in str(each)]

    (event,) = eventually(events, every=0)
    assert event.payload["actor"] == "admin"
    assert event.payload["fields"] == ["name"]
