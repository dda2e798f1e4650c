"""What proves the audit from outside the database: the key, and the last head that was kept in a file.

* Who can write the database but not this file can neither sign a head, nor set the audit back behind the kept one, nor
  make it look as if it had never been signed, without that being found.
* The file is replaced as a whole and is its owner's alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from api_shim.domain.audit import AuditEvent, AuditHead
from api_shim.domain.audit_key import AuditKey
from api_shim.settings import write_file
from api_shim.store.transaction import Transaction
from approval_gate.errors import Unavailable

KEPT = ("number", "hash", "key", "signature")


@dataclass(frozen=True, slots=True)
class Seal:
    """The key and the kept head.

    Args:
        key: signs every head.
        file: where the last head is kept.
    """

    key: AuditKey
    file: Path

    def kept(self) -> AuditHead | None:
        """Return the kept head; None before the first.

        Raises:
            Unavailable: the file cannot be read.
        """
        try:
            said = json.loads(self.file.read_text())
            return AuditHead(**{name: said[name] for name in KEPT})
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"The file {self.file} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"The file {self.file} is not the head of an audit.") from error

    def keep(self, head: AuditHead) -> None:
        """Keep a head instead of the one before.

        Raises:
            Unavailable: the file cannot be written.
        """
        write_file(self.file, json.dumps({name: getattr(head, name) for name in KEPT}))

    def fault(self, tx: Transaction) -> str:
        """Return what is wrong with the end of the audit, in a sentence; empty if nothing is.

        Raises:
            Unavailable: the kept head cannot be read.
        """
        try:
            head = tx.audit_head()
        except LookupError as error:
            return str(error)
        kept = self.kept()
        if kept and not _contains(tx, head, kept):
            return (
                f"The audit has been set back or rewritten: its event {kept.number} is not the one that "
                f"{self.file} keeps the hash of."
            )
        if head.signature == "":
            return "The end of the audit is not signed."
        if head.key != self.key.public:
            return (
                f"The end of the audit is signed with another key, {head.key}, and all servers of one database need "
                "the same: copy it, or name its file with SIGNOFF_AUDIT_KEY_FILE."
            )
        return "" if self.key.has_signed(head) else f"The end of the audit, event {head.number}, was never signed."


def _contains(tx: Transaction, head: AuditHead, earlier: AuditHead) -> bool:
    """Say whether an audit that ends with one head goes on from another."""
    if earlier.number == 0:
        return True
    return earlier.number <= head.number and tx.exists(AuditEvent, number=earlier.number, hash=earlier.hash)
