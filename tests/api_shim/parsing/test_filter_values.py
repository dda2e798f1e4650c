"""How a query writes values: what can be read, and the sentence for what cannot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from api_shim.parsing.filters import FLAG, ID, NUMBER, TEXT, TIME, WHOLE, WORDS, Kind, one_of

SOME_ID = UUID("11111111-1111-4111-8111-111111111111")
COLOUR = one_of(["red", "blue"])


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        pytest.param(TEXT, "", "", id="empty text"),
        pytest.param(TEXT, "$user", "$user", id="text that means the caller in a constraint"),
        pytest.param(ID, str(SOME_ID), SOME_ID, id="an id"),
        pytest.param(ID, SOME_ID.hex.upper(), SOME_ID, id="an id without dashes"),
        pytest.param(FLAG, "True", True, id="true"),
        pytest.param(FLAG, "1", True, id="one"),
        pytest.param(FLAG, "off", False, id="off is false"),
        pytest.param(TIME, "2030-01-31T08:00:00Z", datetime(2030, 1, 31, 8, tzinfo=UTC), id="a time"),
        pytest.param(TIME, "2030-01-31T08:00:00+02:00", datetime(2030, 1, 31, 6, tzinfo=UTC), id="a time elsewhere"),
        pytest.param(TIME, "2030-01-31", datetime(2030, 1, 31, tzinfo=UTC), id="a day begins in UTC"),
        pytest.param(NUMBER, "-1.5e3", -1500.0, id="a number"),
        pytest.param(WHOLE, "-12", -12, id="a whole number"),
        pytest.param(COLOUR, "red", "red", id="a choice"),
    ],
)
def test_a_value_is_read(kind: Kind, text: str, value: Any) -> None:
    assert kind.read(text) == value
    assert type(kind.read(text)) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        pytest.param(TEXT, "a\0b", "A text may not have null characters.", id="a null character"),
        pytest.param(ID, "x" * 1000, f"“{'x' * 100}” is not a valid UUID.", id="a long id that is none"),
        pytest.param(FLAG, "maybe", "Must be true or false.", id="maybe"),
        pytest.param(FLAG, "", "Must be true or false.", id="an empty flag"),
        pytest.param(TIME, "tomorrow", "Enter a valid date/time.", id="tomorrow"),
        pytest.param(TIME, "0001-01-01T00:00:00+14:00", "Enter a valid date/time.", id="before all time"),
        pytest.param(NUMBER, "nan", "Enter a number.", id="no number"),
        pytest.param(NUMBER, "1e999", "Enter a number.", id="infinity"),
        pytest.param(WHOLE, "1.5", "Enter a whole number.", id="a half"),
        pytest.param(WHOLE, "9" * 30, "Enter a whole number.", id="more than a database counts"),
        pytest.param(WHOLE, "²", "Enter a whole number.", id="a digit that is no number"),
        pytest.param(
            COLOUR, "green", "Select a valid choice. green is not one of the available choices.", id="no choice"
        ),
    ],
)
def test_what_cannot_be_read_is_one_sentence(kind: Kind, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        kind.read(text)
    assert str(caught.value) == sentence


def test_texts_have_every_suffix_of_the_contract_and_its_opposite() -> None:
    assert WORDS.keys() == {"", "n", "ic", "nic", "ie", "nie", "isw", "nisw", "iew", "niew"}
    assert TIME.suffixes.keys() == NUMBER.suffixes.keys() == {"", "n", "gt", "gte", "lt", "lte"}
