"""Sensitive inputs as the database keeps them: encrypted, with a key from outside it.

* So are the files that runs are given, whether their Jobs have sensitive variables or not.
* They are encrypted with AES-256-GCM, which authenticates the id of their row too: moved to another row, or changed,
  they cannot be read.
* The key is derived (HKDF) from the one that signs the audit. All servers and commands of a database have that already,
  and none of them starts without it.
* They are text in a column whose other values are objects, so that neither can be taken for the other.
* What is read from the store stays encrypted until somebody looks into it. If it cannot be read, that is
  ``Unavailable`` for who needs these inputs, and for nobody else.
* What must be recognised and not be read has a fingerprint, made with another derived key: nobody without it can guess
  what has a fingerprint, however short that is.
* So are the refresh tokens of sessions that were started at an identity provider.
* Neither the keys nor the inputs are in a repr or an error.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from api_shim.domain.model import Encrypted
from approval_gate.errors import Unavailable

SCHEME = "1"
PURPOSE, RECOGNISING = b"signoff sensitive inputs", b"signoff fingerprints"
KEY_BYTES, NAME_BYTES, NONCE_BYTES = 32, 8, 12

OTHER_KEY = "The inputs of this run are encrypted with another key than this server has; request the run anew."
DAMAGED = "The inputs of this run are not as they were encrypted; request the run anew."
OTHER_KEY_OF_SESSION = "This session is encrypted with another key than this server has; sign in anew."
NO_KEY = "Sensitive inputs can be neither kept nor read without the key of the store."


class InputsKey:
    """The key that encrypts inputs, and makes fingerprints.

    Args:
        secret: what it is derived from: the key that signs the audit.
    """

    def __init__(self, secret: bytes) -> None:
        derived = HKDF(SHA256(), KEY_BYTES + NAME_BYTES, salt=None, info=PURPOSE).derive(secret)
        self._cipher = AESGCM(derived[:KEY_BYTES])
        # Tells keys apart, and nothing of the key.
        self._name = derived[KEY_BYTES:].hex()
        self._recognising = HKDF(SHA256(), KEY_BYTES, salt=None, info=RECOGNISING).derive(secret)

    def fingerprint(self, text: str) -> str:
        """Return 64 hexadecimal digits that are the same for the same text."""
        return hmac.digest(self._recognising, text.encode(errors="surrogatepass"), "sha256").hex()

    def seal(self, row_id: UUID, inputs: Mapping[str, Any]) -> str:
        """Return inputs encrypted, for the row of this id."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, json.dumps(dict(inputs)).encode(), _bound_to(row_id))
        return ".".join((SCHEME, self._name, base64.b64encode(nonce + sealed).decode()))

    def open(self, row_id: UUID, text: str) -> Mapping[str, Any]:
        """Return the inputs of a row in clear.

        Raises:
            Unavailable: another key has encrypted them, or they are not what it has encrypted for this row.
        """
        scheme, _, rest = text.partition(".")
        name, _, data = rest.partition(".")
        if (scheme, name) != (SCHEME, self._name):
            raise Unavailable(OTHER_KEY)
        try:
            sealed = base64.b64decode(data, validate=True)
            clear = self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(row_id))
        except (InvalidTag, ValueError) as error:
            raise Unavailable(DAMAGED) from error
        inputs: Mapping[str, Any] = json.loads(clear)
        return inputs

    def seal_file(self, file_id: UUID, content: bytes) -> bytes:
        """Return what a file has encrypted, for the file of this id."""
        nonce = os.urandom(NONCE_BYTES)
        return b"".join((self._mark, nonce, self._cipher.encrypt(nonce, content, _bound_to_file(file_id))))

    def open_file(self, file_id: UUID, sealed: bytes) -> bytes:
        """Return what a file has in clear; see ``open``."""
        mark, rest = sealed[: len(self._mark)], sealed[len(self._mark) :]
        if mark != self._mark:
            raise Unavailable(OTHER_KEY)
        try:
            return self._cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], _bound_to_file(file_id))
        except (InvalidTag, ValueError) as error:
            raise Unavailable(DAMAGED) from error

    def seal_text(self, row_id: UUID, text: str) -> str:
        """Return a secret of a session encrypted, for the session of this id."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), _bound_to_session(row_id))
        return (self._mark + base64.b64encode(sealed)).decode()

    def open_text(self, row_id: UUID, text: str) -> str:
        """Return a secret of a session in clear; see ``open``."""
        mark, rest = text.encode()[: len(self._mark)], text.encode()[len(self._mark) :]
        if mark != self._mark:
            raise Unavailable(OTHER_KEY_OF_SESSION)
        try:
            sealed = base64.b64decode(rest, validate=True)
            clear = self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to_session(row_id))
        except (InvalidTag, ValueError) as error:
            raise Unavailable(OTHER_KEY_OF_SESSION) from error
        return clear.decode()

    @property
    def _mark(self) -> bytes:
        return f"{SCHEME}.{self._name}.".encode()


def _bound_to_session(session_id: UUID) -> bytes:
    return b"signoff session " + session_id.bytes


def _bound_to_file(file_id: UUID) -> bytes:
    return b"signoff input file " + file_id.bytes


def _bound_to(row_id: UUID) -> bytes:
    # Of whichever table: no two rows have one id.
    return b"signoff job result " + row_id.bytes


class SealedInputs(Encrypted):
    """The inputs of a row, encrypted until they are looked into, which may raise ``Unavailable``.

    Args:
        row_id: the id of the row.
        text: the inputs, as the column has them.
        key: the key; None if there is none.
    """

    __slots__ = ("_clear", "_key", "_row_id")

    def __init__(self, row_id: UUID, text: str, key: InputsKey | None) -> None:
        super().__init__(text)
        self._row_id = row_id
        self._key = key
        self._clear: Mapping[str, Any] | None = None

    def _opened(self) -> Mapping[str, Any]:
        if self._key is None:
            raise Unavailable(NO_KEY)
        if self._clear is None:
            self._clear = self._key.open(self._row_id, self.text)
        return self._clear

    def __getitem__(self, name: str) -> Any:
        return self._opened()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._opened())

    def __len__(self) -> int:
        return len(self._opened())

    def __repr__(self) -> str:
        return "<sealed inputs>"
