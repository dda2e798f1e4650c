"""What messages are really sent to: a web server that takes JSON, and a mail server."""

from __future__ import annotations

import json
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.live import free_port


class Receiver:
    """A web server on this machine.

    Attributes:
        taken: the bodies that it was sent.
        status: what it answers.
        leads_to: where it redirects to; empty for nowhere.
    """

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.status = 200
        self.leads_to = ""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.taken.append(json.loads(body))
                self.send_response(receiver.status)
                if receiver.leads_to:
                    self.send_header("Location", receiver.leads_to)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def address(self) -> str:
        """Its address, with a secret in each place that can have one."""
        return f"json://user:secret1@127.0.0.1:{self.port}/secret2?+X-Key=secret3"

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Mailbox:
    """A mail server on this machine.

    Attributes:
        taken: the mail that it was sent.
        refuses: the recipients that it does not know.
        signed_in: who has signed in.
        port: where it listens.
    """

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.refuses: set[str] = set()
        self.signed_in: list[str] = []
        self.port = free_port()
        self._controller = Controller(
            self, hostname="127.0.0.1", port=self.port, authenticator=self._signs_in, auth_require_tls=False
        )

    def _signs_in(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, who: Any) -> AuthResult:
        assert isinstance(who, LoginPassword)
        self.signed_in.append(who.login.decode())
        return AuthResult(success=who.password == b"open sesame")

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refuses:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.taken.append(mail)
        return "250 OK"

    def __enter__(self) -> Mailbox:
        self._controller.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._controller.stop()
