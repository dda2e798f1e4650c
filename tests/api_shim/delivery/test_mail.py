"""What is sent by mail, by a mail server that takes it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from email.message import EmailMessage
from html.parser import HTMLParser
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
from api_shim.domain.notifications import Message, Paragraph, Undeliverable
from api_shim.settings import MailTls, Settings
from approval_gate.errors import Invalid
from tests.api_shim.delivery.receivers import Mailbox

MANAGE = "https://signoff.example/signoff/notifications"
WAITS = Paragraph("“nächtlich” waits for your approval", ("It is time.",), "https://signoff.example/1", "request")
MESSAGE = Message(
    subject="signoff: “nächtlich” waits for your approval",
    body="It waits.\n\nhttps://x/\n",
    key="17",
    paragraphs=(WAITS,),
    manage=MANAGE,
)
HOSTILE = '</p><script>alert(1)</script><img src=https://evil.example/x.png> & {{ 7 * 7 }} " onload="x'


class Elements(HTMLParser):
    """What a page of HTML consists of.

    Attributes:
        tags: the elements, in their order.
        attributes: what they have, by name.
        text: what is read.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, list[str | None]] = defaultdict(list)
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes[name].append(value)

    def handle_data(self, data: str) -> None:
        self.text += data


def part(mail: EmailMessage, kind: str) -> str:
    """Return what mail says as plain text, or as HTML."""
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r", "")


def sent(mailbox: Mailbox, *paragraphs: Paragraph) -> Elements:
    """Send a message, and return its page of HTML."""
    send(server(mailbox), "bob@example.com", replace(MESSAGE, paragraphs=paragraphs))
    return Elements(part(mailbox.taken[-1], "html"))


def server(mailbox: Mailbox, **to: Any) -> MailServer:
    told = MailServer(
        host="127.0.0.1", port=mailbox.port, tls=MailTls.NONE, user="", password="", sender="signoff <a@example.com>"
    )
    return replace(told, **to)


def test_mail_is_text_of_a_program_to_one_person(mailbox: Mailbox) -> None:
    send(server(mailbox), "bob@example.com", MESSAGE)
    [mail] = mailbox.taken
    assert (mail["From"], mail["To"], mail["Subject"]) == (
        "signoff <a@example.com>",
        "bob@example.com",
        MESSAGE.subject,
    )
    assert (mail["Auto-Submitted"], mail["Message-ID"]) == ("auto-generated", "<17@example.com>")
    assert mail.get_content_type() == "multipart/alternative"
    # What is last is shown by who can.
    assert [each.get_content_type() for each in mail.iter_parts()] == ["text/plain", "text/html"]
    assert part(mail, "plain") == MESSAGE.body


def test_the_page_of_html_says_the_same_and_leads_to_the_same(mailbox: Mailbox) -> None:
    page = sent(mailbox, WAITS)
    assert page.attributes["href"] == [WAITS.link, MANAGE]
    assert (page.attributes["lang"], page.tags.count("h1")) == (["en"], 1)
    assert f"{WAITS.line}.\n{WAITS.more[0]}\nOpen the request\n" in page.text


def test_several_are_one_page_with_a_heading_for_each(mailbox: Mailbox) -> None:
    page = sent(mailbox, WAITS, replace(WAITS, line="A run of Compact failed", page="result"), Paragraph("A test"))
    assert [tag for tag in page.tags if tag in ("h1", "h2")] == ["h1", "h2", "h2", "h2"]
    assert page.attributes["href"] == [WAITS.link, WAITS.link, MANAGE]
    assert "3 notifications" in page.text


def test_what_others_have_written_stays_text_and_nothing_is_fetched_or_run(mailbox: Mailbox) -> None:
    usual = sent(mailbox, WAITS)
    page = sent(mailbox, replace(WAITS, line=HOSTILE, more=(HOSTILE,)))
    assert page.text.count(HOSTILE) == 2
    assert (page.tags, page.attributes) == (usual.tags, usual.attributes)
    assert {"script", "img", "link", "iframe", "form", "style"}.isdisjoint(page.tags)
    assert not {name for name in page.attributes if name == "src" or name.startswith("on")}


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
