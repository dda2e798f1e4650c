"""``signoff check``: what modules of Jobs would register, and what stands in the way, before a server starts with them.

* It imports the modules, as a server does, and changes nothing; ``--fix-imports`` rewrites imports in their files.
* Every refusal has its file and line. If there is one, it exits with 1.
* Deployments that start the function of a flow without the gate are looked for where a server is known: with
  ``SIGNOFF_TOKEN``, among those that its user may view in Prefect.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

import flows
from api_shim.cli.console import AsJson, say, show
from api_shim.cli.remote import Insecure, Url
from api_shim.client.transport import HERE, check_key, check_private, opened, options, read_address, read_environment
from api_shim.names import imported_as
from api_shim.prefect_api.prefect_server import check_names
from api_shim.reconcile.desired_state import ENTRYPOINT
from api_shim.settings import read_settings
from approval_gate.errors import Unavailable
from flows.definition import JobDefinition
from flows.flow_jobs import FlowJob
from flows.imports import Import, nautobot_imports, with_our_imports
from flows.places import Place
from flows.registry import Discovery, Refusal, discover, load

PAGE = 200
"""Objects that Prefect is asked for at once."""

KNOWN = {*flows.__all__}
"""The names that can be imported from ``flows``."""


def check(
    modules: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODULE…", help="Modules or files with Jobs.", show_default="SIGNOFF_JOBS"),
    ] = None,
    fix_imports: Annotated[
        bool, typer.Option("--fix-imports", help="Import from flows what is imported from Nautobot; rewrites files.")
    ] = False,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Say which Jobs modules would register, and what is refused, with file and line.

    Example: signoff check jobs.py
    """
    sys.path.insert(0, str(Path.cwd()))
    check_names()
    names = [as_module(each) for each in modules] if modules else read_settings(None).job_modules
    files = [file for name in names for file in files_of(name)]
    if fix_imports:
        for file in filter(fix, files):
            say(f"{file}: imports from flows now.")
    found = discover(names)
    jobs, problems = [*found.jobs.values()], [*_problems(found, files)]
    try:
        round_the_gate = [*_round_the_gate(jobs, url, insecure=insecure)]
    except Unavailable as error:
        # What was found here is told all the same.
        round_the_gate = []
        typer.echo(f"The deployments of these Jobs were not checked: {error}", err=True)
    if as_json:
        show([*_rows(jobs), *_told(problems), *({"deployment": each} for each in round_the_gate)], (), as_json=True)
    else:
        _print(jobs, problems, round_the_gate)
    raise typer.Exit(1 if problems else 0)


def as_module(name: str) -> str:
    """Return the name of a module, of which the path of its file may be given; one elsewhere can be imported then."""
    path = Path(name).absolute()
    if not (path.suffix == ".py" or path.is_dir()):
        return imported_as(name)
    inside = path.is_relative_to(Path.cwd())
    if not inside:
        sys.path.insert(0, str(path.parent))
    parts = path.relative_to(Path.cwd() if inside else path.parent).with_suffix("").parts
    return imported_as(".".join(part for part in parts if part != "__init__"))


def files_of(module: str) -> list[Path]:
    """Return the files of a module, or of all modules of a package, without importing it."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    folders = [Path(each) for each in spec.submodule_search_locations or ()]
    inner = [file for folder in folders for file in sorted(folder.rglob("*.py"))]
    return inner or ([Path(spec.origin)] if spec.has_location and spec.origin else [])


def fix(file: Path) -> bool:
    """Rewrite what a file imports; say whether that has changed it."""
    try:
        # With the ends of its lines as they are.
        before = file.read_bytes().decode()
        after = with_our_imports(before, KNOWN)
    except (OSError, UnicodeDecodeError, SyntaxError):
        return False
    if after == before:
        return False
    file.write_bytes(after.encode())
    return True


def _problems(found: Discovery, files: Iterable[Path]) -> Iterator[Refusal]:
    imports = {Place(str(file), each.line): each for file in files for each in _imports(file)}
    # The line that could not be imported is told once, with what to write.
    yield from (each for each in found.problems if each.place not in imports)
    yield from (Refusal(module="", sentence=each.sentence, place=place) for place, each in imports.items())


def _imports(file: Path) -> list[Import]:
    try:
        return [*nautobot_imports(file.read_text(encoding="utf-8"), KNOWN)]
    except (OSError, UnicodeDecodeError, SyntaxError):
        return []


def _rows(jobs: Iterable[JobDefinition]) -> Iterator[dict[str, Any]]:
    for each in jobs:
        yield {
            "name": each.name,
            "class": each.class_path,
            "approval": each.approval_required,
            "sensitive": each.has_sensitive_variables,
            "variables": ", ".join(variable["name"] for variable in each.variables),
            "warnings": list(each.warnings),
        }


def _told(problems: Iterable[Refusal]) -> Iterator[dict[str, Any]]:
    for each in problems:
        yield {"refused": each.sentence, "file": each.place.file, "line": each.place.line}


def _print(jobs: list[JobDefinition], problems: list[Refusal], round_the_gate: list[str]) -> None:
    if jobs:
        show(_rows(jobs), ("name", "class", "approval", "sensitive", "variables"), as_json=False)
    for sentence in (warning for each in jobs for warning in each.warnings):
        say(f"warning: {sentence}")
    for sentence in round_the_gate:
        say(f"warning: {sentence}")
    for refusal in problems:
        say(f"refused: {refusal}")
    say(f"{len(jobs)} {'Job' if len(jobs) == 1 else 'Jobs'}, {len(problems)} refused.")


# Deployments


def _round_the_gate(jobs: Iterable[JobDefinition], url: str, *, insecure: bool) -> Iterator[str]:
    """Yield a sentence for each deployment that runs the flow of a Job without the gate."""
    made_of = {job._flow.name: each for each in jobs if issubclass(job := load(each.class_path), FlowJob)}
    token = read_environment().token
    if not made_of or token is None:
        return
    address = read_address(url)
    check_private(address, insecure=insecure)
    try:
        with opened(httpx.Client, **options(address, check_key(str(token).strip()))) as prefect:
            named = {each["id"]: each["name"] for each in _all(prefect, "flows")}
            deployments = [*_all(prefect, "deployments")]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        message = f"The deployments of the server could not be read ({type(error).__name__})."
        raise Unavailable(message) from error
    for each in deployments:
        gated = made_of.get(named.get(each["flow_id"], ""))
        if gated is not None and not (each.get("entrypoint") or "").startswith(f"{ENTRYPOINT}."):
            yield (
                f"The deployment {named[each['flow_id']]}/{each['name']} runs {each.get('entrypoint')} without asking "
                f"anybody; {gated.class_path} is the Job of that flow. Delete the deployment, or its schedules."
            )


def _all(prefect: httpx.Client, kind: str) -> Iterator[dict[str, Any]]:
    offset = 0
    while True:
        answer = prefect.post(f"/api/{kind}/filter", json={"limit": PAGE, "offset": offset})
        answer.raise_for_status()
        page: list[dict[str, Any]] = answer.json()
        yield from page
        if len(page) < PAGE:
            return
        offset += PAGE
