"""The keys of tokens and of runs: what a new one looks like.

* A key is ``signoff_``, thirty random letters and digits, and six more that are their checksum. A secret scanner finds
  one that leaks by its prefix, and knows by its checksum that it is one, without asking anybody:
  ``signoff_[0-9A-Za-z]{36}``, whose last six are the CRC-32 of the thirty before them, in base 62.
* The key of a run is the same behind ``signoff_run_``, so that nobody takes one for the other.
* The checksum is for scanners. The server compares hashes of whole keys, so that keys without it, which were made
  before or chosen by somebody, are as good.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import zlib

PREFIX = "signoff_"
RUN_PREFIX = "signoff_run_"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""The digits of base 62, from 0 to 61."""
RANDOM = 30
"""How many characters are random; they have 178 bits."""
CHECKED = 6
"""How many characters have the checksum; they hold 32 bits."""


def new_key(prefix: str = PREFIX) -> str:
    """Return a random key.

    Args:
        prefix: what it begins with.
    """
    drawn = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM))
    return f"{prefix}{drawn}{checksum(drawn)}"


def challenge_of(verifier: str) -> str:
    """Return what a secret is recognised by, by which nobody finds it out (RFC 7636, S256)."""
    digest = hashlib.sha256(verifier.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def checksum(drawn: str) -> str:
    """Return the checksum of a key's random characters."""
    rest, digits = zlib.crc32(drawn.encode()), ""
    for _ in range(CHECKED):
        rest, digit = divmod(rest, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
