"""The forms about notifications."""

from __future__ import annotations

import pytest

from api_shim.domain.notifications import Frequency, Topic, Way
from api_shim.parsing.notification import (
    ADDRESS,
    FREQUENCY,
    HOUR,
    TOO_LONG,
    UNPRINTABLE,
    WAY,
    Choice,
    read_choice,
    read_target,
)
from approval_gate.errors import Invalid


def test_what_is_chosen_is_read_in_its_own_order_without_what_there_is_not() -> None:
    topics = ["run-failed", "request-waiting", "test", "anything"]
    read = read_choice(topics, {"frequency": "daily", "hour": "07"})
    assert read == Choice(topics=(Topic.WAITING, Topic.FAILED), frequency=Frequency.DAILY, hour=7)


@pytest.mark.parametrize(
    ("form", "faults"),
    [
        ({"frequency": "daily", "hour": "24"}, {"hour": [HOUR]}),
        ({"frequency": "daily", "hour": "-1"}, {"hour": [HOUR]}),
        ({"frequency": "daily", "hour": "٣"}, {"hour": [HOUR]}),
        ({"frequency": "weekly", "hour": "1"}, {"frequency": [FREQUENCY]}),
        ({}, {"frequency": [FREQUENCY], "hour": [HOUR]}),
    ],
)
def test_what_cannot_be_chosen_is_refused(form: dict[str, str], faults: dict[str, list[str]]) -> None:
    with pytest.raises(Invalid) as caught:
        read_choice([], form)
    assert caught.value.detail == faults


def test_a_target_is_read() -> None:
    assert read_target({"way": "mail", "address": " bob@example.com "}) == (Way.MAIL, "bob@example.com")


@pytest.mark.parametrize(
    ("way", "address", "faults"),
    [
        ("pigeon", "secret", {"way": [WAY]}),
        ("mail", " ", {"address": [ADDRESS]}),
        ("apprise", "json://secret/" + "x" * 2000, {"address": [TOO_LONG]}),
        ("apprise", "json://secret\n/", {"address": [UNPRINTABLE]}),
        ("apprise", "json://a json://secret", {"address": [UNPRINTABLE]}),
        ("apprise", "json://secret\0", {"address": [UNPRINTABLE]}),
    ],
)
def test_what_is_no_target_is_refused_without_its_address(way: str, address: str, faults: dict[str, list[str]]) -> None:
    with pytest.raises(Invalid) as caught:
        read_target({"way": way, "address": address})
    assert caught.value.detail == faults
    assert "secret" not in str(caught.value)
