"""The rules of the architecture, and no module that no rule names.

The rules about who may import whom, even indirectly, stand in ``pyproject.toml`` for import-linter.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("approval_gate", "flows", "api_shim")
FILES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

LONGEST_FUNCTION = 40

ASKED: dict[str, set[str]] = {
    "api_shim/keys.py": {"chance"},  # keys
    "api_shim/settings.py": {"clock", "chance"},  # the shell's, and the audit's key; pydantic reads the environment
    "api_shim/reconcile/approval_requests.py": {"chance"},  # ids
    "api_shim/store/migrations/versions/0031_approval_requests.py": {"chance"},  # ids of those that wait
    "api_shim/worker/traces.py": {"environment"},  # whether traces are recorded
    "api_shim/delivery/sending_process.py": {"environment"},  # how it starts, and its way out
    "api_shim/services/retention.py": {"clock"},  # how long a batch took, and so how long to pause
    "api_shim/prefect_api/prefect_server.py": {"environment"},  # Prefect is configured by it
    "api_shim/prefect_api/prefect_external.py": {"environment"},  # where the Prefect server of others is
    "api_shim/store/migrations/versions/0020_missed_firings.py": {"clock"},  # when what waits was revoked
    "api_shim/prefect_api/prefect_polls.py": {"clock"},  # when a poll was last noted
    "api_shim/prefect_api/prefect_client.py": {"clock"},  # how long a worker has been silent
    "api_shim/client/client.py": {"clock"},  # how long somebody has waited
    "api_shim/cli/up.py": {"chance"},  # the password of Prefect's own clients
    "api_shim/cli/jobs_user.py": {"environment"},  # what runs as another user are given
    "api_shim/cli/config.py": {"environment"},  # it shows what Prefect is told there
    "api_shim/cli/worker.py": {"environment"},  # where Prefect is, and where Jobs are imported from
    "api_shim/worker/prefect_calls.py": {"chance"},  # the id of a transition, as Prefect's own client makes it
    "api_shim/worker/prefect_ways.py": {"chance", "clock"},  # names, and the heartbeats of workers that have gone
    "api_shim/worker/prefect_handed.py": {"clock"},  # waits until a run is to begin
    "api_shim/worker/prefect_run.py": {"environment", "chance"},  # a run's own environment; generators seeded anew
    "api_shim/worker/prefect_worker.py": {"clock", "environment"},  # what is due; what runs are given
    "api_shim/worker/prefect_zygote.py": {"clock", "environment"},  # when files changed; what runs are given
    "api_shim/worker/process.py": {"environment"},  # what the worker does not pass on
    "api_shim/worker/supervisor.py": {"clock", "environment"},  # how soon the worker ended; what it is given
    "api_shim/store/notices.py": {"chance"},  # which server it is that tells something
    "api_shim/services/account_admin.py": {"chance"},  # ids
    "api_shim/services/accounts.py": {"chance"},  # ids
    "api_shim/services/notifications.py": {"chance"},  # ids
    "api_shim/services/user_names.py": {"chance"},  # ids
    "api_shim/store/migrations/versions/0015_names_over_time.py": {"chance"},  # ids
    "api_shim/services/command_line_sign_in.py": {"chance"},  # codes and ids
    "api_shim/cli/login.py": {"chance", "clock"},  # what a sign-in begins with; how long the browser is waited for
    "api_shim/services/provider_accounts.py": {"chance"},  # ids
    "api_shim/services/provider_address.py": {"chance"},  # ids
    "api_shim/services/provider_sign_in.py": {"chance"},  # what a browser begins with
    "api_shim/services/sessions.py": {"chance"},  # keys of sessions
    "api_shim/web/request_ids.py": {"chance"},  # ids of requests
    "api_shim/web/bodies.py": {"chance"},  # ids of files
    "api_shim/web/pages/sign_in.py": {"chance"},  # what ties a form to its page
    "api_shim/services/jobs.py": {"chance"},  # ids
    "api_shim/services/triggers.py": {"chance"},  # ids
    "api_shim/services/schedules.py": {"chance"},  # ids
    "api_shim/services/runs.py": {"chance"},  # ids
    "approval_gate/prefect_gate.py": {"clock", "environment"},  # within a run
    "flows/prefect_flow.py": {"chance"},  # within a run
    "flows/examples/__init__.py": {"clock"},  # what the Jobs do
    "flows/examples/certificates.py": {"clock", "environment"},  # how long one is valid; where the servers stand
    "flows/sources.py": {"clock"},  # how long objects have been kept, and an answer has taken
}
"""Who asks the time, the environment or chance, and why; the others are told."""

TESTED_BY: dict[str, str] = {
    "api_shim/web/rest/routers.py": "tests/api_shim/web/rest/test_access.py",
    "api_shim/domain/approval.py": "tests/api_shim/services/test_approval_state.py",
    "api_shim/reconcile/run_status.py": "tests/api_shim/test_background.py",
    "api_shim/reconcile/load.py": "tests/api_shim/web/test_load.py",
    # Vocabulary without rules of its own.
    "approval_gate/model.py": "tests/approval_gate/test_policy.py",
    "api_shim/domain/ports.py": "tests/api_shim/prefect_api/test_prefect_client.py",
    "api_shim/schemas.py": "tests/api_shim/web/rest/test_serializers.py",
    "api_shim/reconcile/outbox.py": "tests/api_shim/test_background.py",
    "api_shim/reconcile/recovery.py": "tests/api_shim/test_background.py",
    "api_shim/reconcile/drift.py": "tests/api_shim/test_background.py",
    "api_shim/store/postgresql.py": "tests/api_shim/store/test_locks.py",
    "api_shim/store/column_types.py": "tests/api_shim/store/test_tables.py",
    # What runs within Prefect.
    # Thin shells, tested through HTTP.
    "api_shim/domain/accounts.py": "tests/api_shim/services/test_sessions.py",
    "api_shim/store/migrations/versions/0003_sessions.py": "tests/api_shim/store/test_database.py",
    # Pages, tested in a browser.
    "api_shim/web/pages/visit.py": "tests/acceptance/test_pages.py",
    "api_shim/domain/identity_providers.py": "tests/api_shim/test_oidc.py",
    "api_shim/services/provider_accounts.py": "tests/api_shim/services/test_provider_sign_in.py",
    "api_shim/web/pages/command_line.py": "tests/api_shim/services/test_command_line_sign_in.py",
    "api_shim/cli/kept_logins.py": "tests/api_shim/cli/test_login.py",
    "api_shim/web/pages/button_groups.py": "tests/api_shim/web/pages/test_job_buttons.py",
    "api_shim/web/pages/sign_in.py": "tests/acceptance/test_pages.py",
    "api_shim/web/pages/jobs.py": "tests/browser/test_pages_jobs.py",
    "api_shim/web/pages/schedule_filters.py": "tests/api_shim/web/pages/test_scheduled_jobs.py",
    "api_shim/web/pages/schedule_calendar.py": "tests/api_shim/web/pages/test_scheduled_jobs.py",
    "api_shim/web/pages/users.py": "tests/api_shim/web/pages/test_administration.py",
    "api_shim/web/pages/groups.py": "tests/api_shim/web/pages/test_administration.py",
    "api_shim/web/pages/permissions.py": "tests/api_shim/web/pages/test_administration.py",
    "api_shim/web/pages/workers.py": "tests/api_shim/web/pages/test_administration.py",
    "api_shim/web/pages/audit.py": "tests/api_shim/web/pages/test_administration.py",
    "api_shim/web/pages/system.py": "tests/api_shim/web/pages/test_administration.py",
    "api_shim/services/worker_accounts.py": "tests/api_shim/web/pages/test_administration.py",
    "api_shim/services/audit_reading.py": "tests/api_shim/web/pages/test_administration.py",
    "api_shim/services/system_state.py": "tests/api_shim/web/pages/test_administration.py",
    "api_shim/web/pages/sections.py": "tests/api_shim/web/pages/test_administration.py",
    "api_shim/services/account_views.py": "tests/api_shim/web/pages/test_administration.py",
    "api_shim/web/pages/crontab.py": "tests/browser/test_pages_run.py",
    "api_shim/web/pages/approval_queue.py": "tests/browser/test_pages_approval_queue.py",
    "api_shim/web/rest/job_results.py": "tests/api_shim/web/rest/test_lists.py",
    "api_shim/reconcile/approval_requests.py": "tests/api_shim/services/test_approval_requests.py",
    "api_shim/web/pages/approval_requests.py": "tests/browser/test_pages_approval_queue.py",
    "api_shim/web/rest/approval_requests.py": "tests/api_shim/web/rest/test_access.py",
    "api_shim/web/rest/automation_accounts.py": "tests/api_shim/web/rest/test_access.py",
    "api_shim/web/rest/files.py": "tests/api_shim/services/test_result_files.py",
    "api_shim/cli/places.py": "tests/api_shim/cli/test_cli.py",
    "api_shim/services/request_checks.py": "tests/api_shim/mcp_server/test_tools.py",
    "api_shim/web/csv_cells.py": "tests/api_shim/web/rest/test_csv_answers.py",
    "api_shim/cli/mcp.py": "tests/acceptance/test_mcp.py",
    "api_shim/cli/downloads.py": "tests/api_shim/cli/test_result.py",
    "api_shim/domain/files.py": "tests/api_shim/store/test_tables.py",
    "api_shim/web/rest/jobs.py": "tests/api_shim/web/rest/test_lists.py",
    "api_shim/web/rest/scheduled_jobs.py": "tests/acceptance/test_approval.py",
    "api_shim/web/rest/prefect_paths.py": "tests/acceptance/test_bypass.py",
    "api_shim/web/deps.py": "tests/api_shim/web/rest/test_contract_2_conventions.py",
    "api_shim/web/rest/admission.py": "tests/api_shim/web/rest/test_access.py",
    "api_shim/web/rest/operation.py": "tests/api_shim/web/rest/test_access.py",
    "api_shim/web/rest/meta.py": "tests/api_shim/web/rest/test_contract_2_conventions.py",
    "api_shim/web/rest/users.py": "tests/api_shim/web/rest/test_users.py",
    "api_shim/web/rest/triggers.py": "tests/api_shim/services/test_triggers.py",
    "api_shim/parsing/trigger.py": "tests/api_shim/services/test_triggers.py",
    "api_shim/services/job_buttons.py": "tests/api_shim/web/pages/test_job_buttons.py",
    "api_shim/prefect_api/prefect_profile.py": "tests/api_shim/cli/test_config.py",
    # Calls are tested by one table, and where they are carried out by both who do that.
    "api_shim/client/operations/approvals.py": "tests/api_shim/calls/test_calls.py",
    "api_shim/client/operations/job_queues.py": "tests/api_shim/calls/test_calls.py",
    "api_shim/client/operations/triggers.py": "tests/api_shim/calls/test_calls.py",
    "api_shim/cli/job_hooks.py": "tests/api_shim/cli/test_job_buttons.py",
    "api_shim/client/operations/jobs.py": "tests/api_shim/calls/test_calls.py",
    "api_shim/client/operations/preferences.py": "tests/api_shim/calls/test_calls.py",
    "api_shim/parsing/preferences.py": "tests/api_shim/services/test_preferences.py",
    "api_shim/client/operations/scheduled_jobs.py": "tests/api_shim/calls/test_calls.py",
    "api_shim/client/async_client.py": "tests/api_shim/client/test_client.py",
    # It stands on the path, and is in no package.
    "api_shim/worker/first/flows.py": "tests/api_shim/test_names.py",
    # What runs in forked processes.
    "api_shim/worker/prefect_zygote.py": "tests/api_shim/worker/test_fork_server.py",
    "api_shim/worker/prefect_run.py": "tests/api_shim/worker/test_fork_server.py",
    "api_shim/worker/__main__.py": "tests/acceptance/test_workers.py",
    # The start, tested as a process.
    "api_shim/cli/__main__.py": "tests/api_shim/cli/test_cli.py",
    # Migrations are compared with the tables.
    "api_shim/store/migrations/env.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0001_first_tables.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0036_favourite_jobs.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0004_newest_results.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0005_own_ids.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0006_cancelling_and_request_keys.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0007_every_firing_recorded.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0008_leases.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0009_approval_switched_off.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0010_signed_heads.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0011_tokens_under_control.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0012_edited_requests.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0013_whole_code.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0014_run_credentials.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0016_names_in_the_audit.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0017_accounts_of_workers_only.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0018_sensitive_schedules.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0015_names_over_time.py": "tests/api_shim/store/test_database.py",
    "api_shim/store/migrations/versions/0019_running_servers.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0020_missed_firings.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0021_overlapping_runs.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0022_job_variables.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0023_services_heard_of.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0025_requests_from_runs.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0024_pools_of_queues.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0026_files_of_results.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0027_files_of_inputs.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0028_suspended_runs.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0042_addresses_of_providers.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0039_targets_that_fail.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0037_notifications.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0040_tags_and_sessions.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0033_identities.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0031_approval_requests.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0034_agents.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0032_preferences_of_users.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0030_hooks_and_buttons.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0029_accounts_of_automations.py": "tests/api_shim/store/test_schema.py",
    "api_shim/store/migrations/versions/0002_queues_and_deleted_results.py": "tests/api_shim/store/test_database.py",
}
"""The modules whose test is not their mirror image."""


def named(paths: list[Path]) -> list[str]:
    return [path.as_posix() for path in paths]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """Return the names of the top-level packages that a module imports."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


# Who imports whom


def test_the_import_contracts_hold() -> None:
    pytest.importorskip("importlinter.cli", reason="import-linter is part of the dev extra")
    # In a process of its own, for it switches off the loggers of the one that it runs in.
    checker = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([checker, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_import_contracts_name_modules_that_exist_and_the_whole_core() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers, _, core, *_ = config["tool"]["importlinter"]["contracts"]
    assert layers["layers"] == [*reversed(PACKAGES)]
    dry = {name.replace(".", "/") + ".py" for name in core["source_modules"] if not name.startswith("api_shim.")}
    assert dry <= {*named(FILES)}
    lower = {path.as_posix() for path in FILES if path.parts[0] != "api_shim" and path.stem != "__init__"}
    assert lower - dry == {
        *("approval_gate/prefect_gate.py", "flows/prefect_flow.py"),
        # They ask others for objects.
        *("flows/prefect_source.py", "flows/sources.py", "flows/examples/certificates.py"),
        "flows/examples/prefect_feed.py",
    }


def test_prefect_is_imported_by_files_that_say_so() -> None:
    assert [path for path in FILES if "prefect" in imported(path) and not path.name.startswith("prefect_")] == []


def test_the_database_is_known_to_the_store_alone() -> None:
    knowing = [path for path in FILES if imported(path) & {"sqlalchemy", "alembic", "sqlite3", "psycopg"}]
    doors = {("api_shim", "store")}
    # Prefect's way to its own SQLite is mended there.
    mended = [f"api_shim/prefect_api/prefect_{what}.py" for what in ("related", "sqlite")]
    assert named([path for path in knowing if path.parts[:2] not in doors]) == [
        *mended,
        "flows/examples/__init__.py",
        "flows/sources.py",
    ]


# The picture and the walks in api_shim/README.md


def drawn() -> str:
    return (ROOT / "api_shim" / "README.md").read_text(encoding="utf-8")


def test_the_picture_of_the_packages_is_the_rule_and_names_all_that_is_there() -> None:
    picture = re.search(r"```text\n(.*?)```", drawn(), re.DOTALL)
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][1]["layers"]
    assert picture is not None
    assert picture[1].splitlines() == layers
    there = {path.parts[1].removesuffix(".py") for path in FILES if path.parts[0] == "api_shim"} - {"__init__"}
    assert {name.strip("() ") for layer in layers for name in layer.split("|")} == there


def test_the_walks_pass_files_that_are_there_and_none_twice() -> None:
    walks = drawn().split("## Follow one request")[1].split("## Where a new line goes")[0].split("### ")[1:]
    assert len(walks) == 6
    for walk in walks:
        passed = re.findall(r"`([\w/]+\.py)`", walk)
        assert len(passed) == len({*passed}) > 4, walk
        missing = [name for name in passed if not ((ROOT / name).exists() or (ROOT / "api_shim" / name).exists())]
        assert not missing


# Told the time


def asks(path: Path) -> Iterator[str]:
    """Yield what a module asks of the world around it."""
    clocks = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
    clocks |= {f"time.{name}" for name in ("time", "time_ns", "monotonic", "perf_counter")}
    environment = {"os.environ", "os.getenv"}
    if imported(path) & {"secrets", "random"}:
        yield "chance"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute):
            whole = ast.unparse(node)
            if whole in clocks:
                yield "clock"
            if whole in environment:
                yield "environment"
        elif isinstance(node, ast.Name) and node.id in {"uuid1", "uuid4"}:
            yield "chance"


def test_who_asks_the_time_the_environment_or_chance_is_listed() -> None:
    asking = {path.as_posix(): set(asks(path)) for path in FILES}
    assert {path: what for path, what in asking.items() if what} == ASKED


# The mirror


def is_tested(path: Path) -> bool:
    mirror = f"tests/{path.parent.as_posix()}/test_{path.stem}.py"
    return any((ROOT / test).exists() for test in (mirror, TESTED_BY.get(path.as_posix(), mirror)))


def test_every_module_has_its_test() -> None:
    assert [path for path in FILES if path.stem != "__init__" and not is_tested(path)] == []


def test_no_module_is_listed_that_is_not_there() -> None:
    assert {*TESTED_BY} | {*ASKED} <= {*named(FILES)}
    assert all((ROOT / test).exists() for test in TESTED_BY.values())


# Size and names


def functions() -> Iterator[tuple[str, int]]:
    """Yield every function with the number of its lines, less those of its docstring."""
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                documented = ast.get_docstring(node) is not None
                first = node.body[0]
                docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
                yield f"{path}:{node.name}", (node.end_lineno or 0) - node.lineno + 1 - docstring


def test_a_function_fits_on_a_screen() -> None:
    longer = {name: lines for name, lines in functions() if lines > LONGEST_FUNCTION and "/migrations/" not in name}
    assert longer == {}


def test_a_module_is_called_after_what_it_does_and_says_it() -> None:
    moods = {"utils", "util", "helpers", "helper", "manager", "base", "misc", "core"}
    assert [path for path in FILES if path.stem in moods] == []
    assert [path for path in FILES if not ast.get_docstring(tree(path))] == []
