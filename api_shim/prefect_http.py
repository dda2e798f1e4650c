"""How Prefect's API is asked, whatever it is asked for.

* Busy answers (503, and connections that fail) are asked again, a few times; then ``Unavailable``.
* What Prefect refuses is ours to mend: it goes to the log, and whoever asked is told to try again.
* Long lists are read page by page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping

import httpx

from api_shim.prefect_rows import Json
from approval_gate.errors import Unavailable

logger = logging.getLogger("signoff")

PAGE = 200
TRIES = 6
BUSY = frozenset({408, 429, 502, 503, 504})


class PrefectHttp:
    """Asks Prefect.

    Args:
        client: speaks to Prefect; its base URL ends with the API's path, its headers sign it in.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def _ask(self, method: str, path: str, body: Json = None, *, none_on: Collection[int] = ()) -> Json:
        """Return the decoded answer; None for an empty one and for the statuses in ``none_on``."""
        failure = ""
        for attempt in range(TRIES):
            try:
                answer = await self._client.request(method, path, json=body)
            except httpx.TransportError as error:
                failure = type(error).__name__
            else:
                if answer.status_code in none_on:
                    return None
                if answer.status_code not in BUSY:
                    return _decoded(method, path, answer)
                failure = str(answer.status_code)
            await asyncio.sleep(0.05 * 2**attempt)
        raise Unavailable(f"Prefect does not answer ({failure}); please try again.")

    async def _pages(self, path: str, body: Mapping[str, Json], offset: int = 0) -> AsyncIterator[Json]:
        while True:
            rows = await self._ask("POST", path, {**body, "limit": PAGE, "offset": offset})
            for row in rows:
                yield row
            if len(rows) < PAGE:
                return
            offset += PAGE


def _decoded(method: str, path: str, answer: httpx.Response) -> Json:
    if answer.is_success:
        return answer.json() if answer.content else None
    # Prefect refused what we wrote: ours to mend, so the words go to the log and not to the person.
    logger.error("Prefect refused %s %s: %s %s", method, path, answer.status_code, answer.text[:500])
    raise Unavailable("Prefect refused what it was asked; the server's log says why.")
