"""What a client sends becomes fields of accounts, or sentences about its faults."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.accounts import Group, Permission, Token
from api_shim.parsing.account import (
    CANNOT_BE_SET,
    MOST,
    NOT_DEACTIVATED,
    Reading,
    Reference,
    check_username,
    read_form,
    read_revocation,
)
from api_shim.parsing.run_request import START_UNREADABLE
from api_shim.parsing.sentences import NOT_A_STRING, REQUIRED
from api_shim.store.columns import path_types
from approval_gate.errors import Invalid
from approval_gate.identity import LOCAL, WORKER
from approval_gate.model import ObjectType
from tests.factories import NOW, make_user

USER, GROUP, TOKEN, PERMISSION = ObjectType.USER, ObjectType.GROUP, ObjectType.TOKEN, ObjectType.PERMISSION
KNOWN = {name: UUID(int=number) for number, name in enumerate(("alice", "bob", "ops"), 1)}
KEY = "0123456789abcdef0123"

NOT_A_FLAG = "Must be a valid boolean."
NEEDED = {USER: ("username",), GROUP: ("name",), TOKEN: (), PERMISSION: ("name", "object_types", "actions")}

BEFORE: dict[ObjectType, Any] = {
    USER: make_user("alice"),
    GROUP: Group(id=uuid4(), name="ops"),
    TOKEN: Token(id=uuid4(), user_id=uuid4(), key_hash="", created=NOW),
    PERMISSION: Permission(
        id=uuid4(), name="p", object_types=("extras.job",), actions=("view",), constraints={"grouping": "x"}
    ),
}


def ids_of(kind: ObjectType, named: Sequence[Reference]) -> tuple[UUID, ...]:
    ids = {**KNOWN, **{each: each for each in KNOWN.values()}}
    for ref in named:
        if ref not in ids:
            raise Invalid(f"There is no {kind} {ref}.")
    return tuple(ids[ref] for ref in named)


def read(kind: ObjectType, body: object, *, new: bool = False, zone: str = "UTC") -> dict[str, Any]:
    return read_form(
        kind, body, Reading(now=NOW, zone=zone, ids_of=ids_of, path_types=path_types), None if new else BEFORE[kind]
    )


ALICE, OPS = KNOWN["alice"], KNOWN["ops"]


@pytest.mark.parametrize(
    ("kind", "body", "fields"),
    [
        pytest.param(USER, {"username": "a.b@c"}, {"username": "a.b@c"}, id="a user's name"),
        pytest.param(USER, {"is_active": False, "is_superuser": True}, {"is_active": False, "is_superuser": True},
                     id="a user's flags"),
        pytest.param(USER, {"groups": ["ops", str(OPS), {"id": str(OPS)}]}, {"groups": (OPS, OPS, OPS)},
                     id="groups by name, by id, and as objects"),
        pytest.param(USER, {"groups": []}, {"groups": ()}, id="no groups"),
        pytest.param(USER, {}, {}, id="nothing"),
        pytest.param(GROUP, {"name": "Night shift"}, {"name": "Night shift"}, id="a group's name"),
        pytest.param(TOKEN, {"write_enabled": False, "expires": None}, {"write_enabled": False, "expires": None},
                     id="a token that never ends"),
        pytest.param(TOKEN, {"description": "x" * 200}, {"description": "x" * 200}, id="what a token is for"),
        pytest.param(PERMISSION, {"constraints": None}, {"constraints": None}, id="no limits"),
        pytest.param(PERMISSION, {"object_types": ["extras.job", "extras.job"], "actions": ["run"]},
                     {"object_types": ("extras.job",), "actions": ("run",)}, id="each type once"),
        pytest.param(PERMISSION, {"object_types": ["extras.scheduledjob"], "constraints": {"user": "$user"}},
                     {"object_types": ("extras.scheduledjob",), "constraints": {"user": "$user"}},
                     id="limits that fit the new types"),
        pytest.param(PERMISSION, {"users": ["alice"], "groups": [{"id": str(OPS)}]},
                     {"users": (ALICE,), "groups": (OPS,)}, id="whom a permission reaches"),
    ],
)  # fmt: skip
def test_reads_what_is_to_be_changed(kind: ObjectType, body: Any, fields: dict[str, Any]) -> None:
    assert read(kind, body) == fields


@pytest.mark.parametrize("user", ["alice", str(ALICE), {"id": str(ALICE)}, {"id": str(ALICE), "url": "x"}])
def test_reads_whose_a_new_token_is_and_its_key(user: Any) -> None:
    assert read(TOKEN, {"user": user, "key": KEY}, new=True) == {"user": ALICE, "key": KEY}


def test_a_key_that_is_null_is_none() -> None:
    assert read(TOKEN, {"key": None}, new=True) == {"key": None}


def test_a_time_without_an_offset_is_in_the_servers_zone() -> None:
    assert read(TOKEN, {"expires": "2030-01-31T08:00"}, zone="Europe/Berlin") == {
        "expires": datetime(2030, 1, 31, 7, tzinfo=UTC)
    }


@pytest.mark.parametrize(
    ("kind", "body", "faults"),
    [
        pytest.param(USER, {"username": ""}, {"username": "A user name has 1 to 150"}, id="an empty user name"),
        pytest.param(USER, {"username": "a b"}, {"username": "A user name has 1 to 150"}, id="a space in one"),
        pytest.param(USER, {"username": 5}, {"username": NOT_A_STRING}, id="a number for a user name"),
        pytest.param(USER, {"username": None}, {"username": NOT_A_STRING}, id="null for a user name"),
        pytest.param(USER, {"is_active": "true", "is_superuser": 1},
                     {"is_active": NOT_A_FLAG, "is_superuser": NOT_A_FLAG}, id="what is no flag"),
        pytest.param(USER, {"groups": "ops"}, {"groups": "Expected a list"}, id="a text for a list"),
        pytest.param(USER, {"groups": ["ops"] * (MOST + 1)}, {"groups": "at most 1000"}, id="too many groups"),
        pytest.param(USER, {"groups": [5]}, {"groups": "Expected an id, a name,"}, id="a number for a group"),
        pytest.param(USER, {"groups": [{"name": "ops"}]}, {"groups": "Expected an id, a name,"}, id="no id in one"),
        pytest.param(USER, {"groups": ["a\0"]}, {"groups": "Expected an id, a name,"}, id="a null character"),
        pytest.param(USER, {"groups": ["ops", "none"]}, {"groups": "There is no auth.group none"}, id="no such group"),
        pytest.param(USER, {"id": str(ALICE), "groups": ["none"], "password": "x"},
                     {"id": CANNOT_BE_SET, "groups": "There is no", "password": CANNOT_BE_SET}, id="all at once"),
        pytest.param(GROUP, {"name": "a,b"}, {"name": "A group name has 1 to 150"}, id="a comma in a group's name"),
        pytest.param(GROUP, {"name": ["a"]}, {"name": NOT_A_STRING}, id="a list for a name"),
        pytest.param(GROUP, {"users": ["alice"]}, {"users": CANNOT_BE_SET}, id="the members of a group"),
        pytest.param(TOKEN, {"key": KEY, "user": "alice"}, {"key": CANNOT_BE_SET, "user": CANNOT_BE_SET},
                     id="what is settled when a token is made"),
        pytest.param(TOKEN, {"key_hash": "x"}, {"key_hash": CANNOT_BE_SET}, id="a hash"),
        pytest.param(TOKEN, {"expires": "soon"}, {"expires": START_UNREADABLE}, id="what is no time"),
        pytest.param(TOKEN, {"expires": NOW.isoformat()}, {"expires": "would have expired already"}, id="an end now"),
        pytest.param(TOKEN, {"write_enabled": None}, {"write_enabled": NOT_A_FLAG}, id="null for a flag"),
        pytest.param(PERMISSION, {"name": " a"}, {"name": "A permission's name has 1 to 255"}, id="a space before"),
        pytest.param(PERMISSION, {"object_types": "extras.job"}, {"object_types": "a list of words"}, id="no list"),
        pytest.param(PERMISSION, {"object_types": [["extras.job"]]}, {"object_types": "a list of words"}, id="a list"),
        pytest.param(PERMISSION, {"object_types": []}, {"object_types": "at least one type"}, id="no types"),
        pytest.param(PERMISSION, {"object_types": ["extras.jobs"], "actions": ["fly"], "constraints": []},
                     {"object_types": "no type 'extras.jobs'; there are", "actions": "no action 'fly'"},
                     id="limits of unknown types are not judged"),
        pytest.param(PERMISSION, {"constraints": {"user": "$user"}}, {"constraints": "There is no lookup 'user'"},
                     id="limits that do not fit the types that it has"),
        pytest.param(PERMISSION, {"object_types": ["extras.scheduledjob"]}, {"constraints": "no lookup 'grouping'"},
                     id="types that the limits do not fit"),
        pytest.param(PERMISSION, {"constraints": [{}]}, {"constraints": "would lift all the other"},
                     id="an empty object in a list"),
        pytest.param(PERMISSION, {"constraints": {"name__in": ["x"] * 1001}}, {"constraints": "1000 values at most"},
                     id="too many values"),
    ],
)  # fmt: skip
def test_tells_every_fault_under_its_field(kind: ObjectType, body: Any, faults: dict[str, str]) -> None:
    with pytest.raises(Invalid) as refused:
        read(kind, body)
    told = refused.value.detail
    assert isinstance(told, dict)
    assert told.keys() == faults.keys()
    assert [field for field, words in faults.items() if words not in told[field][0]] == []


@pytest.mark.parametrize("kind", NEEDED)
def test_a_new_one_needs_what_has_no_default(kind: ObjectType) -> None:
    if not NEEDED[kind]:
        assert read(kind, {}, new=True) == {}
        return
    with pytest.raises(Invalid) as refused:
        read(kind, {}, new=True)
    assert refused.value.detail == {field: [REQUIRED] for field in NEEDED[kind]}


@pytest.mark.parametrize("key", ["", "x" * 19, "x y" * 10, "é" * 20, 5])
def test_refuses_a_key_that_can_be_guessed_or_not_be_sent_without_repeating_it(key: Any) -> None:
    with pytest.raises(Invalid) as refused:
        read(TOKEN, {"key": key}, new=True)
    assert not key or str(key) not in str(refused.value)


@pytest.mark.parametrize("body", [[], "x", None, 5])
@pytest.mark.parametrize("kind", NEEDED)
def test_refuses_what_is_no_object(kind: ObjectType, body: object) -> None:
    for new in (True, False):
        with pytest.raises(Invalid, match="Expected a dictionary"):
            read(kind, body, new=new)


def test_what_is_stored_and_no_longer_understood_can_be_disabled() -> None:
    odd = Permission(id=uuid4(), name="odd", object_types=("extras.gone",), actions=("fly",), constraints={"gone": 1})
    reading = Reading(now=NOW, zone="UTC", ids_of=ids_of, path_types=path_types)
    assert read_form(PERMISSION, {"enabled": False}, reading, odd) == {"enabled": False}


# Names that look like others

CHARACTERS = "A user name has 1 to 150 letters, digits, and @ . + - _ only."


def mixes(scripts: str) -> str:
    return f"A user name has letters of one script only; this one mixes {scripts}."


def reserved(name: str) -> str:
    return f"The server keeps the name {name} for an account of its own: choose another name."


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        pytest.param("alice.b+c_d-e@f.org2", "", id="Latin letters, digits and signs"),
        pytest.param("Zoë-Straße", "", id="Latin letters with accents"),
        pytest.param("алиса7", "", id="Cyrillic letters and digits"),
        pytest.param("Αλίκη", "", id="Greek letters"),
        pytest.param("田中さくらメモー々", "", id="the scripts of Japanese"),
        pytest.param("김金", "", id="the scripts of Korean"),
        pytest.param("ａｌｉｃｅ", "", id="Latin letters of full width"),
        pytest.param("аlice", mixes("Cyrillic and Latin"), id="a Cyrillic letter among Latin ones"),
        pytest.param("αlice", mixes("Greek and Latin"), id="a Greek letter among Latin ones"),
        pytest.param("алиca", mixes("Cyrillic and Latin"), id="Latin letters among Cyrillic ones"),
        pytest.param("\u00b5service", mixes("Greek and Latin"), id="a sign that is a Greek letter"),
        pytest.param("alice\u0661", mixes("Arabic and Latin"), id="a digit of another script"),
        pytest.param("김さ", mixes("Hangul and Hiragana"), id="scripts that no language writes together"),
        pytest.param(WORKER, reserved(WORKER), id="the server's own worker"),
        pytest.param("Signoff-ｌｏｃａｌ", reserved(LOCAL), id="the server's own programs in other letters"),
        pytest.param("signoff-worker2", "", id="a worker of ours"),
        pytest.param("alice\u200b", CHARACTERS, id="a space without width"),
        pytest.param("a\u200dlice", CHARACTERS, id="a joiner"),
        pytest.param("\u202ealice", CHARACTERS, id="a change of direction"),
        pytest.param("alice\u3164", CHARACTERS, id="a letter that nobody sees"),
        pytest.param("alice\x00", CHARACTERS, id="a control character"),
        pytest.param("\ufdfa" * 20, CHARACTERS, id="letters that stand for too many"),
    ],
)
def test_a_user_name_does_not_look_like_another(name: str, refusal: str) -> None:
    if not refusal:
        assert check_username(name) == name
        return
    with pytest.raises(Invalid) as refused:
        check_username(name)
    assert refused.value.detail == refusal


def test_a_name_from_before_a_rule_may_be_sent_back() -> None:
    before = make_user("аlice")
    reading = Reading(now=NOW, zone="UTC", ids_of=ids_of, path_types=path_types)
    assert read_form(USER, {"username": "аlice", "is_active": False}, reading, before) == {"is_active": False}


@pytest.mark.parametrize("body", [{}, {"is_active": True}, {"username": "bob"}])
def test_approvals_are_revoked_with_a_deactivation_only(body: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        read(USER, {**body, "revoke_approvals": True})
    assert refused.value.detail == {"revoke_approvals": [NOT_DEACTIVATED]}
    both = {"is_active": False, "revoke_approvals": True}
    assert read(USER, both) == both


@pytest.mark.parametrize(
    ("kind", "said", "revokes"),
    [
        pytest.param(USER, [], False, id="nothing"),
        pytest.param(USER, ["true"], True, id="yes"),
        pytest.param(USER, ["false"], False, id="no"),
        pytest.param(GROUP, [], False, id="nothing, of a group"),
        pytest.param(USER, ["true", "false"], None, id="both"),
        pytest.param(USER, ["maybe"], None, id="neither"),
        pytest.param(GROUP, ["true"], None, id="of a group, which approves nothing"),
    ],
)
def test_whether_approvals_are_revoked_with_a_removal(kind: ObjectType, said: list[str], revokes: bool | None) -> None:
    if revokes is None:
        with pytest.raises(Invalid, match="revoke_approvals"):
            read_revocation(kind, said)
    else:
        assert read_revocation(kind, said) is revokes
