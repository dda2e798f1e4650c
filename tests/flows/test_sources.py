"""Sources of objects: what each reads, how long it is kept, and how little is said when it cannot be read."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flows import sources
from flows.objects import SourceUnread
from flows.sources import CSVFile, JSONAddress, Kept, SQLQuery, YAMLFile

SITES = [{"id": 1, "name": "Berlin"}]


def why_not(source: Any, folder: Path) -> str:
    with pytest.raises(SourceUnread) as unread:
        [*source.rows(folder)]
    return str(unread.value)


@pytest.mark.parametrize(
    ("source", "text", "rows"),
    [
        pytest.param(CSVFile("it"), "\ufeffid,name\n1,Zürich\n", [{"id": "1", "name": "Zürich"}], id="CSV"),
        pytest.param(CSVFile("it", delimiter=";"), "id;name\n1;a,b\n", [{"id": "1", "name": "a,b"}], id="another one"),
        pytest.param(YAMLFile("it"), "[{id: 1, name: Berlin}]", SITES, id="YAML"),
        pytest.param(YAMLFile("it"), "[a, b]", ["a", "b"], id="a list of texts"),
        pytest.param(YAMLFile("it", at="sites"), "sites: [{id: 1, name: Berlin}]", SITES, id="a list within"),
        pytest.param(
            YAMLFile("it"), "{a: {name: A}, b: B}", [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}], id="keys"
        ),
    ],
)
def test_a_file_beside_the_module_is_read(tmp_path: Path, source: Any, text: str, rows: list[Any]) -> None:
    (tmp_path / "it").write_text(text, encoding="utf-8")
    assert [*source.rows(tmp_path)] == rows


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not(CSVFile("it"), tmp_path) == "it cannot be read: No such file or directory."
    (tmp_path / "it").write_text("{", encoding="utf-8")
    assert why_not(YAMLFile("it"), tmp_path) == "it is not YAML."
    (tmp_path / "it").write_text("5", encoding="utf-8")
    assert why_not(YAMLFile("it"), tmp_path) == "there is no list of objects."
    (tmp_path / "it").write_bytes(b"\xff")
    assert why_not(CSVFile("it"), tmp_path) == "it is not UTF-8 text."
    monkeypatch.setattr(sources, "LARGEST", 0)
    assert why_not(CSVFile("it"), tmp_path) == "it has more than 0 bytes."


class Counted(Kept):
    """A source that counts how often it is asked, and fails while it is told to."""

    def __init__(self) -> None:
        super().__init__(keep=60)
        self.asked, self.fails = 0, False

    def fetch(self) -> list[Any]:
        self.asked += 1
        if self.fails:
            raise SourceUnread("it fails.")
        return SITES


def test_what_was_read_is_kept_and_so_is_for_less_long_that_it_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, now = Counted(), 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert (source.rows(tmp_path), source.rows(tmp_path), source.asked) == (SITES, SITES, 1)
    now, source.fails = 1061.0, True
    assert {why_not(source, tmp_path), why_not(source, tmp_path)} == {"it fails."}
    assert source.asked == 2
    now, source.fails = 1067.0, False
    assert (source.rows(tmp_path), source.asked) == (SITES, 3)


class Answers(BaseHTTPRequestHandler):
    """Answers by path."""

    def do_GET(self) -> None:
        path = self.path.strip("/")
        if path == "drip":
            self.send_response(200)
            self.end_headers()
            # Until the client has gone.
            while not self.server.closing.wait(0.02):  # type: ignore[attr-defined]  # set by the fixture
                try:
                    self.wfile.write(b" ")
                except OSError:
                    return
        body = {
            "list": json.dumps(SITES),
            "within": json.dumps({"results": SITES}),
            "who": json.dumps([{"id": self.headers.get("Authorization")}]),
            "large": " " * 2000,
            "text": "no JSON",
            "deep": "[" * 100_000,
        }.get(path, "")
        self.send_response({"moved": 302, "": 404}.get(path, 200))
        self.send_header("Location", "/list")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.closing = threading.Event()  # type: ignore[attr-defined]  # for what would never end
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.closing.set()  # type: ignore[attr-defined]  # as above
    server.shutdown()
    server.server_close()
    serving.join()


def test_an_address_is_asked_for_its_list(address: str, tmp_path: Path) -> None:
    assert JSONAddress(f"{address}/list").rows(tmp_path) == SITES
    assert JSONAddress(f"{address}/within", at="results").rows(tmp_path) == SITES
    keyed = JSONAddress(f"{address}/who", headers=lambda: {"Authorization": "Token x"})
    assert keyed.rows(tmp_path) == [{"id": "Token x"}]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        pytest.param("moved", "the address answers with the status 302.", id="a redirect"),
        pytest.param("", "the address answers with the status 404.", id="nothing there"),
        pytest.param("text", "the address does not answer with JSON.", id="no JSON"),
        pytest.param("deep", "the address does not answer with JSON.", id="JSON that is too deep"),
        pytest.param("large", "the address answers with more than 1000 bytes.", id="too much"),
        pytest.param("drip", "the address takes too long to answer.", id="too long, bit by bit"),
    ],
)
def test_an_address_is_limited_and_not_named(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, why: str
) -> None:
    monkeypatch.setattr(sources, "LARGEST", 1000 if path == "large" else sources.LARGEST)
    assert why_not(JSONAddress(f"{address}/{path}", timeout=0.2 if path == "drip" else 5), tmp_path) == why


def test_an_address_where_nobody_is_is_not_named(tmp_path: Path) -> None:
    secret = "http://user:secret@127.0.0.1:1/"
    assert why_not(JSONAddress(secret), tmp_path) == "the address does not answer (ConnectError)."
    assert "secret" not in repr(JSONAddress(secret))


def test_a_query_gives_its_rows_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "it.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE sites (id INTEGER, name TEXT)")
        database.execute("INSERT INTO sites VALUES (1, 'Berlin'), (2, 'Lima')")
        database.commit()
    source = SQLQuery(
        "SELECT id, name FROM sites WHERE name = :name", url=lambda: f"sqlite:///{file}", parameters={"name": "Berlin"}
    )
    assert source.rows(tmp_path) == SITES
    changing = SQLQuery("UPDATE sites SET name = 'x' RETURNING id, name", url=f"sqlite:///{file}")
    assert len([*changing.rows(tmp_path)]) == 2
    assert SQLQuery("SELECT name FROM sites", url=f"sqlite:///{file}").rows(tmp_path) == [
        {"name": "Berlin"},
        {"name": "Lima"},
    ]


def test_a_query_that_fails_is_not_quoted(tmp_path: Path) -> None:
    assert why_not(SQLQuery("SELECT secret", url="sqlite://"), tmp_path) == (
        "the database does not answer (OperationalError)."
    )
    assert why_not(SQLQuery("SELECT 1", url="nothing://secret"), tmp_path) == (
        "the database does not answer (NoSuchModuleError)."
    )
