"""A web server and a mail server that take messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api_shim.delivery.receivers import Mailbox, Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as made:
        yield made
