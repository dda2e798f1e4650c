"""What people do with pynautobot, the client that they already use, in a process of its own:
``python -m tests.acceptance.pynautobot_scenarios``, with the server on standard input as JSON.

So the same can be done with each line of the client, as it is: the one that the process finds is the one in use.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pynautobot
from pynautobot.core.endpoint import DetailEndpoint
from pynautobot.core.query import RequestError

FAR = "2030-01-01T01:00:00.000Z"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server.

    Args:
        url: its address.
        admin: a superuser's key.
        bob: the key of somebody who may decide.
        word: makes names unique.
    """

    url: str
    admin: str
    bob: str
    word: str

    def client(self, key: str | None = None, **options: Any) -> Any:
        return pynautobot.api(url=self.url, token=key or self.admin, **options)


@contextmanager
def refused(reason: str) -> Iterator[None]:
    """Expect that the client shows this reason."""
    said = "nothing"
    try:
        yield
    except RequestError as error:
        said = str(error.error)
    assert reason in said.replace(chr(92), ""), said


def scheduled(nb: Any, name: str, job: str = "Greet", interval: str = "daily") -> Any:
    """Schedule a Job as the documentation does, and return the scheduled job."""
    schedule = {"name": name, "interval": interval, "start_time": FAR}
    made = nb.extras.jobs.run(job_name=job, data={}, schedule=schedule)
    assert made.job_result is None
    return nb.extras.scheduled_jobs.get(made.scheduled_job["id"])


def decide(record: Any, how: str, body: Any = None) -> Any:
    """Decide about a scheduled job; the client has no method for this, so by its way to what is below an object."""
    return DetailEndpoint(record, how).create(body)


def done(nb: Any, result_id: str) -> Any:
    """Return a job result once it is over."""
    for _ in range(600):
        result = nb.extras.job_results.get(result_id)
        if result.date_done:
            return result
        time.sleep(0.1)
    raise AssertionError(f"It is not over: {result.status}")


# Beginning


def the_client_is_made_and_knows_the_version(server: Server) -> None:
    assert server.client().version == "2.4"
    assert server.client(api_version="2.0").version == "2.0"
    assert server.client().status()["prefect"] == "ok"


def a_wrong_token_is_refused(server: Server) -> None:
    with refused("Invalid token"):
        list(server.client("0" * 40).extras.jobs.all())


def a_version_that_there_is_not_is_refused(server: Server) -> None:
    with refused('Invalid version "9.9"'):
        list(server.client(api_version="9.9").extras.jobs.all())


def the_document_of_the_api_is_read(server: Server) -> None:
    document = server.client().openapi()
    assert "/api/extras/scheduled-jobs/" in document["paths"]


# Jobs


def jobs_are_found_by_id_by_name_and_by_filter(server: Server) -> None:
    jobs = server.client().extras.jobs
    by_name = jobs.get(name="Greet")
    assert by_name.name == "Greet"
    assert jobs.get(by_name.id).job_class_name == "Greet"
    assert [job.id for job in jobs.filter(name=["Greet"])] == [by_name.id]
    assert [job.id for job in jobs.filter("Says hello")] == [by_name.id]
    assert {"Greet", "Guarded"} <= {job.name for job in jobs.all()}
    assert jobs.get(name="Nobody") is None
    assert jobs.get("00000000-0000-4000-8000-000000000000") is None
    assert by_name.default_job_queue.id == by_name.job_queues[0].id


def a_job_is_changed_and_put_back(server: Server) -> None:
    nb = server.client()
    job = nb.extras.jobs.get(name="Sleep")
    assert job.update({"description": "Sleeps well.", "soft_time_limit": 99}) is True
    again = nb.extras.jobs.get(job.id)
    assert (again.description, again.description_override, again.soft_time_limit) == ("Sleeps well.", True, 99)
    assert again.update({"description_override": False, "soft_time_limit_override": False}) is True
    assert nb.extras.jobs.get(job.id).description_override is False
    job = nb.extras.jobs.get(job.id)
    job.hidden = True
    assert job.save() is True
    assert nb.extras.jobs.get(job.id).hidden is True
    assert nb.extras.jobs.update(job.id, {"hidden_override": False})


def the_variables_of_a_job_are_read(server: Server) -> None:
    job = server.client().extras.jobs.get(name="Greet")
    variables = DetailEndpoint(job, "variables").list()
    assert [variable["name"] for variable in variables] == ["who", "count", "file"]


# Running


def a_job_runs_by_its_id_by_its_name_and_by_itself(server: Server) -> None:
    nb = server.client()
    job = nb.extras.jobs.get(name="Greet")
    made = [
        nb.extras.jobs.run(job_id=job.id, data={"who": "Ada"}),
        nb.extras.jobs.run(job_name="Greet", data={"who": "Ada"}),
        job.run(data={"who": "Ada"}, task_queue="default"),
    ]
    results = [done(nb, each.job_result["id"]) for each in made]
    assert {(result.status.value, result.result["greeted"]) for result in results} == {("SUCCESS", "Ada")}


def a_job_is_run_and_waited_for(server: Server) -> None:
    nb = server.client()
    job = nb.extras.jobs.get(name="Greet")
    made = nb.extras.jobs.run_and_wait(job_id=job.id, data={"who": "Grace"}, interval=1, max_rechecks=60)
    assert str(made.job_result.status) == "SUCCESS"
    failed = nb.extras.jobs.run_and_wait(job_name="Break", data={}, interval=1, max_rechecks=60)
    assert failed.job_result.status.value == "FAILURE"
    assert "broken on purpose" in failed.job_result.traceback


def a_refusal_of_a_run_shows_the_reason(server: Server) -> None:
    nb = server.client()
    with refused("Job data contained an unknown property"):
        nb.extras.jobs.run(job_name="Greet", data={"bogus": 1})
    with refused("Please provide a name for the job schedule."):
        nb.extras.jobs.run(job_name="Greet", data={}, schedule={"interval": "daily", "start_time": FAR})
    with refused("No Job matches the given query."):
        nb.extras.jobs.run(job_name="Nobody", data={})


def results_and_logs_are_read_and_filtered(server: Server) -> None:
    nb = server.client()
    made = nb.extras.jobs.run(job_name="Greet", data={"who": server.word})
    result = done(nb, made.job_result["id"])
    assert result.id in {row.id for row in nb.extras.job_results.filter(name="Greet")}
    assert [row.id for row in nb.extras.job_results.filter(id=[result.id])] == [result.id]
    assert nb.extras.job_results.count(id=result.id) == 1
    assert result.id in {row.id for row in nb.extras.job_results.all()}
    assert result.job_model.name == "Greet"
    assert result.task_kwargs["who"] == server.word
    lines = DetailEndpoint(result, "logs").list()
    assert f"Hello {server.word}" in {line["message"] for line in lines}
    logs = nb.extras.job_logs.filter(job_result=result.id)
    assert f"Hello {server.word}" in {line.message for line in logs}
    assert f"Hello {server.word}" in {line.message for line in nb.extras.job_logs.all()}
    assert {"value": "SUCCESS", "display": "SUCCESS"} in nb.extras.job_results.choices()["status"]


def results_are_deleted(server: Server) -> None:
    nb = server.client()
    ids = [nb.extras.jobs.run(job_name="Greet", data={}).job_result["id"] for _ in range(3)]
    results = [done(nb, each) for each in ids]
    assert results[0].delete() is True
    assert nb.extras.job_results.delete(results[1:]) is True
    assert [nb.extras.job_results.get(each) for each in ids] == [None] * 3


# Scheduled jobs


def scheduled_jobs_are_listed_found_and_counted(server: Server) -> None:
    nb = server.client()
    row = scheduled(nb, server.word)
    every = nb.extras.scheduled_jobs
    assert row.id in {each.id for each in every.all()}
    assert [each.id for each in every.filter(name=row.name)] == [row.id]
    assert [each.id for each in every.filter(row.name)] == [row.id]
    assert (every.get(name=row.name).interval, every.get(row.id).start_time) == ("daily", "2030-01-01T01:00:00Z")
    assert (every.count(name=row.name), every.count("nothing is called so")) == (1, 0)
    assert (row.job_model.name, row.user.username) == ("Greet", "admin")
    assert str(row) == f"{row.name}: daily"
    assert [each.id for each in every.filter(name__isw=server.word.upper(), start_time__gte=FAR)] == [row.id]
    assert [each.id for each in every.filter(name=row.name, user="admin", job_model=["Greet"])] == [row.id]
    with refused("Unknown filter field"):
        every.filter(bogus=1)
    upcoming = DetailEndpoint(row, "upcoming").list(count=2)
    assert upcoming["firings"] == ["2030-01-01T01:00:00Z", "2030-01-02T01:00:00Z"]
    row.delete()


def scheduled_jobs_are_deleted_one_by_one_and_at_once(server: Server) -> None:
    nb = server.client()
    rows = [scheduled(nb, f"{server.word} {number}") for number in range(4)]
    every = nb.extras.scheduled_jobs
    assert rows[0].delete() is True
    assert every.get(rows[0].id) is None
    assert every.delete([rows[1], rows[2].id]) is True
    assert [every.get(row.id) is None for row in rows] == [True, True, True, False]
    assert every.delete([row.id for row in rows]) is True
    assert every.filter(name=[row.name for row in rows]) == []


def a_scheduled_job_is_changed(server: Server) -> None:
    nb = server.client()
    every = nb.extras.scheduled_jobs
    made = nb.extras.jobs.run(
        job_name="Greet", data={}, schedule={"name": server.word, "interval": "custom", "crontab": "0 4 * * *"}
    )
    record = every.get(made.scheduled_job["id"])
    record.enabled = False
    assert record.save() is True
    assert every.get(record.id).enabled is False
    assert every.get(record.id).update({"enabled": True, "crontab": "30 4 * * *", "time_zone": "Europe/Berlin"})
    again = every.get(record.id)
    assert (again.enabled, again.crontab, again.time_zone) == (True, "30 4 * * *", "Europe/Berlin")
    other = scheduled(nb, f"{server.word} too")
    with refused("already exists"):
        record.update({"name": other.name})
    assert every.delete([record, other]) is True


# Deciding


def a_request_is_approved_by_somebody_else(server: Server) -> None:
    nb, bob = server.client(), server.client(server.bob)
    row = scheduled(nb, server.word, job="Change")
    assert (row.approval_required, row.approved_at) == (True, None)
    with refused("You cannot approve your own job request!"):
        decide(row, "approve")
    asked = bob.extras.scheduled_jobs.get(row.id)
    approved = decide(asked, "approve", {"comment": "fine"})
    assert approved["approved_at"] is not None
    assert nb.extras.scheduled_jobs.get(row.id).approved_by_user.id == approved["approved_by_user"]["id"]
    row.delete()


def a_request_is_denied(server: Server) -> None:
    nb, bob = server.client(), server.client(server.bob)
    row = scheduled(nb, server.word, job="Change")
    assert decide(bob.extras.scheduled_jobs.get(row.id), "deny")["id"] == row.id
    assert nb.extras.scheduled_jobs.get(row.id) is None


def a_request_is_tried(server: Server) -> None:
    nb, bob = server.client(), server.client(server.bob)
    row = scheduled(nb, server.word, job="Change")
    tried = decide(bob.extras.scheduled_jobs.get(row.id), "dry-run")
    result = done(nb, tried["id"])
    assert (result.status.value, result.result) == ("SUCCESS", "planned")
    row.delete()


def the_approval_queue_is_an_endpoint(server: Server) -> None:
    nb, bob = server.client(), server.client(server.bob)
    row = scheduled(nb, server.word, job="Change")
    [waiting] = bob.extras.approval_queue.filter(name=row.name)
    assert (waiting.id, waiting.may_approve) == (row.id, True)
    row.delete()


def ownership_is_taken_over(server: Server) -> None:
    row = scheduled(server.client(), server.word)
    bob = server.client(server.bob)
    taken = decide(bob.extras.scheduled_jobs.get(row.id), "assume-ownership")
    assert taken["user"]["id"] != row.user.id
    row.delete()


# Accounts


def accounts_are_made_found_changed_and_removed(server: Server) -> None:
    nb = server.client()
    users, who = nb.users.users, server.word.replace(" ", "-")
    group = nb.users.groups.create(name=server.word)
    made = users.create(username=who, groups=[group.id])
    assert who in {user.username for user in users.all()}
    found = users.get(username=who)
    assert (found.id, [each.id for each in found.groups]) == (made.id, [group.id])
    assert found.update({"is_active": False}) is True
    assert users.get(made.id).update({"is_active": True}) is True
    assert users.get(made.id).is_active is True
    token = nb.users.tokens.create(user=made.id)
    mine = server.client(token.key)
    assert [each.id for each in mine.users.tokens.all()] == [token.id]
    permission = nb.users.permissions.create(
        name=server.word, object_types=["extras.job"], actions=["view"], users=[made.id]
    )
    assert "Greet" in {job.name for job in mine.extras.jobs.all()}
    assert permission.update({"constraints": {"name": "Guarded"}}) is True
    assert [job.name for job in mine.extras.jobs.all()] == ["Guarded"]
    for record in (permission, token, found, group):
        assert record.delete() is True
    assert users.get(username=who) is None
    with refused("Invalid token"):
        list(mine.users.tokens.all())
    with refused("A user with this name already exists."):
        users.create(username="admin")


# Many


def lists_are_read_page_by_page(server: Server) -> None:
    nb = server.client()
    rows = [scheduled(nb, f"{server.word} {number}") for number in range(5)]
    names = [row.name for row in rows]
    for how, options in (("in turn", {}), ("at once", {"threading": True, "max_workers": 3})):
        every = server.client(**options).extras.scheduled_jobs
        for limit in (1, 2, 5):
            found = [row.name for row in every.filter(name=names, limit=limit)]
            assert sorted(found) == names, (how, limit, found)
        assert len(every.filter(name=names, limit=2, offset=2)) == 2 if how == "in turn" else True
    assert nb.extras.scheduled_jobs.delete(rows) is True


def default_filters_are_understood(server: Server) -> None:
    nb = server.client(exclude_m2m=True, include_default="computed_fields")
    assert nb.extras.jobs.get(name="Greet").name == "Greet"
    assert nb.extras.jobs.filter(name="Greet", depth=1)[0].name == "Greet"


SCENARIOS: tuple[Callable[[Server], None], ...] = (
    the_client_is_made_and_knows_the_version,
    a_wrong_token_is_refused,
    a_version_that_there_is_not_is_refused,
    the_document_of_the_api_is_read,
    jobs_are_found_by_id_by_name_and_by_filter,
    a_job_is_changed_and_put_back,
    the_variables_of_a_job_are_read,
    a_job_runs_by_its_id_by_its_name_and_by_itself,
    a_job_is_run_and_waited_for,
    a_refusal_of_a_run_shows_the_reason,
    results_and_logs_are_read_and_filtered,
    results_are_deleted,
    scheduled_jobs_are_listed_found_and_counted,
    scheduled_jobs_are_deleted_one_by_one_and_at_once,
    a_scheduled_job_is_changed,
    a_request_is_approved_by_somebody_else,
    a_request_is_denied,
    a_request_is_tried,
    the_approval_queue_is_an_endpoint,
    ownership_is_taken_over,
    accounts_are_made_found_changed_and_removed,
    lists_are_read_page_by_page,
    default_filters_are_understood,
)


def main() -> int:
    """Play every scenario with names of its own, tell of those that fail, and return how many did."""
    given, failed = json.load(sys.stdin), 0
    for number, scenario in enumerate(SCENARIOS):
        try:
            scenario(Server(**{**given, "word": f"{given['word']} {number}"}))
        except Exception:
            failed += 1
            print(scenario.__name__, file=sys.stderr)
            traceback.print_exc()
    return failed


if __name__ == "__main__":
    sys.exit(main())
