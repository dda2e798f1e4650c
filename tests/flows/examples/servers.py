"""What the examples ask, on loopback: servers with certificates that were made just now, and files on the web."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(folder: Path, *, days: float) -> Path:
    """Write a self-signed certificate for 127.0.0.1, with its key, that expires in some days."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"example {days}")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"certificate-{days}.pem"
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return path


@dataclass
class Web:
    """A server with files.

    Args:
        port: where it listens.
        asked: the path of each request, and what was sent as ``Authorization``.
    """

    port: int
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def serving(files: Mapping[str, bytes], *, tls: Path | None = None, password: str | None = None) -> Iterator[Web]:
    """Serve files for a while.

    Args:
        files: what they have, by path; what begins with ``->`` leads elsewhere.
        tls: the PEM file of a certificate and its key; None for no TLS.
        password: what must be sent as ``Authorization``; None for nothing.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.headers["Authorization"]
            web.asked.append((self.path, sent))
            content = files.get(self.path)
            to = content.decode().removeprefix("->") if content and content.startswith(b"->") else ""
            self.send_response(404 if content is None else 401 if sent != password else 302 if to else 200)
            if to:
                self.send_header("Location", to)
            self.end_headers()
            if content and sent == password:
                self.wfile.write(content)

        def log_message(self, *_args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            # In the thread of the connection, for the handshake waits for who asks, who may not like the certificate.
            with suppress(OSError):
                secured = context.wrap_socket(request, server_side=True) if context else request
                with secured:
                    super().finish_request(secured, client_address)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if tls else None
    if context and tls:
        context.load_cert_chain(tls)
    with Server(("127.0.0.1", 0), Handler) as server:
        web = Web(server.server_port)
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()
