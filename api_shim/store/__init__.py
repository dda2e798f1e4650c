"""The store: what is true. SQLite by default, PostgreSQL by URL; Prefect is a projection of what stands here.

* Every use case is one transaction: all of it is durable when ``transaction()`` ends, or nothing of it happened.
* On SQLite a writing transaction takes the write lock when it begins, so what it has read cannot change under it;
  on PostgreSQL a row that a decision rests on is read with ``lock=True``.
* Rows come out as the model's values and go in as such; nothing outside this package knows a table.
* Lists are restricted to what the caller may see by the database, from the same constraints that the policy evaluates.
"""

from __future__ import annotations

from api_shim.domain.query import Listing, Page
from api_shim.store.database import Duplicate, Store, place_of
from api_shim.store.locks import Duty, HeldElsewhere
from api_shim.store.notices import WORKERS, Notice, Notices, Topic
from api_shim.store.schema import Revision, revisions, taken_back
from api_shim.store.seal import Seal
from api_shim.store.sealed_inputs import InputsKey, SealedInputs
from api_shim.store.snapshot import dump_command, file_of
from api_shim.store.transaction import TYPES, Transaction

__all__ = [
    "TYPES",
    "WORKERS",
    "Duplicate",
    "Duty",
    "HeldElsewhere",
    "InputsKey",
    "Listing",
    "Notice",
    "Notices",
    "Page",
    "Revision",
    "Seal",
    "SealedInputs",
    "Store",
    "Topic",
    "Transaction",
    "dump_command",
    "file_of",
    "place_of",
    "revisions",
    "taken_back",
]
