"""``AsyncShim``: the asynchronous client of the REST API.

* It has the methods of ``Shim``, each to be awaited.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import anyio
import httpx

from api_shim.client.client import as_method
from api_shim.client.operations import approvals as of_approvals
from api_shim.client.operations import automations as of_automations
from api_shim.client.operations import job_queues as of_queues
from api_shim.client.operations import job_results as of_results
from api_shim.client.operations import jobs as of_jobs
from api_shim.client.operations import preferences as of_preferences
from api_shim.client.operations import scheduled_jobs as of_scheduled
from api_shim.client.operations import triggers as of_triggers
from api_shim.client.protocol import HttpRequest, Operation, Sleep, UnexpectedResponse
from api_shim.client.transport import (
    check_private,
    content_of,
    find_token,
    opened,
    options,
    read_address,
    read_environment,
    stranger,
    undelivered,
)
from approval_gate.errors import GateError

P = ParamSpec("P")
T = TypeVar("T")


def carried_out(call: Callable[P, Operation[T]]) -> Callable[Concatenate[AsyncShim, P], Awaitable[T]]:
    """Turn an operation into a method that performs it when awaited."""

    @wraps(call)
    async def method(self: AsyncShim, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._carry_out(call(*args, **kwargs))

    return as_method(method)


class AsyncShim:
    """An asynchronous client for a signoff server, for one user.

    Args:
        url: the URL of the server; by default ``SIGNOFF_URL``, or port 4200 on this machine.
        token: the user's key; by default ``SIGNOFF_TOKEN``.
        insecure: allow plain HTTP to another machine, where others can read the token.
        transport: an httpx transport to use instead of the network.

    Raises:
        Invalid: the URL or the token is missing or malformed.
        Unavailable: the URL is plain HTTP to another machine, and ``insecure`` is not set.

    >>> async def greet():
    ...     async with AsyncShim(url, token) as shim:
    ...         accepted = await shim.run("Greet", {"who": "Ada"})
    ...         return accepted.job_result.name
    >>> asyncio.run(greet())
    'Greet'
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        insecure: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        address = read_address(read_environment().url if url is None else url)
        key = find_token(token)
        check_private(address, insecure=insecure)
        self._open(address, key, transport)

    @classmethod
    def within(cls, user: str, *, home: Path | str | None = None, url: str | None = None) -> AsyncShim:
        """Act as a user on the server's own machine, without a token. Needs access to the home folder.

        Args:
            user: the user name.
            home: the home folder of the server; by default ``SIGNOFF_HOME``.
            url: the URL of the server, to reach Prefect; by default ``SIGNOFF_URL``.

        Raises:
            Unavailable: the folder is not the home folder of a server.

        >>> async def described():
        ...     async with AsyncShim.within("alice", home=home, url=url) as shim:
        ...         return (await shim.job("Greet")).name
        >>> asyncio.run(described())
        'Greet'
        """
        # Imported here, because clients over HTTP do not need the server's modules.
        from api_shim.client.in_process import InProcessTransport

        inside = InProcessTransport.of(user, home=home, url=url)
        shim = cls.__new__(cls)
        shim._open(inside.address, None, inside)
        return shim

    @classmethod
    def of_this_run(cls) -> AsyncShim:
        """Act as the user of the run that is being executed here, with the run's own key, which ends with it.

        It requests runs, and reads Jobs, scheduled jobs, job results and logs, as far as that user may; nothing else.

        Raises:
            Unavailable: no run is being executed here, or it has no key of its own.
        """
        # Imported here, because clients elsewhere do not need Prefect.
        from api_shim.client.prefect_this_run import of_this_run

        run = of_this_run()
        shim = cls.__new__(cls)
        # By the way that the gate of the run goes with the same key.
        shim._open(run.address, run.key, None, run.request_id)
        return shim

    def _open(
        self, address: httpx.URL, token: str | None, transport: httpx.AsyncBaseTransport | None, request_id: str = ""
    ) -> None:
        self._where = str(address)
        self._http = opened(httpx.AsyncClient, **options(address, token, request_id), transport=transport)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._where!r})"

    async def __aenter__(self) -> AsyncShim:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    jobs = carried_out(of_jobs.jobs)
    job = carried_out(of_jobs.job)
    variables = carried_out(of_jobs.variables)
    job_tools = carried_out(of_jobs.job_tools)
    change_job = carried_out(of_jobs.change_job)
    run = carried_out(of_jobs.run)
    check = carried_out(of_jobs.check)
    schedule = carried_out(of_jobs.schedule)
    job_queues = carried_out(of_queues.job_queues)
    add_job_queue = carried_out(of_queues.add_job_queue)
    move_job_queue = carried_out(of_queues.move_job_queue)
    delete_job_queue = carried_out(of_queues.delete_job_queue)
    job_buttons = carried_out(of_triggers.job_buttons)
    add_job_button = carried_out(of_triggers.add_job_button)
    delete_job_button = carried_out(of_triggers.delete_job_button)
    job_hooks = carried_out(of_triggers.job_hooks)
    add_job_hook = carried_out(of_triggers.add_job_hook)
    delete_job_hook = carried_out(of_triggers.delete_job_hook)
    automation_accounts = carried_out(of_automations.automation_accounts)
    bind_automation = carried_out(of_automations.bind_automation)
    unbind_automation = carried_out(of_automations.unbind_automation)
    install_automations = carried_out(of_automations.install_automations)
    preferences = carried_out(of_preferences.preferences)
    change_preferences = carried_out(of_preferences.change_preferences)
    status = carried_out(of_jobs.status)
    scheduled_jobs = carried_out(of_scheduled.scheduled_jobs)
    scheduled_job = carried_out(of_scheduled.scheduled_job)
    input_file = carried_out(of_scheduled.input_file)
    change = carried_out(of_scheduled.change)
    delete = carried_out(of_scheduled.delete)
    delete_several = carried_out(of_scheduled.delete_several)
    queue = carried_out(of_approvals.queue)
    review = carried_out(of_approvals.review)
    approval_requests = carried_out(of_approvals.approval_requests)
    comparison = carried_out(of_approvals.comparison)
    approve = carried_out(of_approvals.approve)
    deny = carried_out(of_approvals.deny)
    dry_run = carried_out(of_approvals.dry_run)
    assume = carried_out(of_scheduled.assume)
    transfer = carried_out(of_scheduled.transfer)
    explain = carried_out(of_scheduled.explain)
    upcoming = carried_out(of_scheduled.upcoming)
    results = carried_out(of_results.results)
    result = carried_out(of_results.result)
    logs = carried_out(of_results.logs)
    download = carried_out(of_results.download)
    wait = carried_out(of_results.wait)
    cancel = carried_out(of_results.cancel)
    resume = carried_out(of_results.resume)
    run_again = carried_out(of_results.run_again)
    delete_result = carried_out(of_results.delete_result)
    delete_results = carried_out(of_results.delete_results)

    async def _carry_out(self, talk: Operation[T]) -> T:
        go_on: Callable[[], HttpRequest | Sleep] = partial(next, talk)
        try:
            while True:
                step = go_on()
                try:
                    go_on = partial(talk.send, await self._do(step))
                except GateError as error:
                    go_on = partial(talk.throw, error)
        except StopIteration as over:
            result: T = over.value
            return result
        except UnexpectedResponse:
            raise stranger(self._where) from None

    async def _do(self, step: HttpRequest | Sleep) -> Any:
        if isinstance(step, Sleep):
            await anyio.sleep(step.seconds)
            return anyio.current_time()
        return content_of(await self._ask(step), self._where, as_bytes=step.as_bytes)

    async def _ask(self, ask: HttpRequest) -> httpx.Response:
        kind = {} if ask.body is None else {"Content-Type": "application/json"}
        try:
            return await self._http.request(ask.method, ask.path, content=ask.body, headers={**kind, **ask.headers})
        except httpx.HTTPError as error:
            raise undelivered(error, self._where) from error
