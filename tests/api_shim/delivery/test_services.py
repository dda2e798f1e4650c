"""What is sent by apprise, and to which addresses nothing is."""

from __future__ import annotations

import logging
import time

import apprise
import pytest

from api_shim.delivery.services import (
    BROKEN,
    FAILED,
    MOST_RECEIVERS,
    NO_SERVICE,
    NOT_PUBLIC,
    OF_A_HOST,
    OF_A_VENDOR,
    TEMPLATE,
    TOO_MANY,
    label_of,
    send,
)
from api_shim.domain.notifications import Message, Undeliverable
from approval_gate.addresses import Reachable, reachable_with
from approval_gate.errors import Invalid
from tests.api_shim.delivery.receivers import Receiver

PUBLIC_ALONE, THIS_MACHINE = Reachable(), reachable_with("127.0.0.0/8, ::1")
MESSAGE = Message(
    subject="signoff: a run failed", body="A run of Compact failed.\nhttps://signoff.example/x\n", key="1"
)
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


def test_a_message_is_taken_as_it_is(receiver: Receiver) -> None:
    send(receiver.address, MESSAGE, THIS_MACHINE)
    [taken] = receiver.taken
    assert (taken["title"], taken["message"].strip()) == (MESSAGE.subject, MESSAGE.body.strip())


REFUSED = {
    "a file": "file:///etc/passwd",
    "a desktop": "dbus://",
    "another": "gnome://",
    "a Mac": "macosx://",
    "a Windows": "windows://",
    "the log of this machine": "syslog://",
    "the log of another": "rsyslog://10.0.0.1",
    "a lamp": "blink1://",
    "mail by another server": "mailto://user:pass@example.com",
    "a broker": "mqtt://10.0.0.1/topic",
    "a configuration elsewhere": "https://example.com/config",
    "no address": "bob",
    "nothing": "",
    "capitals": "FILE:///etc/passwd",
}


@pytest.mark.parametrize("address", REFUSED.values(), ids=list(REFUSED))
def test_services_that_are_not_listed_are_refused(address: str) -> None:
    with pytest.raises(Invalid) as caught:
        label_of(address, THIS_MACHINE)
    assert caught.value.detail == {"address": [NO_SERVICE]}
    with pytest.raises(Undeliverable):
        send(address, MESSAGE, THIS_MACHINE)


WITH_TEMPLATES = {
    "Slack": f"{SLACK}?template=/etc/passwd",
    "Discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?template=file:///etc/passwd",
    "Telegram": "tgram://123456789:abcdefg_hijklmnop/12315544/?template=/etc/passwd",
    "a workflow": "workflows://example.com/abc/def?template=/etc/passwd",
    "from elsewhere": f"{SLACK}?template=https://example.com/template",
}


@pytest.mark.parametrize("address", WITH_TEMPLATES.values(), ids=list(WITH_TEMPLATES))
def test_no_file_of_this_machine_is_a_template(address: str) -> None:
    with pytest.raises(Invalid) as caught:
        label_of(address, PUBLIC_ALONE)
    assert caught.value.detail == {"address": [TEMPLATE]}
    with pytest.raises(Undeliverable):
        send(address, MESSAGE, PUBLIC_ALONE)


NOT_CALLED = {
    "this machine": "json://127.0.0.1:{port}/x",
    "its name": "json://localhost:{port}/x",
    "its name as a domain": "json://localhost.:{port}/x",
    "one number": "json://2130706433:{port}/x",
    "a short number": "json://127.1:{port}/x",
    "hexadecimal": "json://0x7f000001:{port}/x",
    "IPv6": "json://[::1]:{port}/x",
    "IPv4 within IPv6": "json://[::ffff:127.0.0.1]:{port}/x",
    "a form": "form://127.0.0.1:{port}/x",
    "by the address of a user": "json://example.com@127.0.0.1:{port}/x",
    "that asks to follow": "json://127.0.0.1:{port}/x?redirect=yes&verify=no",
}


@pytest.mark.parametrize("address", NOT_CALLED.values(), ids=list(NOT_CALLED))
def test_this_machine_is_not_called_however_it_is_written(receiver: Receiver, address: str) -> None:
    address = address.format(port=receiver.port)
    with pytest.raises(Undeliverable) as caught:
        send(address, MESSAGE, PUBLIC_ALONE)
    assert (str(caught.value), receiver.taken) == (FAILED, [])
    with pytest.raises(Invalid) as refused:
        label_of(address, PUBLIC_ALONE)
    assert refused.value.detail in ({"address": [NOT_PUBLIC]}, {"address": [BROKEN]})


def test_a_name_is_what_it_means_when_it_is_called(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"json://rebound.example:{receiver.port}/x"
    assert label_of(address, PUBLIC_ALONE) == f"json://rebound.example:{receiver.port}/…"
    monkeypatch.setattr("socket.getaddrinfo", _this_machine)
    with pytest.raises(Undeliverable):
        send(address, MESSAGE, PUBLIC_ALONE)
    assert receiver.taken == []
    send(address, MESSAGE, THIS_MACHINE)


def _this_machine(_host: object, port: object, *_how: object, **_named: object) -> list[object]:
    return [(2, 1, 6, "", ("127.0.0.1", port))]


@pytest.mark.parametrize("asks", ["", "&redirect=yes"])
def test_nobody_is_sent_elsewhere(receiver: Receiver, asks: str) -> None:
    with Receiver() as other:
        receiver.status, receiver.leads_to = 307, f"http://127.0.0.1:{other.port}/"
        with pytest.raises(Undeliverable):
            send(receiver.address + asks, MESSAGE, THIS_MACHINE)
        assert (len(receiver.taken), other.taken) == (1, [])


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_what_is_refused_is_not_delivered(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(Undeliverable):
        send(receiver.address, MESSAGE, THIS_MACHINE)


def test_an_address_names_a_few_receivers_at_most() -> None:
    named = "ntfys://ntfy.example.com/" + "/".join(f"topic{number}" for number in range(MOST_RECEIVERS))
    assert label_of(named, PUBLIC_ALONE) == "ntfys://ntfy.example.com/…"
    with pytest.raises(Invalid) as caught:
        label_of(f"{named}/another", PUBLIC_ALONE)
    assert caught.value.detail == {"address": [TOO_MANY]}


def test_receivers_of_one_address_do_not_wait_for_each_other(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"It waits for {seconds} s."))
    send(f"ntfy://127.0.0.1:{receiver.port}/one/two", MESSAGE, THIS_MACHINE)
    assert {taken["topic"] for taken in receiver.taken} == {"one", "two"}


@pytest.mark.parametrize(
    ("address", "label"),
    [
        (SLACK, "slack://…"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "discord://…"),
        ("jsons://user:secret@hooks.example.com/secret?+X-Key=secret", "jsons://hooks.example.com/…"),
        ("ntfy://secret-topic", "ntfy://…"),
        ("ntfys://secret-topic?mode=cloud", "ntfys://…"),
        ("ntfys://ntfy.example.com/secret-topic", "ntfys://ntfy.example.com/…"),
        ("gotifys://gotify.example.com:8443/secret-token", "gotifys://gotify.example.com:8443/…"),
    ],
)
def test_no_secret_is_shown(address: str, label: str) -> None:
    assert label_of(address, PUBLIC_ALONE) == label


def test_no_secret_is_logged(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.status = 500
    with caplog.at_level(logging.DEBUG, logger="apprise"), caplog.at_level(logging.DEBUG, logger="signoff"):
        with pytest.raises(Undeliverable) as caught:
            send(receiver.address, MESSAGE, THIS_MACHINE)
        with pytest.raises(Invalid) as broken:
            label_of("slack://secret1/secret2", PUBLIC_ALONE)
    assert "secret" not in f"{caplog.text} {caught.value} {broken.value}"


def test_what_is_listed_there_is() -> None:
    known = {word for each in apprise.Apprise().details()["schemas"] for word in _schemas(each)}
    assert known >= OF_A_HOST | OF_A_VENDOR


def _schemas(service: dict[str, tuple[str, ...] | None]) -> set[str]:
    return {*(service["protocols"] or ()), *(service["secure_protocols"] or ())}
