"""An export of the audit: its lines, and whether the audit still is as it was exported.

* Each line is an event in JSON form. The last also has the signature of the head that it was, and the public half of
  the key, so an export is as good as the audit was then, wherever it is kept.
* An export of before heads were signed has no signature; it is compared all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api_shim.domain.audit import AuditEvent, AuditHead, hash_of_shape, shape
from api_shim.domain.audit_key import AuditKey
from approval_gate.errors import Invalid

SIGNATURE = ("key", "signature")


@dataclass(frozen=True, slots=True)
class Export:
    """An export that is as it was written.

    Args:
        hashes: of its events, from the first.
        head: what its last line says of itself.
    """

    hashes: list[str]
    head: AuditHead

    def is_genuine(self, key: AuditKey, signed_from: int) -> bool:
        """Say whether the key has signed it, or it ends before the first event whose head was signed."""
        if self.head.signature == "":
            return self.head.number < signed_from
        return key.has_signed(self.head)

    def fault(self, events: Iterable[AuditEvent]) -> str:
        """Return what is different in the audit now, in a sentence; empty if nothing is.

        Args:
            events: of the audit, from the first.
        """
        there = iter(events)
        for number, exported in enumerate(self.hashes, 1):
            event = next(there, None)
            if event is None:
                return f"Event {number} was exported, and is missing."
            if event.hash != exported:
                return f"Event {number} is not what was exported."
        return ""


def exported(events: Iterable[AuditEvent], head: AuditHead) -> Iterator[dict[str, Any]]:
    """Yield the lines of an export.

    Args:
        events: all up to the head.
        head: the end of the audit.
    """
    for event in events:
        signature = {name: getattr(head, name) for name in SIGNATURE} if event.number == head.number else {}
        yield {**shape(event), **signature}


def read_export(lines: Iterable[Mapping[str, Any]]) -> Export:
    """Read the lines of an export.

    Raises:
        Invalid: there are none, or they are not as they were written.
    """
    hashes: list[str] = []
    head = AuditHead()
    for number, line in enumerate(lines, 1):
        said = {name: value for name, value in line.items() if name not in SIGNATURE}
        told = (said.get("number"), said.get("previous_hash"), said.get("hash"))
        if told != (number, head.hash, hash_of_shape(said)):
            raise Invalid(f"Line {number} of the export is not what was written.")
        hashes.append(said["hash"])
        key, signature = (str(line.get(name, "")) for name in SIGNATURE)
        head = AuditHead(number=number, hash=said["hash"], key=key, signature=signature)
    if not hashes:
        raise Invalid("The export has no events.")
    return Export(hashes, head)
