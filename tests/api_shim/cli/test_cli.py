"""The command line as a whole: what a new user sees, in this process and as a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from api_shim.cli import app
from api_shim.cli.places import Place
from tests.api_shim.cli.conftest import Run


def commands() -> list[tuple[str, ...]]:
    """Return every command and every group of them, as it is typed."""
    found: list[tuple[str, ...]] = [()]
    for name, command in getattr(typer.main.get_command(app), "commands", {}).items():
        found.append((name,))
        found += [(name, inner) for inner in getattr(command, "commands", {})]
    return found


STARTS = {"up", "server", "services", "worker"}
"""The commands that start something that stays."""


def test_the_commands_are_those_that_are_documented() -> None:
    assert {" ".join(words) for words in commands() if len(words) == 2 or {*words} & STARTS} == {
        *STARTS,
        "worker-token add",
        *(f"deploy {what}" for what in ("systemd", "compose", "kubernetes")),
        *(
            f"user {verb}"
            for verb in ("add", "password", "remove", "worker", "agent", "activate", "deactivate", "list")
        ),
        *(f"user {verb}" for verb in ("link", "unlink")),
        *(f"token {verb}" for verb in ("add", "list", "revoke")),
        *(f"group {verb}" for verb in ("add", "remove", "join", "leave", "list")),
        *(f"permission {verb}" for verb in ("add", "remove", "list")),
        *(f"audit {verb}" for verb in ("list", "verify", "export", "accept")),
        *(f"db {verb}" for verb in ("check", "upgrade", "downgrade")),
        *(f"backup {verb}" for verb in ("create", "restore")),
        *(f"job-queue {verb}" for verb in ("list", "add", "move", "delete")),
        *(f"{what} {verb}" for what in ("job-button", "job-hook") for verb in ("list", "add", "delete")),
        *(f"automation {verb}" for verb in ("list", "bind", "unbind", "install")),
        *(f"job {verb}" for verb in ("list", "show", "enable", "disable", "variables")),
        *(f"schedule {verb}" for verb in ("list", "show", "download", "change", "enable", "disable", "delete")),
        *(f"schedule {verb}" for verb in ("take-over", "transfer", "explain", "upcoming")),
        *(f"result {verb}" for verb in ("list", "show", "logs", "wait", "cancel", "resume", "run-again", "delete")),
        *(f"result {verb}" for verb in ("files", "download")),
    }


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help_and_makes_nothing_of_it(signoff: Run, home: Path, words: tuple[str, ...]) -> None:
    printed = signoff(*words, "--help")
    assert printed.status == 0
    assert printed.err == ""
    assert f"signoff {' '.join(words)}".strip() in printed.out
    assert not home.exists()


def options_of(words: tuple[str, ...]) -> set[str]:
    command = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]  # type: ignore[attr-defined]  # a group
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("words", [words for words in commands() if len(words) == 2], ids=" ".join)
def test_every_command_takes_a_home_or_goes_to_a_server(words: tuple[str, ...]) -> None:
    options = options_of(words)
    if words[0] == "deploy":
        # It only prints, and opens nothing.
        assert not {"--home", "--url", "--json"} & options
        return
    goes_to_server = words[0] in {"automation", "job", "job-queue", "job-button", "job-hook", "schedule", "result"}
    assert (("--home" in options), {"--url", "--insecure"} <= options) == (not goes_to_server, goes_to_server)
    shows = (
        words[1] not in {"delete", "download", "unbind", "install"}
        if goes_to_server
        else words[1] in {"list", "check"} or "--dry-run" in options
    )
    assert ("--json" in options) is shows


def asks_server(words: tuple[str, ...]) -> bool:
    return "--url" in options_of(words)


def opens_home(words: tuple[str, ...]) -> bool:
    return "--home" in options_of(words)


@pytest.mark.parametrize(
    "group", sorted({words[0] for words in commands() if len(words) == 2 and words[0] != "deploy"}), ids=str
)
def test_all_commands_of_a_group_do_the_same_and_its_help_says_which(signoff: Run, group: str) -> None:
    [place] = {
        Place.SERVER if asks_server(words) else Place.HOME
        for words in commands()
        if len(words) == 2 and words[0] == group
    }
    said = " ".join(signoff(group, "--help").out.split())
    assert [each for each in Place if each.sentence in said] == [place]


@pytest.mark.parametrize(
    "words", [words for words in commands() if asks_server(words) is not opens_home(words)], ids=" ".join
)
def test_the_option_of_the_other_place_is_refused_in_a_sentence(
    signoff: Run, home: Path, words: tuple[str, ...]
) -> None:
    place, other = ("SERVER", "--home=x") if asks_server(words) else ("HOME", "--url")
    printed = signoff(*words, "x", other)
    assert printed.status == 2
    assert Place[place].sentence in " ".join(printed.err.replace("│", " ").split())
    assert not home.exists()


HOMELESS = [
    pytest.param(words, id=" ".join(words))
    for words in (
        *(("user", *more) for more in (("add", "a"), ("remove", "a"), ("worker", "a"), ("activate", "a"), ("list",))),
        ("user", "password", "a"),
        ("user", "deactivate", "a"),
        ("user", "agent", "a", "--for", "b"),
        ("user", "link", "a", "b"),
        ("user", "unlink", "a"),
        ("token", "add", "a"),
        ("token", "list"),
        ("token", "revoke", "a"),
        ("worker-token", "add", "a"),
        *(("group", verb, "a") for verb in ("add", "remove")),
        *(("group", verb, "a", "b") for verb in ("join", "leave")),
        ("group", "list"),
        ("permission", "add", "a", "--types", "extras.job", "--actions", "view"),
        ("permission", "remove", "a"),
        ("permission", "list"),
        ("audit", "list"),
        ("audit", "verify"),
        ("audit", "export"),
        ("audit", "accept"),
        ("backup", "create", "file"),
        ("db", "check"),
        ("db", "downgrade", "-1"),
        ("prune", "--older-than", "90d"),
    )
]


@pytest.mark.parametrize("words", HOMELESS)
def test_a_home_that_is_none_is_an_error_and_no_new_home(signoff: Run, home: Path, words: tuple[str, ...]) -> None:
    assert str(home) in signoff(*words, stdin=b"a long enough password").refusal
    assert not home.exists()
    # Nor is a folder that is there, and no home, made one.
    home.mkdir()
    assert str(home) in signoff(*words, stdin=b"a long enough password").refusal
    assert [*home.iterdir()] == []


def test_each_command_that_opens_a_home_is_tried_without_one_or_makes_one() -> None:
    tried = {" ".join(each.values[0][:2]) for each in HOMELESS}
    makes = {*STARTS, "db upgrade", "backup restore"}
    shows_settings = {"config"}
    commanded = {" ".join(words) for words in commands() if opens_home(words)}
    assert {name.removesuffix(" --older-than") for name in tried} == commanded - makes - shows_settings


@pytest.mark.parametrize(
    "words", [words for words in commands() if words and "--url" in options_of(words)], ids=" ".join
)
def test_every_command_that_goes_to_a_server_has_an_example(signoff: Run, words: tuple[str, ...]) -> None:
    assert f"Example: signoff {' '.join(words)}" in signoff(*words, "--help").out


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("fly",), id="no such command"),
        pytest.param(("user", "fly"), id="no such verb"),
        pytest.param(("user", "add"), id="an argument is missing"),
        pytest.param(("user", "add", "a", "b"), id="one too many"),
        pytest.param(("user", "add", "a", "--bogus"), id="no such option"),
        pytest.param(("permission", "add", "p", "--types", "extras.job"), id="an option is missing"),
    ],
)
def test_a_wrong_call_is_told_with_its_usage(signoff: Run, home: Path, words: tuple[str, ...]) -> None:
    printed = signoff(*words)
    assert printed.status == 2
    assert "Usage: signoff" in printed.err
    assert not home.exists()


@pytest.mark.parametrize("words", [(), ("user",), ("token",), ("group",), ("permission",), ("job",)])
def test_a_call_of_nothing_shows_what_there_is(signoff: Run, words: tuple[str, ...]) -> None:
    printed = signoff(*words)
    assert printed.status == 2
    assert "Commands" in printed.out + printed.err


# As real processes


def process(home: Path, *words: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SIGNOFF_"))}
    command = [sys.executable, "-m", "api_shim.cli", *words, "--home", str(home)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, env={**kept, **env}, timeout=60)


@pytest.mark.usefixtures("tables")
def test_a_key_can_be_piped_in_and_is_not_repeated(home: Path) -> None:
    assert process(home, "user", "add", "alice").returncode == 0
    given = process(home, "token", "add", "alice", "--key-stdin", stdin=b"0123456789abcdef0123\nmore\n")
    assert (given.returncode, given.stdout, given.stderr) == (
        0,
        b"alice can sign in with the given key.\n",
        b"",
    )


@pytest.mark.usefixtures("tables")
def test_a_mistake_is_one_sentence_and_no_traceback(home: Path) -> None:
    done = process(home, "token", "add", "nobody")
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"error: There is no user named 'nobody'.\n")


@pytest.mark.usefixtures("tables")
def test_what_the_shell_cannot_spell_is_refused_too(home: Path) -> None:
    done = process(home, "group", "add", os.fsdecode(b"\xff\xfe"))
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: A group name has")


def test_a_database_that_cannot_be_reached_is_one_sentence_without_its_password(home: Path) -> None:
    done = process(home, "user", "list", SIGNOFF_DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/x")
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: The store cannot be used: ")
    assert done.stderr.count(b"\n") == 1
    assert b"hunter2" not in done.stdout + done.stderr
