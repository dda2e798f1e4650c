"""``signoff user``, ``token``, ``group`` and ``permission``, as they are typed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from api_shim.cli import accounts
from api_shim.cli.accounts import read_moment
from api_shim.domain.accounts import Token
from api_shim.services.authentication import Credentials, Unauthenticated
from api_shim.settings import utc_now
from api_shim.store import Store
from approval_gate.errors import Invalid
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, ObjectType
from tests.api_shim.cli.conftest import Run
from tests.databases import store_of
from tests.factories import NOW, administering, authenticate, make_job, make_scheduled

pytestmark = pytest.mark.usefixtures("tables")

KEY = "0123456789abcdef0123"


@pytest.fixture
def kept(signoff: Run, home: Path) -> Store:
    """The store that the commands work on."""
    signoff("user", "add", "alice")
    return store_of(home)


def signed_in(store: Store, key: str) -> Actor:
    return authenticate(store, Credentials(key=key), utc_now())


# Users


def test_users_are_added_and_listed(signoff: Run) -> None:
    printed = signoff("user", "add", "alice")
    assert printed.out == "Added alice. `signoff token add alice` makes a key to sign in with.\n"
    signoff("user", "add", "root", "--superuser")
    listed = signoff("user", "list", "--json").json
    assert [(user["username"], user["active"], user["superuser"]) for user in listed] == [
        ("alice", True, False),
        ("root", True, True),
    ]
    assert datetime.fromisoformat(listed[0]["created"]).tzinfo is not None
    columns = ["username", "active", "superuser", "works_for", "asks_for", "writes_to_prefect", "provider", "created"]
    assert signoff("user", "list").out.split()[:8] == columns
    assert [user["writes_to_prefect"] for user in listed] == [False, True]


ISSUER = "https://login.example.com"


def test_a_user_is_linked_with_somebody_at_the_identity_provider(
    signoff: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signoff("user", "add", "alice")
    signoff("user", "add", "bob")
    assert "SIGNOFF_OIDC_ISSUER" in signoff("user", "link", "alice", "248").refusal
    monkeypatch.setenv("SIGNOFF_OIDC_ISSUER", ISSUER)
    monkeypatch.setenv("SIGNOFF_OIDC_CLIENT_ID", "signoff")
    assert signoff("user", "link", "alice", "248").out == f"Whoever {ISSUER} calls 248 now signs in as alice.\n"
    for name, subject in (("bob", "248"), ("alice", "249")):
        assert "already linked" in signoff("user", "link", name, subject).refusal
    assert "no user named" in signoff("user", "link", "nobody", "250").refusal
    assert "A subject has" in signoff("user", "link", "bob", " ").refusal
    listed = signoff("user", "list", "--json").json
    assert [(each["provider"], each["subject"]) for each in listed] == [(ISSUER, "248"), ("", "")]
    signoff("user", "unlink", "alice")
    assert "is not linked" in signoff("user", "unlink", "alice").refusal
    with closing(store_of(home)) as store, store.transaction(write=False) as tx:
        told = [each for each in tx.events(0, 100) if "link" in each.act]
    assert [(each.act, each.name, each.data["subject"]) for each in told] == [
        ("user.linked", "alice", "248"),
        ("user.unlinked", "alice", "248"),
    ]
    assert all(each.actor.startswith("local: ") for each in told)


def test_an_account_is_made_a_workers(signoff: Run) -> None:
    signoff("user", "add", "alice")
    for options, pool in (((), "signoff"), (("--pool", "bulk"), "bulk")):
        told = signoff("user", "worker", "alice", *options).out
        assert told == f"alice can execute runs of the work pool {pool}.\n"
        assert [user["works_for"] for user in signoff("user", "list", "--json").json] == [pool]
    told = signoff("user", "worker", "alice", "--remove").out
    assert told == "alice is no longer a worker account. It keeps what its other permissions allow.\n"
    assert [user["works_for"] for user in signoff("user", "list", "--json").json] == [""]


def test_a_user_is_deactivated_activated_and_removed(signoff: Run) -> None:
    signoff("user", "add", "alice")
    assert signoff("user", "deactivate", "alice").out == "alice can no longer sign in.\n"
    assert [user["active"] for user in signoff("user", "list", "--json").json] == [False]
    assert signoff("user", "activate", "alice").out == "alice can sign in again.\n"
    assert [user["active"] for user in signoff("user", "list", "--json").json] == [True]
    assert signoff("user", "remove", "alice").out == "Removed alice.\n"
    assert signoff("user", "list", "--json").json == []


def test_what_a_removed_user_leaves_is_told(signoff: Run, kept: Store) -> None:
    (alice,), job = administering(kept).users(), make_job()
    with kept.transaction() as tx:
        tx.add(job)
        tx.add(make_scheduled(job, alice, name="nightly"))
    would = signoff("user", "remove", "alice", "--dry-run").out
    assert "nightly" in would
    assert would.endswith(
        "alice would be removed. 1 scheduled job(s) would have no owner, and fail the next time they are due.\n"
    )
    assert [user.username for user in administering(kept).users()] == ["alice"]
    told = "Removed alice. 1 scheduled job(s) have no owner now, and fail the next time they are due.\n"
    assert signoff("user", "remove", "alice").out == told


def test_what_a_removed_user_leaves_is_handed_to_who_may_run_it(signoff: Run, kept: Store) -> None:
    signoff("user", "add", "alice")
    signoff("user", "add", "bob")
    alice, _ = administering(kept).users()
    job, other = make_job(name="Back up"), make_job(name="Wipe")
    with kept.transaction() as tx:
        tx.add(job)
        tx.add(other)
        tx.add(make_scheduled(job, alice, name="nightly"))
        tx.add(make_scheduled(other, alice, name="wipe"))
    allow = ("--types", "extras.job", "--actions", "run", "--users", "bob", "--constraints", '{"name": "Back up"}')
    signoff("permission", "add", "bob backs up", *allow)
    foreseen = signoff("user", "remove", "alice", "--transfer-to", "bob", "--dry-run", "--json").json
    why_not = "bob does not have permission to run this job."
    assert [(row["name"], row["new_owner"], row["why_not"]) for row in foreseen] == [
        ("nightly", "bob", ""),
        ("wipe", None, why_not),
    ]
    assert signoff("user", "remove", "alice", "--transfer-to", "bob").out == (
        "Removed alice. 1 scheduled job(s) were transferred to bob. "
        "1 scheduled job(s) have no owner now, and fail the next time they are due.\n"
    )


def _approved_by_bob(signoff: Run, kept: Store) -> None:
    signoff("user", "add", "bob")
    alice, bob = administering(kept).users()
    job = make_job(approval_required=True)
    approval = {"approval": ApprovalState.APPROVED, "approved_by": "bob", "approved_by_id": bob.id}
    with kept.transaction() as tx:
        tx.add(job)
        tx.add(make_scheduled(job, alice, name="nightly", **approval))
    for kind, action in (("extras.job", "approve"), ("extras.scheduledjob", "change")):
        administering(kept).add_permission(kind, NOW, types=[kind], actions=[action], users=["bob"])


def test_what_a_user_approved_is_told_and_revoked(signoff: Run, kept: Store) -> None:
    _approved_by_bob(signoff, kept)
    stands, waits = " What they approved stands: nightly.\n", " What they approved waits for approval again: nightly.\n"
    assert signoff("user", "deactivate", "bob").out == f"bob can no longer sign in.{stands}"
    signoff("user", "activate", "bob")
    assert signoff("permission", "remove", "extras.job").out == f"Removed the permission extras.job.{stands}"
    foreseen = signoff("user", "remove", "bob", "--revoke-approvals", "--dry-run").out
    assert foreseen == "bob would be removed. What they approved would wait for approval again: nightly.\n"
    told = signoff("user", "remove", "bob", "--revoke-approvals", "--dry-run", "--json").json
    assert [(row["name"], row["approval"]) for row in told] == [("nightly", "revoked")]
    assert signoff("user", "remove", "bob", "--revoke-approvals").out == f"Removed bob.{waits}"


def test_a_name_that_was_given_up_is_given_again_when_that_is_said(signoff: Run) -> None:
    signoff("user", "add", "alice")
    signoff("user", "remove", "alice")
    refused = signoff("user", "add", "Alice").err
    assert refused.startswith("error: username: Another account had this name until ")
    assert signoff("user", "add", "Alice", "--reuse-name").out.startswith("Added Alice.")


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        pytest.param(("user", "add", "alice"), "A user named 'alice' already exists.", id="a name that is taken"),
        pytest.param(("user", "add", "a b"), "A user name has 1 to 150 letters", id="a name with a space"),
        pytest.param(("user", "remove", "bob"), "There is no user named 'bob'.", id="removing nobody"),
        pytest.param(("user", "activate", "bob"), "There is no user named 'bob'.", id="activating nobody"),
        pytest.param(("user", "deactivate", "bob"), "There is no user named 'bob'.", id="deactivating nobody"),
        pytest.param(("user", "worker", "bob"), "There is no user named 'bob'.", id="work for nobody"),
        pytest.param(("token", "add", "bob"), "There is no user named 'bob'.", id="a token for nobody"),
        pytest.param(("token", "add", "alice", "--expires", "soon"), "'soon' is neither", id="a vague end"),
        pytest.param(("token", "add", "alice", "--expires", "2020-01-01T00:00"), "expired already", id="a past end"),
        pytest.param(("token", "add", "alice", "--expires", "0d"), "expired already", id="an end now"),
        pytest.param(("token", "add", "alice", "--key-stdin"), "at least 20 printable", id="no key to read"),
        pytest.param(("group", "add", "a,b"), "A group name has", id="a group with a comma"),
        pytest.param(("group", "remove", "ops"), "There is no group named 'ops'.", id="removing no group"),
        pytest.param(("group", "join", "ops", "alice"), "There is no group named 'ops'.", id="joining no group"),
        pytest.param(("group", "leave", "ops", "alice"), "There is no group named 'ops'.", id="leaving no group"),
        pytest.param(("permission", "remove", "p"), "There is no permission named 'p'.", id="removing no permission"),
    ],
)
def test_mistakes_are_one_sentence(signoff: Run, words: tuple[str, ...], refusal: str) -> None:
    signoff("user", "add", "alice")
    assert refusal in signoff(*words).refusal


# Tokens


def test_a_token_is_printed_alone_and_signs_in(signoff: Run, kept: Store) -> None:
    printed = signoff("token", "add", "alice")
    key = printed.out.removesuffix("\n")
    assert (printed.status, key[:8]) == (0, "signoff_")
    actor = signed_in(kept, key)
    assert (actor.username, actor.read_only) == ("alice", False)


def test_a_token_may_only_read_and_may_end(signoff: Run, kept: Store) -> None:
    before = utc_now()
    key = signoff("token", "add", "alice", "--read-only", "--expires", "30d").out.strip()
    assert signed_in(kept, key).read_only
    with kept.transaction(write=False) as tx:
        (token,) = tx.all(Token)
    assert token.expires is not None
    assert timedelta(days=30) <= token.expires - before < timedelta(days=30, minutes=5)


@pytest.mark.parametrize(
    "stdin", [f"{KEY}\n".encode(), KEY.encode(), f"  {KEY}\r\nsecond line".encode()], ids=["line", "bare", "spaces"]
)
def test_a_key_of_ones_own_is_read_from_the_first_line(signoff: Run, kept: Store, stdin: bytes) -> None:
    printed = signoff("token", "add", "alice", "--key-stdin", stdin=stdin).out
    assert printed == "alice can sign in with the given key.\n"
    assert signed_in(kept, KEY).username == "alice"


@pytest.mark.parametrize("stdin", [b"", b"\n", b"hunter2\n", b"\xff" * 40, "ü".encode() * 20, b"two words " * 9])
def test_what_is_no_key_is_refused_and_not_repeated(signoff: Run, kept: Store, stdin: bytes) -> None:
    refusal = signoff("token", "add", "alice", "--key-stdin", stdin=stdin).refusal
    assert refusal == "A token has at least 20 printable ASCII characters, and no space."


def test_a_key_that_is_in_use_is_refused_and_not_repeated(signoff: Run, kept: Store) -> None:
    signoff("token", "add", "alice", "--key-stdin", stdin=KEY.encode())
    assert signoff("token", "add", "alice", "--key-stdin", stdin=KEY.encode()).refusal == "This key is already in use."


def test_tokens_are_listed_with_their_last_use_and_without_their_keys(signoff: Run, kept: Store) -> None:
    signoff("user", "add", "bob")
    key = signoff("token", "add", "alice", "--description", "deploys", "--read-only").out.strip()
    signoff("token", "add", "bob", "--expires", "30d")
    with kept.transaction() as tx:
        token = next(token for token in tx.all(Token) if not token.write_enabled)
        tx.change(token, last_used=NOW, last_used_from="192.0.2.1")
    first, second = signoff("token", "list", "--json").json
    created = first.pop("created")
    assert datetime.fromisoformat(created).tzinfo is not None
    assert first == {
        "id": str(token.id),
        "user": "alice",
        "description": "deploys",
        "read_only": True,
        "expires": None,
        "last_used": "2026-05-04T12:00:00Z",
        "from": "192.0.2.1",
        "made_with": None,
    }
    assert (second["user"], second["last_used"], second["expires"] is None) == ("bob", None, False)
    assert [each["user"] for each in signoff("token", "list", "bob", "--json").json] == ["bob"]
    table = signoff("token", "list").out
    assert "192.0.2.1" in table
    assert key not in table + str(first)
    assert signoff("token", "list", "carol").refusal == "There is no user named 'carol'."


def test_a_token_is_revoked_by_its_id_by_the_beginning_of_that_or_by_its_key(signoff: Run, kept: Store) -> None:
    keys = [signoff("token", "add", "alice").out.strip() for _ in range(3)]
    first, second, _ = (each["id"] for each in signoff("token", "list", "--json").json)
    for words, stdin in (((first,), b""), ((second[:8].upper(),), b""), (("--key-stdin",), keys[2].encode())):
        assert signoff("token", "revoke", *words, stdin=stdin).out == "Revoked a token of alice.\n"
    for key in keys:
        with pytest.raises(Unauthenticated, match="Invalid token"):
            signed_in(kept, key)
    assert signoff("token", "list", "--json").json == []


def test_what_ends_with_a_token_that_is_revoked_is_told(signoff: Run, kept: Store) -> None:
    signoff("token", "add", "alice")
    with kept.transaction() as tx:
        (token,) = tx.all(Token)
        tx.add(replace(token, id=uuid4(), key_hash="0" * 64, made_with_id=token.id))
    told = signoff("token", "revoke", str(token.id)).out
    assert told == "Revoked a token of alice. 1 token(s) that were made with it have ended too.\n"


@pytest.mark.parametrize(
    ("words", "stdin", "refusal"),
    [
        pytest.param((), b"", "Give the id of a token, or --key-stdin.", id="nothing"),
        pytest.param(("00000000", "--key-stdin"), b"", "Give the id of a token, or --key-stdin.", id="both"),
        pytest.param(("00000000",), b"", "There is no such token.", id="an id that there is not"),
        pytest.param(("{id:.7}",), b"", "There is no such token.", id="too short a beginning"),
        pytest.param(("",), b"", "There is no such token.", id="an empty one"),
        pytest.param(("%",), b"", "There is no such token.", id="a pattern"),
        pytest.param(("--key-stdin",), b"signoff_wrong", "There is no such token.", id="a key that there is not"),
    ],
)
def test_what_names_no_token_revokes_none(
    signoff: Run, kept: Store, words: tuple[str, ...], stdin: bytes, refusal: str
) -> None:
    signoff("token", "add", "alice")
    (listed,) = signoff("token", "list", "--json").json
    named = (word.format(id=listed["id"]) for word in words)
    assert signoff("token", "revoke", *named, stdin=stdin).refusal == refusal
    assert signoff("token", "list", "--json").json == [listed]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param("90m", NOW + timedelta(minutes=90), id="minutes"),
        pytest.param("12h", NOW + timedelta(hours=12), id="hours"),
        pytest.param("30d", NOW + timedelta(days=30), id="days"),
        pytest.param("99999w", NOW + timedelta(weeks=99999), id="the most weeks"),
        pytest.param("2030-01-31T18:00Z", datetime(2030, 1, 31, 18, tzinfo=UTC), id="in UTC"),
        pytest.param("2030-01-31T18:00+02:00", datetime(2030, 1, 31, 16, tzinfo=UTC), id="with an offset"),
        pytest.param("2030-01-31 18:00", datetime(2030, 1, 31, 17, tzinfo=UTC), id="in the zone of this machine"),
    ],
)
def test_reads_moments(monkeypatch: pytest.MonkeyPatch, text: str, moment: datetime) -> None:
    monkeypatch.setattr("api_shim.cli.accounts.server_zone", lambda: "Europe/Berlin")
    assert read_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "30 d", "1y", "٣d", "tomorrow", "2030-02-30T00:00"])
def test_refuses_what_is_no_moment(text: str) -> None:
    with pytest.raises(Invalid, match="neither a date and time like 2030-01-31T18:00 nor a duration like 30d"):
        read_moment(text, NOW)


# Groups


def test_a_group_with_its_users(signoff: Run) -> None:
    for name in ("alice", "bob"):
        signoff("user", "add", name)
    assert signoff("group", "add", "Night shift").out == "Added the group Night shift.\n"
    for name in ("bob", "alice"):
        assert signoff("group", "join", "Night shift", name).out == f"Added {name} to Night shift.\n"
    listed = signoff("group", "list", "--json").json
    assert [(group["name"], group["users"]) for group in listed] == [("Night shift", ["alice", "bob"])]
    assert "alice, bob" in signoff("group", "list").out
    assert signoff("group", "leave", "Night shift", "bob").out == "Removed bob from Night shift.\n"
    assert signoff("group", "remove", "Night shift").out == "Removed the group Night shift.\n"
    assert signoff("group", "list", "--json").json == []


# Permissions


def test_a_permission_is_given_as_it_is_typed(signoff: Run, kept: Store) -> None:
    signoff("user", "add", "bob")
    signoff("group", "add", "Night shift")
    printed = signoff(
        *("permission", "add", "Back ups", "--types", "extras.job,extras.scheduledjob", "--actions", "view, change"),
        *("--users", "alice", "--users", "bob", "--groups", "Night shift", "--constraints", '{"name": "Back up"}'),
    )
    assert printed.out == "Added the permission Back ups.\n"
    (listed,) = signoff("permission", "list", "--json").json
    del listed["id"]
    assert listed == {
        "name": "Back ups",
        "enabled": True,
        "types": ["extras.job", "extras.scheduledjob"],
        "actions": ["view", "change"],
        "constraints": {"name": "Back up"},
        "users": ["alice", "bob"],
        "groups": ["Night shift"],
    }
    table = signoff("permission", "list").out
    assert '{"name": "Back up"}' in table
    assert "Night shift" in table
    actor = signed_in(kept, signoff("token", "add", "alice").out.strip())
    assert actor.may(Action.VIEW, ObjectType.JOB, {"name": "Back up"})
    assert not actor.may(Action.VIEW, ObjectType.JOB, {"name": "Other"})
    assert signoff("permission", "remove", "Back ups").out == "Removed the permission Back ups.\n"
    assert signoff("permission", "list", "--json").json == []


def test_a_permission_that_reaches_nobody_is_said_to(signoff: Run) -> None:
    printed = signoff("permission", "add", "p", "--types", "extras.job", "--actions", "view")
    assert printed.out == "Added the permission p. No user or group has it: give --users or --groups.\n"


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        pytest.param(("--types", "extras.jobs"), "There is no type 'extras.jobs'; there are", id="type"),
        pytest.param(("--types", ","), "Give at least one type", id="no type"),
        pytest.param(("--actions", "fly"), "There is no action 'fly'; there are", id="action"),
        pytest.param(("--users", "alice,bob"), "There is no user named 'bob'.", id="user"),
        pytest.param(("--groups", "ops"), "There is no group named 'ops'.", id="group"),
        pytest.param(("--constraints", "{name: x}"), "The constraints are not JSON: ", id="what is no JSON"),
        pytest.param(("--constraints", ""), "The constraints are not JSON: ", id="nothing"),
        pytest.param(("--constraints", "[" * 100_000), "The constraints are not JSON: ", id="JSON that is too deep"),
        pytest.param(("--constraints", '"x"'), "Constraints must be an object", id="a text"),
        pytest.param(("--constraints", "[]"), "would match nothing", id="an empty list"),
        pytest.param(("--constraints", '{"nam": "x"}'), "There is no lookup 'nam'", id="a typo"),
        pytest.param(("--constraints", '{"name": NaN}'), "must be text", id="no number"),
        pytest.param(("--constraints", '{"name": "\\ud800"}'), "must be text", id="half a character"),
    ],
)
def test_refuses_permissions(signoff: Run, words: tuple[str, str], refusal: str) -> None:
    signoff("user", "add", "alice")
    asked = {"--types": "extras.job", "--actions": "view", "--users": "alice", words[0]: words[1]}
    told = signoff("permission", "add", "p", *(word for pair in asked.items() for word in pair)).refusal
    assert refusal in told
    assert signoff("permission", "list", "--json").json == []


@pytest.mark.parametrize("words", [("--agent",), ("--for", "alice")], ids=["for nobody", "as no agent"])
def test_an_agent_is_added_with_its_person(signoff: Run, words: tuple[str, ...]) -> None:
    signoff("user", "add", "alice")
    assert "--agent and --for go together" in signoff("user", "add", "helper", *words).refusal
    signoff("user", "add", "helper", "--agent", "--for", "alice")
    assert [each["asks_for"] for each in signoff("user", "list", "--json").json] == ["", "alice"]
    signoff("user", "remove", "alice")
    assert "removed" in signoff("user", "list", "--json").json[0]["asks_for"]


# The audit


def test_the_audit_lists_what_each_command_did_and_by_whom(signoff: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api_shim.cli.accounts.system_user", lambda: "jane")
    monkeypatch.setenv("SIGNOFF_OIDC_ISSUER", ISSUER)
    monkeypatch.setenv("SIGNOFF_OIDC_CLIENT_ID", "signoff")
    limits = ("--types", "extras.job", "--actions", "view", "--users", "bob", "--groups", "ops")
    secret, key = "a-long-password", b"0123456789abcdef0123"
    commands: list[tuple[tuple[str, ...], bytes, list[tuple[str, str, list[str] | None]]]] = [
        (("user", "add", "bob"), b"", [("user.added", "bob", ["username"])]),
        (("user", "add", "root", "--superuser"), b"", [("user.added", "root", ["is_superuser", "username"])]),
        (("user", "password", "bob"), secret.encode(), [("user.changed", "bob", ["password"])]),
        (("user", "deactivate", "bob"), b"", [("user.changed", "bob", ["is_active"])]),
        (("user", "deactivate", "bob"), b"", []),
        (("user", "activate", "bob"), b"", [("user.changed", "bob", ["is_active"])]),
        (("group", "add", "ops"), b"", [("group.added", "ops", ["name"])]),
        (("group", "join", "ops", "bob"), b"", [("user.changed", "bob", ["groups"])]),
        (("group", "join", "ops", "bob"), b"", []),
        (("token", "add", "bob"), b"", [("token.added", "bob", ["user"])]),
        (
            ("token", "add", "bob", "--read-only", "--expires", "30d", "--key-stdin"),
            key,
            [("token.added", "bob", ["expires", "key", "user", "write_enabled"])],
        ),
        (("token", "revoke", "--key-stdin"), key, [("token.removed", "bob", None)]),
        (
            ("permission", "add", "see", *limits, "--constraints", '{"name": "x"}'),
            b"",
            [("permission.added", "see", ["actions", "constraints", "groups", "name", "object_types", "users"])],
        ),
        (("permission", "remove", "see"), b"", [("permission.removed", "see", None)]),
        (("group", "leave", "ops", "bob"), b"", [("user.changed", "bob", ["groups"])]),
        (("group", "remove", "ops"), b"", [("group.removed", "ops", None)]),
        (
            ("user", "worker", "bob"),
            b"",
            [("user.changed", "bob", ["works_for"])],
        ),
        (
            ("user", "worker", "bob", "--remove"),
            b"",
            [("user.changed", "bob", ["works_for"])],
        ),
        (("user", "link", "bob", "248"), b"", [("user.linked", "bob", None)]),
        (("user", "unlink", "bob"), b"", [("user.unlinked", "bob", None)]),
        (
            ("user", "add", "helper", "--agent", "--for", "bob"),
            b"",
            [("user.added", "helper", ["username"]), ("user.changed", "helper", ["acts_for"])],
        ),
        (("user", "agent", "helper", "--for", "root"), b"", [("user.changed", "helper", ["acts_for"])]),
        (("user", "remove", "bob", "--dry-run"), b"", []),
        (
            ("user", "remove", "bob"),
            b"",
            [("token.removed", "bob", None), ("user.removed", "bob", None)],
        ),
        (("user", "deactivate", "root"), b"", []),
        (("user", "list"), b"", []),
    ]
    expected = []
    for words, stdin, recorded in commands:
        signoff(*words, stdin=stdin)
        expected += recorded
    events = signoff("audit", "list", "--json").json[::-1]
    assert [(event["act"], event["name"], event["data"].get("fields")) for event in events] == expected
    assert {(event["actor"], event["actor_id"]) for event in events} == {("local: jane", None)}
    assert secret not in str(events)
    assert key.decode() not in str(events)
    assert signoff("audit", "verify").out.startswith(f"{len(expected)} events, none changed or missing; ")
    tried = {" ".join(words[:2]) for words, *_ in commands}
    assert tried >= {
        f"{noun} {command.name}"
        for noun in ("user", "group", "token", "permission")
        for command in getattr(accounts, f"{noun}s").registered_commands
        if command.name != "list"
    }
