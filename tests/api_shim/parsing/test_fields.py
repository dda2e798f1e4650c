"""What all bodies are read with: an object, and words for true and false."""

from __future__ import annotations

from typing import Any

import pytest

from api_shim.parsing.fields import read_object, truth_of
from approval_gate.errors import Invalid


def test_an_object_is_read_as_it_is() -> None:
    assert read_object({"a": 1}) == {"a": 1}


@pytest.mark.parametrize(("body", "kind"), [([], "list"), ("a", "str"), (None, "NoneType"), (1, "int")])
def test_what_has_no_fields_is_refused_by_its_kind(body: Any, kind: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_object(body)
    assert caught.value.detail == {
        "non_field_errors": [f"Invalid data. Expected a dictionary, but got {kind}."],
    }


@pytest.mark.parametrize(
    ("word", "truth"),
    [(word, True) for word in ("true", "True", "1", "yes", "ON")]
    + [(word, False) for word in ("false", "FALSE", "0", "no", "off")]
    + [(word, None) for word in ("", " true", "2", "y", "none", "wahr")],
)
def test_words_for_true_and_false(word: str, truth: bool | None) -> None:
    assert truth_of(word) is truth
