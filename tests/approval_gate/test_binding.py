"""What an approval is bound to: what is equal, what is not, how it is told, and that it gives nothing away."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approval_gate.binding import NO_CODE, PARTS, Binding, bind, digest, is_of_module_alone, what_changed

REQUEST: dict[str, Any] = {
    "job": "backup.Backup",
    "code": "c0de",
    "inputs": {"site": "Graz", "count": 3, "options": {"fast": True, "tags": ["a", "b"]}},
    "schedule": ("daily", "2026-05-04T12:00:00+00:00", "", "Europe/Vienna"),
    "queue": "bulk",
    "job_variables": {"image": "jobs:1", "env": {"A": "1"}},
}


def bound(**to: Any) -> Binding:
    return bind(**{**REQUEST, **to})


# Equal things


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param({"site": "Graz", "count": 3, "options": {"fast": True, "tags": ["a", "b"]}}, id="the same"),
        pytest.param({"options": {"fast": True, "tags": ["a", "b"]}, "count": 3, "site": "Graz"}, id="in other order"),
        pytest.param({"count": 3, "options": {"tags": ["a", "b"], "fast": True}, "site": "Graz"}, id="also inside"),
    ],
)
def test_equal_inputs_bind_equally(inputs: dict[str, Any]) -> None:
    assert bound(inputs=inputs) == bound()
    assert digest(bound(inputs=inputs)) == digest(bound())
    assert what_changed(bound(), bound(inputs=inputs), "bob") == ""


def test_the_digest_does_not_mind_the_order_in_which_the_parts_are_kept() -> None:
    turned = dict(reversed(list(bound().items())))
    assert list(turned) != list(bound())
    assert digest(turned) == digest(bound())


def test_a_binding_that_was_kept_as_json_is_still_the_same() -> None:
    kept = json.loads(json.dumps(dict(bound())))
    assert kept == bound()
    assert digest(kept) == digest(bound())


# Other things

CHANGES = [
    pytest.param({"job": "backup.Restore"}, "The Job changed after bob approved it.", id="another Job"),
    pytest.param({"code": "c0df"}, "The Job's code changed after bob approved it.", id="other code"),
    pytest.param({"code": ""}, "The Job's code changed after bob approved it.", id="no code any more"),
    pytest.param({"inputs": {}}, "The inputs changed after bob approved it.", id="no inputs"),
    pytest.param(
        {"inputs": {**REQUEST["inputs"], "count": 4}}, "The inputs changed after bob approved it.", id="another input"
    ),
    pytest.param(
        {"inputs": {**REQUEST["inputs"], "more": None}},
        "The inputs changed after bob approved it.",
        id="one more input, though it is null",
    ),
    pytest.param(
        {"inputs": {**REQUEST["inputs"], "count": "3"}},
        "The inputs changed after bob approved it.",
        id="an input of another type",
    ),
    pytest.param(
        {"inputs": {**REQUEST["inputs"], "options": {"fast": True, "tags": ["b", "a"]}}},
        "The inputs changed after bob approved it.",
        id="a list of inputs in another order",
    ),
    pytest.param(
        {"schedule": ("hourly", *REQUEST["schedule"][1:])},
        "The schedule changed after bob approved it.",
        id="another interval",
    ),
    pytest.param(
        {"schedule": (*REQUEST["schedule"][:3], "UTC")},
        "The schedule changed after bob approved it.",
        id="another time zone",
    ),
    pytest.param({"queue": "fast"}, "The queue changed after bob approved it.", id="another queue"),
    pytest.param(
        {"job_variables": {**REQUEST["job_variables"], "image": "jobs:2"}},
        "Prefect's job variables changed after bob approved it.",
        id="another image",
    ),
    pytest.param({"job_variables": {}}, "Prefect's job variables changed after bob approved it.", id="no image"),
    pytest.param(
        {"code": "c0df", "queue": "fast"},
        "The Job's code and the queue changed after bob approved it.",
        id="two parts",
    ),
    pytest.param(
        {"queue": "fast", "schedule": (), "inputs": {}},
        "The inputs, the schedule and the queue changed after bob approved it.",
        id="three parts, always in the same order",
    ),
    pytest.param(
        {"job": "x", "code": "x", "inputs": {}, "schedule": (), "queue": "x"},
        "The Job, the Job's code, the inputs, the schedule and the queue changed after bob approved it.",
        id="everything",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), CHANGES)
def test_what_changed_is_named_and_gives_another_digest(changes: dict[str, Any], sentence: str) -> None:
    now = bound(**changes)
    assert digest(now) != digest(bound())
    assert what_changed(bound(), now, "bob") == sentence


@pytest.mark.parametrize(("changes", "sentence"), CHANGES)
def test_back_again_is_a_change_too(changes: dict[str, Any], sentence: str) -> None:
    assert what_changed(bound(**changes), bound(), "bob") == sentence


HASH = "0" * 64
CHANGED = "The Job's code changed after bob approved it."


@pytest.mark.parametrize(
    ("approved", "now", "hint"),
    [
        pytest.param(f"2::{HASH}", f"2::{HASH[1:]}1", "", id="source that changed"),
        pytest.param(
            f"2::{HASH}", NO_CODE, " The worker has no code of it that it can load.", id="source, and there is no code"
        ),
        pytest.param(f"2:cpython-311:{HASH}", f"2::{HASH}", "", id="bytecode, and there is source"),
        pytest.param(f"2::{HASH}", f"2:cpython-311:{HASH}", "", id="source, and there is bytecode"),
        pytest.param(f"2:cpython-311:{HASH}", f"2:cpython-311:{HASH[1:]}1", "", id="bytecode of the same Python"),
        pytest.param(
            f"2:cpython-311:{HASH}",
            f"2:cpython-312:{HASH}",
            " Part of it is there without source, as bytecode of cpython-311; the worker has cpython-312.",
            id="bytecode of another Python",
        ),
        pytest.param(
            f"2:cpython-311:{HASH}",
            NO_CODE,
            " The worker has no code of it that it can load.",
            id="bytecode that cannot be loaded",
        ),
        pytest.param(
            f"2::{HASH}",
            HASH,
            " The worker has an earlier version of signoff, which compares the Job's module alone; update it.",
            id="a digest of the first scheme, where another was approved",
        ),
        pytest.param(HASH, f"{HASH[1:]}1", "", id="both of the first scheme"),
        pytest.param(HASH, f"2::{HASH}", "", id="another scheme than the first"),
    ],
)
def test_why_code_differs_is_told_if_nobody_need_have_changed_it(approved: str, now: str, hint: str) -> None:
    assert what_changed(bound(code=approved), bound(code=now), "bob") == CHANGED + hint


@pytest.mark.parametrize("code", [HASH, f"2::{HASH}", f"2:cpython-311:{HASH}"])
def test_the_part_of_the_code_keeps_its_scheme_and_hides_its_digest(code: str) -> None:
    part = bound(code=code)["code"]
    assert part.rpartition(":")[0] == code.rpartition(":")[0]
    assert HASH not in part
    assert is_of_module_alone(part) == is_of_module_alone(code) == (code == HASH)


def test_the_sentence_names_who_approved() -> None:
    assert what_changed(bound(), bound(queue="x"), "Ann Other") == "The queue changed after Ann Other approved it."


@pytest.mark.parametrize("part", [pytest.param(part, id=f"without {words}") for part, words in PARTS.items()])
def test_a_binding_that_lacks_a_part_does_not_fit(part: str) -> None:
    lacking = {name: value for name, value in bound().items() if name != part}
    sentence = what_changed(lacking, bound(), "bob")
    assert sentence.lower() == f"{PARTS[part]} changed after bob approved it.".lower()
    assert digest(lacking) != digest(bound())


def test_every_part_has_words_and_is_bound() -> None:
    assert set(bound()) == set(PARTS) == set(REQUEST)


def test_the_same_value_in_another_part_is_something_else() -> None:
    assert digest(bound(job="x", queue="y")) != digest(bound(job="y", queue="x"))


def test_what_is_bound_does_not_change_with_the_inputs_that_it_was_made_of() -> None:
    inputs = {"count": 3}
    made = bound(inputs=inputs)
    inputs["count"] = 4
    assert made == bound(inputs={"count": 3})


# Nothing to be read


def test_no_input_can_be_read_in_the_binding() -> None:
    kept = json.dumps(dict(bound(inputs={"password": "correct horse", "site": "Graz"})))
    for secret in ("password", "correct horse", "horse", "site", "Graz"):
        assert secret not in kept


def is_hash(text: str) -> bool:
    return len(text) == 64 and set(text) <= set(string.digits + "abcdef")


# Whatever the inputs

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
INPUTS = st.dictionaries(st.text(max_size=5), JSON, max_size=5)


def reordered(value: Any) -> Any:
    """Return an equal value whose objects list their keys the other way round."""
    if isinstance(value, Mapping):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(each) for each in value] if isinstance(value, list) else value


def same_json(one: Any, other: Any) -> bool:
    """Say whether two JSON values are the same; unlike in Python, ``true``, ``1`` and ``1.0`` are three of them."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


@given(INPUTS)
def test_the_order_of_keys_never_matters(inputs: dict[str, Any]) -> None:
    assert bound(inputs=reordered(inputs)) == bound(inputs=inputs)


@given(INPUTS)
def test_inputs_that_come_back_from_the_store_bind_equally(inputs: dict[str, Any]) -> None:
    assert bound(inputs=json.loads(json.dumps(inputs))) == bound(inputs=inputs)


@given(INPUTS, INPUTS)
def test_inputs_bind_equally_only_if_they_are_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = bound(inputs=one), bound(inputs=other)
    same = same_json(one, other)
    assert (first == second) is same
    assert (digest(first) == digest(second)) is same
    assert what_changed(first, second, "bob") == ("" if same else "The inputs changed after bob approved it.")


@given(INPUTS, st.text(max_size=5), JSON)
def test_any_input_that_is_set_otherwise_is_a_change(inputs: dict[str, Any], name: str, value: Any) -> None:
    changed = {**inputs, name: value}
    same = name in inputs and same_json(inputs[name], value)
    assert (digest(bound(inputs=changed)) == digest(bound(inputs=inputs))) is same


@given(INPUTS)
def test_a_binding_is_hashes_whatever_the_inputs(inputs: dict[str, Any]) -> None:
    made = bound(inputs=inputs)
    assert set(made) == set(PARTS)
    assert all(map(is_hash, made.values()))
    assert is_hash(digest(made))


TEXTS = st.text(max_size=5)
BINDINGS = st.fixed_dictionaries(
    {
        "job": TEXTS,
        "code": TEXTS,
        "inputs": st.dictionaries(TEXTS, st.integers(), max_size=2),
        "schedule": st.lists(TEXTS, max_size=4).map(tuple),
        "queue": TEXTS,
        "job_variables": st.dictionaries(TEXTS, TEXTS, max_size=2),
    }
)


@given(BINDINGS, BINDINGS, st.sets(st.sampled_from(sorted(PARTS))))
def test_exactly_the_parts_that_differ_are_told(one: dict[str, Any], other: dict[str, Any], kept: set[str]) -> None:
    other = {**other, **{part: one[part] for part in kept}}
    first, second = bind(**one), bind(**other)
    differ = {part for part in PARTS if one[part] != other[part]}
    assert {part for part in PARTS if first.get(part) != second.get(part)} == differ
    assert (digest(first) == digest(second)) is (not differ)
    sentence = what_changed(first, second, "bob").removesuffix(" changed after bob approved it.").lower()
    told = set(sentence.replace(" and ", ", ").split(", ")) - {""}
    assert told == {PARTS[part].lower() for part in differ}
