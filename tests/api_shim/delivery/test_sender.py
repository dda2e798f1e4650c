"""Which way a message goes."""

from __future__ import annotations

import pytest

from api_shim.delivery.mail import NO_ADDRESS, NO_SERVER, MailServer
from api_shim.delivery.sender import Delivery
from api_shim.domain.notifications import Message, Way
from api_shim.settings import MailTls
from approval_gate.addresses import reachable_with
from approval_gate.errors import Invalid
from tests.api_shim.delivery.receivers import Mailbox, Receiver

MESSAGE = Message(subject="signoff: a run failed", body="A run failed.\n", key="1")


def delivery(mailbox: Mailbox) -> Delivery:
    server = MailServer(
        host="127.0.0.1", port=mailbox.port, tls=MailTls.NONE, user="", password="", sender="a@example.com"
    )
    return Delivery(server, reachable_with("127.0.0.0/8"))


def test_each_way_leads_to_its_own(mailbox: Mailbox, receiver: Receiver) -> None:
    both = delivery(mailbox)
    both.send(Way.MAIL, "bob@example.com", MESSAGE)
    both.send(Way.APPRISE, receiver.address, MESSAGE)
    assert ([mail["To"] for mail in mailbox.taken], len(receiver.taken)) == (["bob@example.com"], 1)
    assert both.label(Way.MAIL, "bob@example.com") == "bob@example.com"
    assert both.label(Way.APPRISE, receiver.address) == f"json://127.0.0.1:{receiver.port}/…"


@pytest.mark.parametrize(("address", "why"), [("bob@example.com", NO_SERVER), ("bob", NO_SERVER)])
def test_without_a_mail_server_no_mailbox_is_taken(address: str, why: str) -> None:
    assert not Delivery().has_mail
    with pytest.raises(Invalid) as caught:
        Delivery().label(Way.MAIL, address)
    assert caught.value.detail == {"address": [why]}


def test_what_is_no_mailbox_is_not_taken(mailbox: Mailbox) -> None:
    with pytest.raises(Invalid) as caught:
        delivery(mailbox).label(Way.MAIL, "bob")
    assert caught.value.detail == {"address": [NO_ADDRESS]}
