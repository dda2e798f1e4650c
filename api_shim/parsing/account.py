"""What users, groups, tokens and permissions can be called and can hold, however they are made.

* A name can be printed, and written in a list of names; a user's also before the colon of ``user:token``.
* A user's name has visible letters of one script, so that it does not look like another name. Scripts that are written
  together, as in Japanese, count as one. It is none that the server keeps for its own accounts.
* A key is too long to be guessed and can be sent in a header; no refusal repeats it.
* A permission has known types, known actions, and constraints that speak of what the types have.

Every refusal is one sentence. Contract 8.

Reads what somebody wants to be written of a user, a group, a token or a permission.

* Every fault is told under its field, all of them at once.
* What cannot be set is refused, not passed over: whoever sends it means something by it.
* Other users and groups are named by their id, their name, or an object with their id.
* Whose a token is and what its key is are settled when it is made.

Contract 8.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import AfterValidator, Field, PlainValidator, TypeAdapter, ValidationInfo, with_config
from typing_extensions import TypedDict

from api_shim.parsing.decision import read_flag
from api_shim.parsing.fields import read_id, read_object
from api_shim.parsing.run_request import read_time
from api_shim.parsing.sentences import SENTENCES, STRICT, Identified, all_as, of_text, read, rule
from approval_gate import constraints
from approval_gate.errors import Invalid
from approval_gate.identity import LONGEST_NAME, RESERVED, normal_form
from approval_gate.model import Action, ObjectType
from flows.inputs import is_storable

Member = TypeVar("Member", bound=StrEnum)

MIN_KEY_LENGTH = 20
LONGEST_DESCRIPTION = 200


FILLERS = frozenset("\u115f\u1160\u3164\uffa0")
"""The letters that nobody sees."""
TOGETHER = (
    frozenset({"CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"CJK", "HANGUL"}),
    frozenset({"CJK", "BOPOMOFO"}),
)
"""The scripts that one language writes together."""
SCRIPTS = {"IDEOGRAPHIC": "CJK", "EXTENDED": "ARABIC"}
"""The scripts of letters and digits whose names do not begin with them."""


def check_username(name: str) -> str:
    """Return a user's name.

    Raises:
        Invalid: it is empty, too long, mixes scripts, is kept for an account of the server's own, or has characters
            that are invisible or do not fit into ``user:token``.
    """
    fits = all((c.isalnum() and c not in FILLERS) or c in "@.+-_" for c in name)
    if not name or len(name) > LONGEST_NAME or not fits or len(unicodedata.normalize("NFKC", name)) > LONGEST_NAME:
        raise Invalid("A user name has 1 to 150 letters, digits, and @ . + - _ only.")
    scripts = _scripts_of(name)
    if len(scripts) > 1 and not any(scripts <= each for each in TOGETHER):
        mixed = " and ".join(sorted(script.capitalize() for script in scripts))
        raise Invalid(f"A user name has letters of one script only; this one mixes {mixed}.")
    if normal_form(name) in RESERVED:
        raise Invalid(f"The server keeps the name {normal_form(name)} for an account of its own: choose another name.")
    return name


def _scripts_of(name: str) -> set[str]:
    """Return the scripts of letters, and of digits except 0 to 9: the first word of their name in Unicode."""
    letters = (c for c in unicodedata.normalize("NFKC", name) if c.isalnum() and not (c.isascii() and c.isdigit()))
    words = {unicodedata.name(c, "UNNAMED").replace("-", " ").split()[0] for c in letters}
    return {SCRIPTS.get(word, word) for word in words}


def check_group_name(name: str) -> str:
    """Return a group's name.

    Raises:
        Invalid: it is empty, too long, or cannot be printed or listed with others.
    """
    if not _is_name(name, 150) or "," in name:
        raise Invalid("A group name has 1 to 150 printable characters, no comma, and no space around it.")
    return name


def check_permission_name(name: str) -> str:
    """Return a permission's name.

    Raises:
        Invalid: it is empty, too long, or cannot be printed.
    """
    if not _is_name(name, 255):
        raise Invalid("A permission's name has 1 to 255 printable characters, and no space around it.")
    return name


def check_key(key: str) -> str:
    """Return a token's key.

    Raises:
        Invalid: it is too short, or cannot be sent.
    """
    if len(key) < MIN_KEY_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
        raise Invalid(f"A token has at least {MIN_KEY_LENGTH} printable ASCII characters, and no space.")
    return key


def check_end(expires: datetime | None, now: datetime) -> datetime | None:
    """Return when a token stops working; None for never.

    Raises:
        Invalid: it is past that already.
    """
    if expires is not None and expires <= now:
        raise Invalid("The token would have expired already.")
    return expires


def check_description(text: str) -> str:
    """Return what a token is for.

    Raises:
        Invalid: it is too long, or cannot be printed.
    """
    if len(text) > LONGEST_DESCRIPTION or not text.isprintable():
        raise Invalid(f"A description has up to {LONGEST_DESCRIPTION} printable characters.")
    return text


def read_types(words: Sequence[str]) -> tuple[ObjectType, ...]:
    """Return the types that a permission speaks of, each once.

    Raises:
        Invalid: one is unknown, or there is none.
    """
    return _members(ObjectType, words, "type")


def read_actions(words: Sequence[str]) -> tuple[Action, ...]:
    """Return the actions that a permission gives, each once.

    Raises:
        Invalid: one is unknown, or there is none.
    """
    return _members(Action, words, "action")


def check_constraints(raw: Any, path_types: Mapping[str, type]) -> None:
    """See that the constraints of a permission speak of what its types have.

    Raises:
        Invalid: they do not; the sentence says what would be.
    """
    constraints.parse(raw, path_types)


def _is_name(name: str, longest: int) -> bool:
    return 0 < len(name) <= longest and name.isprintable() and name == name.strip()


def _members(kind: type[Member], words: Sequence[str], noun: str) -> tuple[Member, ...]:
    known = {str(member): member for member in kind}
    for word in words:
        if word not in known:
            raise Invalid(f"There is no {noun} {word[:100]!r}; there are {', '.join(known)}.")
    if not words:
        raise Invalid(f"Give at least one {noun}: {', '.join(known)}.")
    return tuple(known[word] for word in dict.fromkeys(words))


Reference = UUID | str

NOT_A_REFERENCE = "Expected an id, a name, or an object with an id."
CANNOT_BE_SET = "This field cannot be set."
NOT_DEACTIVATED = "Approvals are revoked together with an account that is removed or deactivated (`is_active` false)."
MOST = 1000
"""How many users or groups one request can name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a form is read with.

    Args:
        now: the time.
        zone: IANA name of the zone in which a time without an offset is meant.
        ids_of: returns the ids of the users or groups that are named; ``Invalid`` for one that is unknown.
        path_types: returns the attributes that all of these types have, each with its type.
    """

    now: datetime
    zone: str
    ids_of: Callable[[ObjectType, Sequence[Reference]], tuple[UUID, ...]]
    path_types: Callable[[Collection[ObjectType]], Mapping[str, type]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Form:
    """What a form is read by: besides, its body, and what is to be changed."""

    reading: Reading
    sent: Mapping[str, Any]
    before: Any


Info = ValidationInfo[_Form]


def _reference(value: Any) -> Reference:
    named = value.get("id") if isinstance(value, Mapping) else value
    if not isinstance(named, str) or not is_storable(named):
        raise Invalid(NOT_A_REFERENCE)
    return read_id(named) or named


def _ids_of(kind: ObjectType) -> AfterValidator:
    """Return the rule that there are such users or groups."""

    def ids(named: list[Reference], info: Info) -> tuple[UUID, ...]:
        return info.context.reading.ids_of(kind, named)

    return AfterValidator(rule(ids))


def _id_of(named: Reference, info: Info) -> UUID:
    (found,) = info.context.reading.ids_of(ObjectType.USER, [named])
    return found


def _end(value: Any, info: Info) -> datetime | None:
    reading = info.context.reading
    return None if value is None else check_end(read_time(value, reading.zone), reading.now)


def _fit(constraints: Any, info: Info) -> Any:
    """See that constraints fit the types that they are for, unless those are a fault themselves."""
    form = info.context
    stands = form.before.object_types if form.before else ()
    types = info.data.get("object_types") if "object_types" in form.sent else stands
    if types is not None:
        check_constraints(constraints, form.reading.path_types(types))
    return constraints


def _one_of(words: type[StrEnum]) -> Any:
    """Return what describes a list of such words."""
    return {"items": {"type": "string", "enum": [*words]}}


Someone = Annotated[Any, PlainValidator(rule(_reference), json_schema_input_type=UUID | str | Identified)]
Named = Annotated[
    list[Someone],
    Field(max_length=MOST, description="By id, by name, or by an object with an id."),
    all_as("not_references", most=MOST),
]
Users = Annotated[Named, _ids_of(ObjectType.USER)]
Groups = Annotated[Named, _ids_of(ObjectType.GROUP)]
Username = Annotated[
    str,
    of_text(check_username),
    Field(min_length=1, max_length=LONGEST_NAME, description="Letters of one script, digits, and `@ . + - _`."),
]
GroupName = Annotated[
    str, of_text(check_group_name), Field(min_length=1, max_length=150, description="Without a comma.")
]
PermissionName = Annotated[str, of_text(check_permission_name), Field(min_length=1, max_length=255)]
End = Annotated[
    datetime | None,
    PlainValidator(rule(_end), json_schema_input_type=str | None),
    Field(description="ISO 8601, not past; without an offset it is in the server's zone."),
]
Key = (
    Annotated[
        str, of_text(check_key), Field(min_length=MIN_KEY_LENGTH, description="Printable ASCII, without a space.")
    ]
    | None
)
Description = Annotated[
    str, of_text(check_description), Field(max_length=LONGEST_DESCRIPTION, description="What it is for.")
]
Words = Annotated[list[str], all_as("not_words")]
Types = Annotated[Words, AfterValidator(rule(read_types)), Field(min_length=1, json_schema_extra=_one_of(ObjectType))]
Actions = Annotated[Words, AfterValidator(rule(read_actions)), Field(min_length=1, json_schema_extra=_one_of(Action))]
Constraints = Annotated[
    Any,
    AfterValidator(rule(_fit)),
    Field(description="Lookups and their values: an object is all of them, a list any."),
]


ReuseName = Annotated[
    bool, Field(description="Take a name that another account had within 400 days; for superusers only.")
]
RevokeApprovals = Annotated[
    bool, Field(description="With `is_active` false: what the user has approved waits for approval again.")
]


@with_config(STRICT)
class _UserFields(TypedDict, total=False):
    username: Username
    is_active: bool
    is_superuser: bool
    groups: Groups
    reuse_name: ReuseName


@with_config(STRICT)
class UserFields(_UserFields, total=False):
    """What a user is to be."""

    revoke_approvals: RevokeApprovals


@with_config(STRICT)
class NewUser(_UserFields):
    """What a new user is to be."""

    username: Username  # type: ignore[misc]  # a change may leave it out


@with_config(STRICT)
class GroupFields(TypedDict, total=False):
    """What a group is to be."""

    name: GroupName


@with_config(STRICT)
class NewGroup(GroupFields):
    """What a new group is to be."""

    name: GroupName  # type: ignore[misc]  # a change may leave it out


@with_config(STRICT)
class TokenFields(TypedDict, total=False):
    """What a token is to be."""

    write_enabled: bool
    expires: End
    description: Description


@with_config(STRICT)
class NewToken(TokenFields, total=False):
    """What a new token is to be; without a user it is the caller's own, without a key it is given one."""

    user: Annotated[Someone, AfterValidator(rule(_id_of))]
    key: Key


@with_config(STRICT)
class PermissionFields(TypedDict, total=False):
    """What a permission is to be: actions on types of objects, perhaps limited, for users and groups."""

    name: PermissionName
    enabled: bool
    object_types: Types
    actions: Actions
    constraints: Constraints
    users: Users
    groups: Groups


@with_config(STRICT)
class NewPermission(PermissionFields):
    """What a new permission is to be: actions on types of objects, perhaps limited, for users and groups."""

    name: PermissionName  # type: ignore[misc]  # a change may leave it out
    object_types: Types  # type: ignore[misc]  # a change may leave them out
    actions: Actions  # type: ignore[misc]  # a change may leave them out


CHANGES: Mapping[ObjectType, Any] = {
    ObjectType.USER: UserFields,
    ObjectType.GROUP: GroupFields,
    ObjectType.TOKEN: TokenFields,
    ObjectType.PERMISSION: PermissionFields,
}
"""What each is to be that there is already."""

ADDITIONS: Mapping[ObjectType, Any] = {
    ObjectType.USER: NewUser,
    ObjectType.GROUP: NewGroup,
    ObjectType.TOKEN: NewToken,
    ObjectType.PERMISSION: NewPermission,
}
"""What each is to be that is new."""

_CHANGES: Mapping[ObjectType, TypeAdapter[Any]] = {kind: TypeAdapter(form) for kind, form in CHANGES.items()}
_ADDITIONS: Mapping[ObjectType, TypeAdapter[Any]] = {kind: TypeAdapter(form) for kind, form in ADDITIONS.items()}
_SENTENCES = {**SENTENCES, "extra_forbidden": CANNOT_BE_SET, "invalid_key": CANNOT_BE_SET}


def read_revocation(kind: ObjectType, said: Sequence[str]) -> bool:
    """Return whether the approvals of an account that is removed are to be revoked.

    Args:
        kind: the type of account.
        said: every ``revoke_approvals`` of the query.

    Raises:
        Invalid: it is neither true nor false, or only users have approvals.
    """
    if said and kind is not ObjectType.USER:
        raise Invalid({"revoke_approvals": [CANNOT_BE_SET]})
    return read_flag("revoke_approvals", said)


def read_form(kind: ObjectType, body: object, reading: Reading, before: Any = None) -> dict[str, Any]:
    """Return the fields that are given, with what they are to hold; users and groups as their ids.

    Args:
        kind: the type of account.
        body: what the client sent, decoded.
        reading: what it is read with.
        before: what is to be changed; None for a new one.

    Raises:
        Invalid: with ``{field: [sentence]}``.
    """
    sent = read_object(body)
    judged = dict(sent)
    if kind is ObjectType.USER and before is not None and sent.get("username") == before.username:
        # A name from before a rule stays as it is.
        del judged["username"]
    if kind is ObjectType.PERMISSION and before is not None and "object_types" in sent:
        # The limits that it has must fit its new types, as new ones must.
        judged.setdefault("constraints", before.constraints)
    model = (_ADDITIONS if before is None else _CHANGES)[kind]
    form = _Form(reading=reading, sent=sent, before=before)
    values: Mapping[str, Any] = read(model, judged, context=form, sentences=_SENTENCES)
    if values.get("revoke_approvals") and values.get("is_active") is not False:
        raise Invalid({"revoke_approvals": [NOT_DEACTIVATED]})
    return {name: value for name, value in values.items() if name in sent}
