"""Exports of the audit: what is read as one, and what is found to have changed since."""

from __future__ import annotations

from typing import Any

import pytest

from api_shim.domain.audit import AuditEvent, AuditHead, EventType, chain_events, shape
from api_shim.domain.audit_export import exported, read_export
from api_shim.domain.audit_key import AuditKey
from approval_gate.errors import Invalid
from tests.factories import NOW

KEY = AuditKey(b"k" * 32)


def chain(*names: str) -> list[AuditEvent]:
    return chain_events([AuditEvent(at=NOW, act=EventType.REQUESTED, name=name) for name in names], AuditHead())


EVENTS = chain(*"abc")
HEAD = KEY.sign(AuditHead(number=3, hash=EVENTS[-1].hash))
LINES = list(exported(EVENTS, HEAD))
UNSIGNED = [shape(event) for event in EVENTS]


def test_the_last_line_alone_has_the_signature() -> None:
    assert [*UNSIGNED[:-1], {**UNSIGNED[-1], "key": KEY.public, "signature": HEAD.signature}] == LINES
    assert read_export(LINES).head == HEAD


@pytest.mark.parametrize(
    ("lines", "signed_from", "genuine"),
    [
        pytest.param(LINES, 1, True, id="signed"),
        pytest.param(UNSIGNED, 1, False, id="not signed, where all was"),
        pytest.param(UNSIGNED, 3, False, id="not signed, where its last event was"),
        pytest.param(UNSIGNED, 4, True, id="of before heads were signed"),
        pytest.param(LINES[:2], 1, False, id="without its end"),
        pytest.param(exported(EVENTS, AuditKey(b"o" * 32).sign(HEAD)), 4, False, id="signed with another key"),
    ],
)
def test_an_export_is_genuine_if_the_key_has_signed_it_or_could_not_yet(
    lines: Any, signed_from: int, genuine: bool
) -> None:
    assert read_export(lines).is_genuine(KEY, signed_from) is genuine


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        pytest.param([], "The export has no events.", id="nothing"),
        pytest.param(LINES[1:], "Line 1 of the export is not what was written.", id="no beginning"),
        pytest.param([LINES[0], LINES[2]], "Line 2 of the export is not what was written.", id="a gap"),
        pytest.param([{**LINES[0], "name": "x"}], "Line 1 of the export is not what was written.", id="a change"),
        pytest.param([{**LINES[0], "more": 1}], "Line 1 of the export is not what was written.", id="an addition"),
        pytest.param([{}], "Line 1 of the export is not what was written.", id="an empty line"),
    ],
)
def test_what_is_not_as_it_was_written_is_no_export(lines: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        read_export(lines)


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        pytest.param(EVENTS, "", id="the same"),
        pytest.param(chain(*"abcde"), "", id="more since"),
        pytest.param(chain(*"axcde"), "Event 2 is not what was exported.", id="one rewritten"),
        pytest.param(EVENTS[:2], "Event 3 was exported, and is missing.", id="set back"),
        pytest.param([], "Event 1 was exported, and is missing.", id="nothing left"),
    ],
)
def test_the_first_event_that_differs_is_told(events: list[AuditEvent], sentence: str) -> None:
    assert read_export(LINES).fault(events) == sentence
