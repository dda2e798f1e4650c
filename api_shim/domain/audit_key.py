"""The key that signs the heads of the audit.

* It is an Ed25519 key rather than one for an HMAC: its public half verifies and cannot sign, so an auditor who has been
  given that half can check an export, and could not have written one.
* A head's signature covers its number and its hash, and so every event up to it.
* The private half is in no repr and no error.
"""

from __future__ import annotations

from dataclasses import replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api_shim.domain.audit import AuditHead


class AuditKey:
    """A key pair.

    Args:
        secret: the private half, 32 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(secret)
        self._public = self._private.public_key()
        self.public = self._public.public_bytes_raw().hex()
        """The public half, in hexadecimal digits."""
        # The last that was signed, which mostly is the next to be verified: that takes longer than signing.
        self._last = AuditHead()

    def sign(self, head: AuditHead) -> AuditHead:
        """Return the head with this key's signature."""
        self._last = replace(head, key=self.public, signature=self._private.sign(_message(head)).hex())
        return self._last

    def has_signed(self, head: AuditHead) -> bool:
        """Say whether the head is as this key has signed it."""
        if head.key != self.public:
            return False
        if replace(head, announced=self._last.announced) == self._last:
            return True
        try:
            self._public.verify(bytes.fromhex(head.signature), _message(head))
        except (InvalidSignature, ValueError):
            return False
        return True


def _message(head: AuditHead) -> bytes:
    return f"signoff audit head {head.number} {head.hash}".encode()
