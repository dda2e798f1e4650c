"""Reads what somebody decides with, from the API and from Prefect's form.

* ``force`` is true or false, in any usual spelling; said twice, both must agree; anything else is refused.
* A comment is a text that can be kept, of a length that can be read.
* In Prefect's form the decision itself is a field.

Contract 6, 9.4 and 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api_shim.parsing.fields import read_object
from approval_gate.errors import Invalid
from flows.inputs import is_storable

TRUE = frozenset({"true", "1", "yes", "on"})
FALSE = frozenset({"false", "0", "no", "off", ""})
LONGEST_COMMENT = 2000
CHOOSE = "Choose a decision: approve or deny."


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What somebody decides with.

    Args:
        comment: for the others; may be empty.
        force: he knows that the start has passed.
        version: the version of the request that he has seen, if he says so.
    """

    comment: str = ""
    force: bool = False
    version: str | None = None


def read_decision(query: Sequence[str], body: object) -> Decision:
    """Read a decision of the API.

    Args:
        query: every ``force`` of the query.
        body: the body, decoded.

    Raises:
        Invalid: a value that it cannot be, under its field.
    """
    sent = read_object(body)
    said = {_read_flag("force", value) for value in (*query, *([sent["force"]] if "force" in sent else []))}
    if len(said) > 1:
        raise Invalid({"force": ["It is given more than once, and differently."]})
    return Decision(comment=_read_comment(sent), force=said == {True}, version=_read_version(sent.get("version")))


def read_answer(answer: object) -> tuple[str, Decision]:
    """Read what somebody has filled into Prefect's form: which way he decides, and with what.

    Raises:
        Invalid: it is incomplete, with a sentence for him.
    """
    if not isinstance(answer, Mapping) or answer.get("decision") not in ("approve", "deny"):
        raise Invalid(CHOOSE)
    try:
        force = _read_flag("confirm_past_due", answer.get("confirm_past_due"))
        decision = Decision(comment=_read_comment(answer), force=force, version=version_in(answer))
    except Invalid as error:
        raise Invalid(str(error)) from error
    return answer["decision"], decision


def _read_flag(field: str, value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    word = str(value).strip().lower()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise Invalid({field: ["Must be true or false."]})


def _read_comment(body: Mapping[str, Any]) -> str:
    comment = body.get("comment")
    if comment is None:
        return ""
    if not isinstance(comment, str) or not is_storable(comment):
        raise Invalid({"comment": ["Not a valid string."]})
    if len(comment) > LONGEST_COMMENT:
        raise Invalid({"comment": [f"Ensure this field has no more than {LONGEST_COMMENT} characters."]})
    return comment.strip()


def _read_version(version: Any) -> str | None:
    if version is None or isinstance(version, str):
        return version or None
    raise Invalid({"version": ["Not a valid string."]})


def version_in(answer: Mapping[str, Any]) -> str | None:
    """Return the version of the request that somebody has decided about, if his form said."""
    seen = answer.get("request")
    return seen if isinstance(seen, str) and seen else None
