"""How many requests somebody may make a minute: each account and each address, of all kinds and of those that write.

* Agents have rates of their own, which are lower.
* A request that is refused counts for nothing, so that who waits as long as they are told is heard, and one whose
  account is refused takes nothing from the others at their address.
* Workers and runs are not counted, wherever they come from: what they ask is bounded by the runs that there are. What a
  run asks as its user is counted for that account, and for no address.
* Of IPv6, a network of 64 bits is one address; see ``domain.slowdown``.
* Each server counts for itself, and keeps nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import datetime
from uuid import UUID

from api_shim.domain.slowdown import Slowdown, network_of
from api_shim.services.run_credentials import RunCaller
from api_shim.settings import Limits
from approval_gate import policy
from approval_gate.errors import TooManyAttempts
from approval_gate.model import Actor

MINUTE = 60.0

ACCOUNT = "You have made too many requests."
ACCOUNT_WRITES = "You have made too many requests that change something."
ADDRESS = "Too many requests have come from your address."
ADDRESS_WRITES = "Too many requests that change something have come from your address."


class RequestRates:
    """Counts requests.

    Args:
        limits: how many there may be.
        clock: tells the time, aware.

    Attributes:
        limits: the same.
    """

    def __init__(self, limits: Limits, clock: Callable[[], datetime]) -> None:
        self.limits = limits
        self._clock = clock
        self._account = _Rate(ACCOUNT, limits.account_requests)
        self._account_writes = _Rate(ACCOUNT_WRITES, limits.account_writes)
        self._agent = _Rate(ACCOUNT, limits.agent_requests)
        self._agent_writes = _Rate(ACCOUNT_WRITES, limits.agent_writes)
        self._address = _Rate(ADDRESS, limits.address_requests)
        self._address_writes = _Rate(ADDRESS_WRITES, limits.address_writes)

    def count(self, caller: Actor | RunCaller | None, address: str, *, writes: bool) -> None:
        """Count a request by its account and by its address.

        Args:
            caller: who makes it; None if nobody can say.
            address: where it comes from.
            writes: whether it is to change something.

        Raises:
            TooManyAttempts: there were too many; the sentence says in how many seconds there may be another.
        """
        if isinstance(caller, RunCaller) or (caller is not None and policy.works(caller)):
            return
        now = self._clock()
        counted = [*self._counted(caller, network_of(address), writes=writes)]
        for rate, source in counted:
            rate.check(source, now)
        for rate, source in counted:
            rate.count(source, now)

    def _counted(self, caller: Actor | None, network: str, *, writes: bool) -> Iterator[tuple[_Rate, UUID | str]]:
        """Yield each rate that a request counts for, and as whose."""
        if caller is None or caller.by_run is None:
            yield self._address, network
            if writes:
                yield self._address_writes, network
        if caller is not None:
            yield self._agent if caller.agent else self._account, caller.id
            if writes:
                yield self._agent_writes if caller.agent else self._account_writes, caller.id


class _Rate:
    """One kind of requests.

    Args:
        refusal: what who makes too many of them is told.
        per_minute: how many there may be; 0 for no limit.
    """

    def __init__(self, refusal: str, per_minute: int) -> None:
        self._refusal = refusal
        self._slowdown = Slowdown(free=per_minute, every=MINUTE / per_minute) if per_minute else None

    def check(self, source: UUID | str, now: datetime) -> None:
        if self._slowdown is not None and (seconds := self._slowdown.wait(source, now)):
            after = math.ceil(seconds)
            unit = "second" if after == 1 else "seconds"
            raise TooManyAttempts(f"{self._refusal} Please try again in {after} {unit}.", after=seconds)

    def count(self, source: UUID | str, now: datetime) -> None:
        if self._slowdown is not None:
            self._slowdown.count(source, now)
