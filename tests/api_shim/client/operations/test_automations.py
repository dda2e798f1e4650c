"""Installing automations that are ready-made: what is asked of Prefect, and what is left as it is."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.client.operations.automations import (
    DESCRIPTION,
    NO_BLOCK,
    NO_NOTIFICATIONS,
    NOT_NAMED,
    READY_MADE,
    install_automations,
)
from api_shim.client.protocol import HttpRequest
from approval_gate.errors import Forbidden, Invalid, NotFound

BLOCK = "slack-webhook/operators"


class Prefect:
    """What answers as Prefect does, of one block and of its automations.

    Args:
        block: what it answers about the block.
    """

    def __init__(self, block: Any = None) -> None:
        self.block = block or {"id": str(uuid4()), "block_schema": {"capabilities": ["notify"]}}
        self.automations: list[dict[str, Any]] = []

    def answer(self, step: HttpRequest) -> Any:
        asked: Any = json.loads(step.body or b"null")
        match step.method, step.path.split("/")[-1]:
            case "GET", _ if isinstance(self.block, Exception):
                raise self.block
            case "GET", _:
                return self.block
            case "POST", "filter":
                return [each for each in self.automations if each["name"] in asked["automations"]["name"]["any_"]]
            case "POST", _:
                self.automations.append({"id": str(uuid4()), **asked})
                return self.automations[-1]
            case _, own:
                [known] = [each for each in self.automations if each["id"] == own]
                known.update(asked)
                return None

    def installs(self, block: str = BLOCK) -> list[UUID]:
        talk = install_automations(block)
        step: Any = next(talk)
        try:
            while True:
                try:
                    answer = self.answer(step)
                except Exception as error:
                    step = talk.throw(error)
                else:
                    step = talk.send(answer)
        except StopIteration as over:
            return [each.id for each in over.value]


def test_each_is_installed_once_and_changed_then() -> None:
    prefect = Prefect()
    once = prefect.installs()
    assert {each["name"] for each in prefect.automations} == READY_MADE.keys()
    prefect.automations[0]["enabled"] = False
    assert prefect.installs() == once
    assert len(prefect.automations) == len(READY_MADE)
    assert all(each["enabled"] for each in prefect.automations)


def test_one_that_somebody_has_made_is_left_as_it_is() -> None:
    prefect = Prefect()
    prefect.automations.append(own := {"id": str(uuid4()), "name": "Run refused", "description": "Ours."})
    before = dict(own)
    prefect.installs()
    assert own == before
    assert [each["description"] for each in prefect.automations] == ["Ours.", *[DESCRIPTION] * len(READY_MADE)]


@pytest.mark.parametrize(
    ("block", "found", "error", "why"),
    [
        pytest.param("operators", None, Invalid, NOT_NAMED, id="no type"),
        pytest.param("slack-webhook/", None, Invalid, NOT_NAMED, id="no name"),
        pytest.param(BLOCK, NotFound("Not found."), NotFound, NO_BLOCK.format(block=BLOCK), id="no such block"),
        pytest.param(BLOCK, Forbidden("You may not."), Forbidden, "You may not.", id="not allowed"),
        pytest.param(
            BLOCK,
            {"id": str(uuid4()), "block_schema": {"capabilities": ["read-path"]}},
            Invalid,
            NO_NOTIFICATIONS.format(block=BLOCK),
            id="a block of another kind",
        ),
    ],
)
def test_nothing_is_installed_for_what_cannot_be_told(block: str, found: Any, error: type[Exception], why: str) -> None:
    prefect = Prefect(found)
    with pytest.raises(error) as refused:
        prefect.installs(block)
    assert (str(refused.value), prefect.automations) == (why, [])
