"""The sources of ``ObjectVar`` and ``MultiObjectVar``, besides functions: files, an address on the web, a database.

* A path is one from the folder of the module that declares the variable.
* What comes from elsewhere is kept for some time, for all who ask; so is that it could not be read, for a shorter time,
  so that nobody waits in turn for what does not answer.
* It is limited in time and size. Redirects are not followed: who answers is who was asked.
* A database is only read from: the transaction is taken back.
* What is said of a source names neither its address nor what it answered.

A variable of Prefect's is the source in ``flows.prefect_source``.
"""

from __future__ import annotations

import csv
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from flows.objects import MOST_OBJECTS, Source, SourceUnread

KEPT = 60.0
"""Seconds for which what was read from elsewhere is kept, unless a source says otherwise."""

FAILURE_KEPT = 5.0
"""Seconds for which it is kept that a source could not be read."""

LARGEST = 5_000_000
"""The most bytes of an answer or of a file."""


class CSVFile(Source):
    """The rows of a CSV file in UTF-8, whose first line names the fields.

    Args:
        path: the file.
        delimiter: what separates its fields.
    """

    def __init__(self, path: str, *, delimiter: str = ",") -> None:
        self.path = path
        self.delimiter = delimiter

    def rows(self, folder: Path) -> Iterable[Any]:
        return csv.DictReader(_text(folder / self.path).splitlines(), delimiter=self.delimiter)


class YAMLFile(Source):
    """The list in a YAML file, or a mapping of keys to what each object has.

    Args:
        path: the file.
        at: the key of the list within the file; empty for the whole of it.
    """

    def __init__(self, path: str, *, at: str = "") -> None:
        self.path = path
        self.at = at

    def rows(self, folder: Path) -> Iterable[Any]:
        try:
            return rows_in(yaml.safe_load(_text(folder / self.path)), self.at)
        except (yaml.YAMLError, RecursionError):
            raise SourceUnread(f"{self.path} is not YAML.") from None


class Kept(Source):
    """The base of sources that are elsewhere. A subclass defines ``fetch()``.

    Args:
        keep: seconds for which what was read is kept.
    """

    def __init__(self, *, keep: float = KEPT) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._until = 0.0
        self._rows: list[Any] | None = None
        self._why_not = ""

    def fetch(self) -> Iterable[Any]:
        """Read the objects from where they are.

        Raises:
            SourceUnread: they cannot be read.
        """
        raise NotImplementedError

    def rows(self, _folder: Path) -> Iterable[Any]:
        # Who comes meanwhile waits for what the first one reads, and does not read it too.
        with self._lock:
            if time.monotonic() >= self._until:
                self._look()
            if self._rows is None:
                raise SourceUnread(self._why_not)
            return self._rows

    def _look(self) -> None:
        try:
            self._rows, kept = [*self.fetch()], self._keep
        except SourceUnread as error:
            self._rows, self._why_not, kept = None, str(error), FAILURE_KEPT
        self._until = time.monotonic() + kept


class JSONAddress(Kept):
    """The list that an address on the web answers as JSON.

    Args:
        url: the address, ``https`` or ``http``.
        headers: what is sent along, such as a token; a function that returns it is called each time.
        at: the key of the list within the answer, such as ``results``; empty for the whole of it.
        timeout: seconds that the whole answer may take.
        keep: seconds for which it is kept.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None,
        at: str = "",
        timeout: float = 5.0,
        keep: float = KEPT,
    ) -> None:
        super().__init__(keep=keep)
        self._url = url
        self._headers = headers
        self._at = at
        self._timeout = timeout

    def fetch(self) -> Iterable[Any]:
        try:
            return rows_in(json.loads(self._answer()), self._at)
        except (ValueError, RecursionError):
            raise SourceUnread("the address does not answer with JSON.") from None

    def _answer(self) -> bytes:
        import httpx  # Only what has such a source needs it.

        headers = self._headers() if callable(self._headers) else self._headers
        end, parts, size = time.monotonic() + self._timeout, [], 0
        try:
            with httpx.stream("GET", self._url, headers=headers, timeout=self._timeout) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise SourceUnread(f"the address answers with the status {answer.status_code}.")
                for part in answer.iter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > LARGEST:
                        raise SourceUnread(f"the address answers with more than {LARGEST} bytes.")
                    if time.monotonic() > end:
                        raise SourceUnread("the address takes too long to answer.")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SourceUnread(f"the address does not answer ({type(error).__name__}).") from None
        return b"".join(parts)


class SQLQuery(Kept):
    """The rows of a query in a database that SQLAlchemy knows.

    Args:
        query: the query; its columns are the fields.
        url: the address of the database, with the name of a synchronous driver; a function is called each time.
        parameters: the values of ``:name`` in the query.
        keep: seconds for which the rows are kept.
    """

    def __init__(
        self,
        query: str,
        *,
        url: str | Callable[[], str],
        parameters: Mapping[str, Any] | None = None,
        keep: float = KEPT,
    ) -> None:
        super().__init__(keep=keep)
        self._query = query
        self._url = url
        self._parameters = dict(parameters or {})

    def fetch(self) -> Iterable[Any]:
        import sqlalchemy  # Only what has such a source needs it.
        from sqlalchemy.exc import SQLAlchemyError
        from sqlalchemy.pool import NullPool

        try:
            engine = sqlalchemy.create_engine(self._url() if callable(self._url) else self._url, poolclass=NullPool)
            # Not begun with begin(): what the query may have changed is taken back.
            with engine.connect() as connection:
                found = connection.execute(sqlalchemy.text(self._query), self._parameters)
                return [dict(row) for row in found.mappings().fetchmany(MOST_OBJECTS + 1)]
        except (SQLAlchemyError, ImportError) as error:
            raise SourceUnread(f"the database does not answer ({type(error).__name__}).") from None


def rows_in(read: Any, at: str) -> list[Any]:
    """Return the objects in what was read: a list, or a mapping of keys to objects, perhaps under a key of its own.

    Raises:
        SourceUnread: there are none.
    """
    found = read.get(at) if at and isinstance(read, Mapping) else read
    if isinstance(found, Mapping):
        return [
            {"id": key, **each} if isinstance(each, Mapping) else {"id": key, "name": each}
            for key, each in found.items()
        ]
    if not isinstance(found, list):
        raise SourceUnread("there is no list of objects.")
    return found


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise SourceUnread(f"{path.name} has more than {LARGEST} bytes.")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceUnread(f"{path.name} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise SourceUnread(f"{path.name} is not UTF-8 text.") from None
