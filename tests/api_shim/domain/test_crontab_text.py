"""What a crontab is called in words, and that the words say what it does."""

from __future__ import annotations

import pytest

from api_shim.domain.crontab_text import BOTH_DAYS, in_words, note_on
from approval_gate.errors import Invalid

IN_WORDS = {
    "* * * * *": "Every minute",
    "*/5 * * * *": "Every 5 minutes",
    "0,15,30,45 * * * *": "Every 15 minutes",
    "*/7 * * * *": "At minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour",
    "30 * * * *": "At minute 30 of every hour",
    "0 2 * * *": "At 02:00 every day",
    "0 2 * * 1,5": "At 02:00 on Monday and Friday",
    "0 0 * * 7": "At 00:00 on Sunday",
    "0 9 * * fri-mon": "At 09:00 on Monday and Friday to Sunday",
    "30 5-7/2 * * 5-7": "At 05:30 and 07:30, from Friday to Sunday",
    "*/15 9-17 * * mon-fri": "Every 15 minutes, from 09:00 to 17:59, from Monday to Friday",
    "*/15 9,17 * * *": "Every 15 minutes of hours 9 and 17",
    "* 3 * * *": "Every minute, from 03:00 to 03:59",
    "0 9-17 * * *": "At minute 0 of hours 9 to 17 every day",
    "0 22-4/2 * * *": "At 00:00, 02:00, 04:00 and 22:00 every day",
    "5,7 1,2 * * *": "At 01:05, 01:07, 02:05 and 02:07 every day",
    "0 2 1 * *": "At 02:00 on day 1 of the month",
    "0 2 1,15 * *": "At 02:00 on days 1 and 15 of the month",
    "0 2 29 feb *": "At 02:00 on day 29 of the month in February",
    "0 0 * jun-aug *": "At 00:00 every day, from June to August",
    "0 0 1 1,7 *": "At 00:00 on day 1 of the month in January and July",
}


@pytest.mark.parametrize(
    ("crontab", "note"),
    [("0 0 1 * 1", BOTH_DAYS), ("0 0 1 * *", ""), ("0 0 * * 1", ""), ("0 0 1-31 * 1", ""), ("0 0 1 * 0-6", "")],
)
def test_a_crontab_with_both_kinds_of_days_says_what_that_means(crontab: str, note: str) -> None:
    assert note_on(crontab) == note


@pytest.mark.parametrize("crontab", IN_WORDS)
def test_a_crontab_in_words(crontab: str) -> None:
    assert in_words(crontab) == IN_WORDS[crontab]


@pytest.mark.parametrize(
    ("crontab", "words"),
    [
        ("0 2 13 * fri", "At 02:00 on day 13 of the month that is a Friday"),
        ("0 9 1-7 * mon", "At 09:00 on days 1 to 7 of the month that are a Monday"),
        ("0 9 1,15 * 1,3", "At 09:00 on days 1 and 15 of the month that are a Monday or Wednesday"),
    ],
)
def test_a_day_of_the_month_with_a_day_of_the_week_means_both(crontab: str, words: str) -> None:
    assert in_words(crontab) == words


@pytest.mark.parametrize("crontab", ["", "* * * *", "61 * * * *", "0 0 31 2 *"])
def test_what_is_no_crontab_has_no_words(crontab: str) -> None:
    with pytest.raises(Invalid):
        in_words(crontab)
