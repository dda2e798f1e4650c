"""What is sent by mail, by a mail server that takes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api_shim.delivery.mail import (
    FAILED,
    NO_SERVER,
    REFUSED,
    MailServer,
    check_mailbox,
    mail_server_of,
    send,
)
from api_shim.domain.notifications import Message, Undeliverable
from api_shim.settings import MailTls, Settings
from approval_gate.errors import Invalid
from tests.api_shim.delivery.receivers import Mailbox

MESSAGE = Message(subject="signoff: “nächtlich” waits for your approval", body="It waits.\n\nhttps://x/\n", key="17")


def server(mailbox: Mailbox, **to: Any) -> MailServer:
    told = MailServer(
        host="127.0.0.1", port=mailbox.port, tls=MailTls.NONE, user="", password="", sender="signoff <a@example.com>"
    )
    return replace(told, **to)


def test_mail_is_plain_text_of_a_program_to_one_person(mailbox: Mailbox) -> None:
    send(server(mailbox), "bob@example.com", MESSAGE)
    [mail] = mailbox.taken
    assert (mail["From"], mail["To"], mail["Subject"]) == (
        "signoff <a@example.com>",
        "bob@example.com",
        MESSAGE.subject,
    )
    assert (mail["Auto-Submitted"], mail["Message-ID"]) == ("auto-generated", "<17@example.com>")
    assert (mail.get_content_type(), mail.get_content().replace("\r", "")) == ("text/plain", MESSAGE.body)


def test_who_has_a_password_signs_in(mailbox: Mailbox) -> None:
    send(server(mailbox, user="us", password="open sesame"), "bob@example.com", MESSAGE)
    assert (mailbox.signed_in, len(mailbox.taken)) == (["us"], 1)


@pytest.mark.parametrize(
    ("to", "address", "why"),
    [
        pytest.param({}, "gone@example.com", REFUSED, id="no such mailbox"),
        pytest.param({"user": "us", "password": "wrong"}, "bob@example.com", FAILED, id="a wrong password"),
        pytest.param({"tls": MailTls.STARTTLS}, "bob@example.com", FAILED, id="no TLS where it is asked for"),
        pytest.param({"port": 1}, "bob@example.com", FAILED, id="nobody there"),
    ],
)
def test_what_cannot_be_sent_is_told_without_a_secret(
    mailbox: Mailbox, to: dict[str, Any], address: str, why: str
) -> None:
    mailbox.refuses.add("gone@example.com")
    with pytest.raises(Undeliverable) as caught:
        send(server(mailbox, **to), address, MESSAGE)
    assert (str(caught.value), mailbox.taken) == (why, [])
    assert "wrong" not in repr(server(mailbox, **to))


def test_without_a_mail_server_there_is_no_mail() -> None:
    assert mail_server_of(Settings()) is None
    with pytest.raises(Undeliverable, match=NO_SERVER):
        send(None, "bob@example.com", MESSAGE)


@pytest.mark.parametrize("address", ["bob@example.com", "b.o+b@mail.example.co.uk", "bob@localhost"])
def test_a_mailbox_is_taken(address: str) -> None:
    check_mailbox(address)


@pytest.mark.parametrize(
    "address",
    [
        *("", "bob", "@example.com", "bob@", "bob@example..com", "bob@example.com, eve@example.com"),
        *("bob@example.com\nBcc: eve@example.com", "Bob <bob@example.com>", "bob@exämple.com", f"{'b' * 65}@x.com"),
        *("bob@[127.0.0.1]", f"bob@{'a.' * 130}com", "bob@example.com\r\n"),
    ],
)
def test_what_is_no_mailbox_is_refused(address: str) -> None:
    with pytest.raises(Invalid):
        check_mailbox(address)


# Settings


@pytest.fixture
def _told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_SMTP_HOST", "mail.example.com")
    monkeypatch.setenv("SIGNOFF_SMTP_FROM", "signoff <a@example.com>")


@pytest.mark.usefixtures("_told")
def test_the_settings_say_which_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (file := tmp_path / "password").write_text("open sesame\n")
    monkeypatch.setenv("SIGNOFF_SMTP_USER", "us")
    monkeypatch.setenv("SIGNOFF_SMTP_PASSWORD_FILE", str(file))
    assert mail_server_of(settings := Settings()) == MailServer(
        host="mail.example.com",
        port=587,
        tls=MailTls.STARTTLS,
        user="us",
        password="open sesame",
        sender="signoff <a@example.com>",
    )
    assert "sesame" not in repr(settings)
    assert file in settings.kept_from_jobs


@pytest.mark.usefixtures("_told")
@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"SMTP_FROM": ""}, "SIGNOFF_SMTP_FROM"),
        ({"SMTP_FROM": "signoff"}, "SIGNOFF_SMTP_FROM"),
        ({"SMTP_TLS": "none", "SMTP_PASSWORD": "open sesame"}, "SIGNOFF_SMTP_TLS"),
    ],
)
def test_settings_that_do_not_do_are_refused(monkeypatch: pytest.MonkeyPatch, told: dict[str, str], why: str) -> None:
    for name, value in told.items():
        monkeypatch.setenv(f"SIGNOFF_{name}", value)
    with pytest.raises(Invalid, match=why) as caught:
        mail_server_of(Settings())
    assert "sesame" not in str(caught.value)
