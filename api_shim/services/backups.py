"""Backups of a home folder: one file with the databases in it, the keys and a manifest; and how one is restored.

* A backup is made while servers run. The store is copied before Prefect's database, so all that the store knows of
  stands in both; what happened in between has ended in Prefect, and is not executed again.
* The head of the audit that is kept outside the database is read before, so the audit in the copy goes on from it.
* The file is for its owner alone, appears when it is complete, and replaces nothing.
* A restore reads names that it knows and nothing else, compares the checksums, opens the store with its key and checks
  the end of its audit, all beside what is there; only then is anything moved.
* With the store in it, a restore is recorded in the audit, and nobody is signed in any more in a browser. A store in
  PostgreSQL is restored by PostgreSQL's tools, and neither happens.
* The head of the audit is moved in first and the store last: no server starts with half of what was restored.

The keys are in it, so whoever has the file can do everything. A key of the audit that a setting names is not: it is
kept apart on purpose.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO

from api_shim.domain.accounts import Session
from api_shim.domain.audit import AuditEvent, Author, EventType
from api_shim.services.audit_signing import check_end, keep_head, open_store
from api_shim.settings import OWNER_FILE, OWNER_ONLY, Settings, Upgrade
from api_shim.store import Store, file_of, snapshot
from approval_gate.errors import Conflict, Invalid, Unavailable

FORMAT = 1
MANIFEST = "manifest.json"
STORE, PREFECT = "signoff.db", "prefect/prefect.db"
KEYS = ("audit.key", "audit.head", "worker.key")
KNOWN = (*KEYS, STORE, PREFECT)
"""The files that there can be in a backup, by where they are in a home folder."""
DATABASES = (STORE, PREFECT)
LONGEST_MANIFEST = 1 << 20
CHUNK = 1 << 20
LOCK = "up.lock"
"""What a home folder has that was only looked at."""

Tell = Callable[[str, int, int], None]
"""Is called with the name of a file, how much of it is done, and of how much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A file in a backup.

    Args:
        name: where it is in the home folder.
        size: in bytes.
        sha256: its checksum, in hexadecimal digits.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a backup says of itself.

    Args:
        made: when, in ISO 8601.
        versions: of signoff, Prefect and the schema of the store.
        parts: its files.
    """

    made: str
    versions: Mapping[str, str]
    parts: tuple[Part, ...]

    def to_json(self) -> bytes:
        """Return it as the file in the backup."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2).encode()

    @classmethod
    def read(cls, data: bytes) -> Manifest:
        """Read that file.

        Raises:
            Invalid: it is none, or of a later version.
        """
        try:
            said = json.loads(data)
            if said["format"] != FORMAT:
                raise Invalid(f"The backup has the format {said['format']!r}, and this version reads {FORMAT}.")
            parts = tuple(
                Part(name=str(p["name"]), size=int(p["size"]), sha256=str(p["sha256"])) for p in said["parts"]
            )
            return cls(
                made=str(said["made"]), versions={str(k): str(v) for k, v in said["versions"].items()}, parts=parts
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Invalid("The manifest of the backup cannot be read.") from error


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore has done.

    Args:
        manifest: what was in the backup.
        replaced: the folder with what was in the home folder before; None if that was empty.
    """

    manifest: Manifest
    replaced: Path | None

    @property
    def has_store(self) -> bool:
        """Whether the store was in the backup."""
        return any(part.name == STORE for part in self.manifest.parts)


def create(
    settings: Settings, prefect: Path | None, file: Path, versions: Mapping[str, str], now: datetime, tell: Tell
) -> Manifest:
    """Make a backup.

    Args:
        settings: where everything is.
        prefect: the file of Prefect's database; None if that is not in SQLite.
        file: a new file.
        versions: what to say of what is installed.
        now: when.
        tell: is told how far it has come.

    Returns:
        what is in it.

    Raises:
        Unavailable: something cannot be read, or the file cannot be written.
    """
    try:
        with _beside(file.parent) as folder:
            _collect(settings, prefect, folder, tell)
            parts = tuple(_part(folder, name) for name in KNOWN if (folder / name).exists())
            manifest = Manifest(made=now.isoformat(), versions=versions, parts=parts)
            packed = folder / "packed"
            _pack(manifest, folder, packed, tell)
            _place(packed, file)
    except OSError as error:
        raise Unavailable(f"The backup {file} cannot be written: {error.strerror}.") from error
    return manifest


def _place(packed: Path, file: Path) -> None:
    """Give a backup its name, and never over another file, which may be an earlier one."""
    # Not by a hard link, which not every file system has: a name that was taken here is ours to replace.
    file.touch(mode=OWNER_FILE, exist_ok=False)
    try:
        packed.rename(file)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    _keep_names(file.parent)


def _keep_names(folder: Path) -> None:
    """See that the names in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Make a folder in another one, for its owner alone, for a while."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".signoff-") as made:
        yield Path(made)


def _collect(settings: Settings, prefect: Path | None, folder: Path, tell: Tell) -> None:
    """Copy what is to be in a backup."""
    for name in KEYS:
        key = settings.home / name
        if key.exists() and not (name == "audit.key" and settings.audit_key_file):
            shutil.copyfile(key, folder / name)
    for name, source in ((STORE, file_of(settings.store_url)), (PREFECT, prefect)):
        if source is not None:
            (folder / name).parent.mkdir(exist_ok=True)
            snapshot.copy(source, folder / name, partial(tell, name))


def _part(folder: Path, name: str) -> Part:
    with (folder / name).open("rb") as data:
        digest = hashlib.file_digest(data, "sha256")
    return Part(name=name, size=(folder / name).stat().st_size, sha256=digest.hexdigest())


def _pack(manifest: Manifest, folder: Path, target: Path, tell: Tell) -> None:
    target.touch(mode=OWNER_FILE)
    with target.open("wb") as out:
        with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
            told = manifest.to_json()
            archive.addfile(_entry(MANIFEST, len(told)), io.BytesIO(told))
            for number, part in enumerate(manifest.parts, 1):
                with (folder / part.name).open("rb") as data:
                    archive.addfile(_entry(part.name, part.size), data)
                tell("packed", number, len(manifest.parts))
        out.flush()
        os.fsync(out.fileno())


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, OWNER_FILE
    return entry


# Restored


def restore(
    settings: Settings, prefect: Path | None, file: Path, who: Author, now: datetime, *, force: bool
) -> Restored:
    """Restore a home folder, which no server runs with.

    Args:
        settings: where the home folder is, and the key of the audit if that is not in it.
        prefect: where the file of Prefect's database is to be; None if that is not in SQLite.
        file: the backup.
        who: who restores it, for the audit.
        now: when.
        force: move what is in the home folder into a folder in it; else it must be empty.

    Returns:
        what was restored.

    Raises:
        Conflict: the home folder is not empty.
        Invalid: the file is no backup, or not as it was made, or a database in it would not be where a server looks.
        Unavailable: it cannot be read, what it has cannot be used, or the folder cannot be written.
    """
    there = [path for path in settings.home.iterdir() if path.name != LOCK]
    if there and not force:
        raise Conflict(f"The folder {settings.home} is not empty; --force moves what is in it into a folder there.")
    replaced = settings.home / f"replaced-{now:%Y%m%dT%H%M%SZ}" if there else None
    try:
        with _beside(settings.home) as folder:
            manifest = _unpack(file, folder)
            _prepare(settings, prefect, folder, manifest, who, now)
            if replaced:
                replaced.mkdir(mode=OWNER_ONLY)
                _move(sorted(there, key=_turn, reverse=True), replaced)
            _move(sorted(folder.iterdir(), key=_turn), settings.home)
    except OSError as error:
        raise Unavailable(f"The folder {settings.home} cannot be restored: {error.strerror or error}.") from error
    return Restored(manifest, replaced)


def _turn(path: Path) -> int:
    """Say when a file comes into a home folder; it goes in the other order.

    A server does not start with the head of an audit that its store does not have. With neither, it would start empty.
    """
    return {"audit.head": 0, STORE: 2}.get(path.name, 1)


def _move(paths: list[Path], to: Path) -> None:
    for path in paths:
        path.rename(to / path.name)
        # In this order on the disk, too.
        _keep_names(to)


def _unpack(file: Path, folder: Path) -> Manifest:
    """Write the files of a backup into a folder, if each is what the manifest says."""
    try:
        with tarfile.open(file, mode="r:gz") as archive:
            manifest = Manifest.read(_content(archive, archive.next(), MANIFEST).read(LONGEST_MANIFEST))
            for part in manifest.parts:
                _write(part, _content(archive, archive.next(), part.name), folder)
            if archive.next() is not None:
                raise Invalid("There is more in the backup than its manifest says.")
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Invalid(f"The file {file} is not a backup, or is incomplete.") from error
    except OSError as error:
        raise Unavailable(f"The backup {file} cannot be read: {error.strerror or error}.") from error
    return manifest


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo | None, name: str) -> IO[bytes]:
    """Return the content of an entry: a file of the name that is next, and of no other kind."""
    data = archive.extractfile(entry) if entry is not None and entry.isreg() and entry.name == name else None
    if data is None:
        raise Invalid(f"The backup has no {name} where its manifest has it.")
    return data


def _write(part: Part, data: IO[bytes], folder: Path) -> None:
    if part.name not in KNOWN:
        raise Invalid("The backup has a file that does not belong in a backup.")
    target, digest, left = folder / part.name, hashlib.sha256(), part.size
    target.parent.mkdir(mode=OWNER_ONLY, exist_ok=True)
    target.touch(mode=OWNER_FILE, exist_ok=False)
    with target.open("wb") as out:
        while left and (chunk := data.read(min(CHUNK, left))):
            digest.update(chunk)
            out.write(chunk)
            left -= len(chunk)
        out.flush()
        os.fsync(out.fileno())
    if left or data.read(1) or digest.hexdigest() != part.sha256:
        raise Invalid(f"The file {part.name} in the backup has been altered.")


def _prepare(
    settings: Settings, prefect: Path | None, folder: Path, manifest: Manifest, who: Author, now: datetime
) -> None:
    """See that what was unpacked can be used, and record that it was restored."""
    for name in DATABASES:
        if (folder / name).exists():
            snapshot.check(folder / name)
    if (folder / PREFECT).exists() and (prefect is None or prefect.absolute() != (settings.home / PREFECT).absolute()):
        raise Invalid(
            "Prefect's database of this backup goes into the home folder: unset "
            "PREFECT_SERVER_DATABASE_CONNECTION_URL, and whatever else says where that database is."
        )
    if not (folder / STORE).exists():
        return
    if settings.database_url is not None:
        raise Invalid("The store of this backup goes into the home folder: unset SIGNOFF_DATABASE_URL.")
    if settings.audit_key_file is None and not (folder / "audit.key").exists():
        raise Unavailable("The key of the audit is not in the backup: name its file with SIGNOFF_AUDIT_KEY_FILE.")
    there = settings.model_copy(update={"home": folder, "db_upgrade": Upgrade.AUTO})
    with closing(open_store(there, now)) as store:
        check_end(store)
        _record(store, manifest, who, now)


def _record(store: Store, manifest: Manifest, who: Author, now: datetime) -> None:
    reason = f"Restored from the backup of {manifest.made}."
    event = AuditEvent(
        at=now,
        act=EventType.AUDIT_ACCEPTED,
        actor_id=who.id,
        actor=who.username,
        name="audit",
        data={"reason": reason},
    )
    with store.transaction() as tx:
        # Somebody may have signed out since.
        tx.remove_all(Session, [session.id for session in tx.all(Session)])
        tx.record(event)
    if store.seal is not None:
        keep_head(store, store.seal)
