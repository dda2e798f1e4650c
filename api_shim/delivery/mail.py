"""Sends mail by the mail server of the settings.

* A password goes to the server over TLS, or within this machine.
* Mail is plain text, and the same as a simple page of HTML: nothing is fetched for that, nothing in it counts who reads
  it, and whatever others have written stays text. It is marked as written by a program, so that nobody's answer on
  holidays comes back.
* What is sent again, because nobody knows whether it was, has the same id: mail programs show it once.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api_shim.domain.notifications import Message, Undeliverable
from api_shim.settings import MailTls, Settings
from approval_gate.addresses import is_loopback
from approval_gate.errors import Invalid

SECONDS = 10.0
LONGEST = 254
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")

NO_ADDRESS = "Enter the address of a mailbox, such as bob@example.com."
NO_SERVER = "This server has no mail server to send mail by."
REFUSED = "The mail server does not take mail for this address."
FAILED = "The mail server cannot be reached, or did not take the message."

ENCODING = "quoted-printable"
"""What every mail server takes, however long a line is."""
templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MailServer:
    """The mail server.

    Args:
        host: its name or address.
        port: its port.
        tls: how the connection is encrypted.
        user: who signs in; empty for nobody.
        password: their password.
        sender: the address that mail comes from.
    """

    host: str
    port: int
    tls: MailTls
    user: str
    password: str = field(repr=False)
    sender: str


def mail_server_of(settings: Settings) -> MailServer | None:
    """Return the mail server of the settings; None without one.

    Raises:
        Invalid: what is told of it does not do.
    """
    if not settings.smtp_host:
        return None
    password = settings.smtp_password.get_secret_value() if settings.smtp_password else ""
    if ADDRESS.fullmatch(parseaddr(settings.smtp_from)[1]) is None:
        raise Invalid("SIGNOFF_SMTP_FROM: Set the address that mail comes from, as SIGNOFF_SMTP_HOST is set.")
    if password and settings.smtp_tls is MailTls.NONE and not is_loopback(settings.smtp_host):
        raise Invalid("SIGNOFF_SMTP_TLS: A password is not sent to another machine without TLS.")
    return MailServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        tls=settings.smtp_tls,
        user=settings.smtp_user,
        password=password,
        sender=settings.smtp_from,
    )


def check_mailbox(address: str) -> None:
    """Check that mail can be sent to an address.

    Raises:
        Invalid: it is none.
    """
    if len(address) > LONGEST or ADDRESS.fullmatch(address) is None:
        raise Invalid({"address": [NO_ADDRESS]})


def send(server: MailServer | None, address: str, message: Message) -> None:
    """Send a message.

    Args:
        server: the mail server; None if there is none.
        address: of the mailbox.
        message: it.

    Raises:
        Undeliverable: it was not taken.
    """
    if server is None:
        raise Undeliverable(NO_SERVER)
    try:
        with _connected(server) as client:
            if server.tls is MailTls.STARTTLS:
                client.starttls(context=ssl.create_default_context())
            if server.user:
                client.login(server.user, server.password)
            client.send_message(_written(server, address, message))
    except smtplib.SMTPRecipientsRefused:
        # What the server says of others' mailboxes is not for whoever gave this one.
        raise Undeliverable(REFUSED) from None
    except (smtplib.SMTPException, OSError):
        raise Undeliverable(FAILED) from None


def _connected(server: MailServer) -> smtplib.SMTP:
    if server.tls is MailTls.TLS:
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(server.host, server.port, timeout=SECONDS, context=context)
    return smtplib.SMTP(server.host, server.port, timeout=SECONDS)


def _written(server: MailServer, address: str, message: Message) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = server.sender, address, message.subject
    mail["Message-ID"] = f"<{message.key}@{parseaddr(server.sender)[1].rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.body, cte=ENCODING)
    page = templates.get_template("mail.html").render(message=message)
    mail.add_alternative(page, subtype="html", cte=ENCODING)
    return mail
