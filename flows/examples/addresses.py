"""Addresses that an example asks, many at once.

* One that cannot be asked, or is no address, costs no other one its answer.
* Answers come in the order of the addresses, as soon as there are all before them.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

WRITTEN = "host:port, and for IPv6 [::1]:443"
"""How an address is written."""

_ADDRESS = re.compile(r"(\[(?P<bracketed>[^\[\]\s]+)\]|(?P<host>[^\[\]:\s]+)):(?P<port>[0-9]{1,5})")
_AT_ONCE = 16


def listed(text: str) -> list[str]:
    """Return the addresses of a text that has one on each line, each of them once."""
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def each_address(addresses: Iterable[str], ask: Callable[[str, int], T]) -> Iterator[tuple[str, T | Exception]]:
    """Yield each address, and what ``ask`` returns or raises for its host and port.

    Args:
        addresses: the addresses, each as host:port.
        ask: called with host and port, in threads; it raises ``OSError`` or ``ValueError`` for one that has no answer.
    """
    asked = [*addresses]

    def answer(address: str) -> T | Exception:
        try:
            return ask(*_host_and_port(address))
        except (OSError, ValueError) as error:
            return error

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from zip(asked, pool.map(answer, asked), strict=True)


def trusting(ca_file: str) -> ssl.SSLContext:
    """Return what connections by TLS are made with.

    Args:
        ca_file: the PEM file of the authorities to trust; if empty, those of the system are.

    Raises:
        OSError: the file cannot be read, or has no certificates.
    """
    if ca_file:
        # What is raised names the file, which ssl does not.
        Path(ca_file).stat()
    return ssl.create_default_context(cafile=ca_file or None)


def reason(error: Exception) -> str:
    """Return why there is no answer; of a certificate, what is wrong with it."""
    return getattr(error, "verify_message", "") or str(error)


def _host_and_port(address: str) -> tuple[str, int]:
    parts = _ADDRESS.fullmatch(address)
    if not parts or not 0 < int(parts["port"]) < 65536:
        raise ValueError("it is not host:port.")
    return parts["bracketed"] or parts["host"], int(parts["port"])
