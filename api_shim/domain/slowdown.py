"""How fast somebody may try: failed attempts to sign in, and wrong tokens.

* Attempts are spaced out, not shut out: of each source some are free, and then one is due every so many seconds.
* Of a source one moment is kept, and there is a most of sources, so that no number of attempts fills the memory.
* Signing in is counted by name and address together, so that whoever tries elsewhere keeps nobody out; by address; and
  by name wherever somebody tries, for which an attempt waits a little but is never refused.
* For who has signed in from an address before, what others do there or elsewhere does not count.
* Of IPv6, a network of 64 bits is one source, because whoever has one address of it has all.
* Where the clock is set back, nobody waits longer than they could have before.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network

from approval_gate.errors import TooManyAttempts

SOURCES = 10_000
"""How many sources are remembered; the one that was seen least recently is forgotten first."""
LONGEST_NAME = 151
"""How many characters of a name are remembered: more than any user's name has."""
PATIENCE = 10.0
"""Seconds that an attempt waits at most; one that would have to wait longer is refused."""


class Slowdown:
    """Spaces the attempts of each source.

    Args:
        free: how many attempts are not spaced.
        every: seconds between the attempts that follow.
        sources: how many sources are remembered.
    """

    def __init__(self, *, free: int, every: float, sources: int = SOURCES) -> None:
        self._free = free * every
        self._every = every
        self._sources = sources
        # By source: the moment at which nothing of its attempts counts any more (GCRA).
        self._until: OrderedDict[Hashable, float] = OrderedDict()

    def wait(self, source: Hashable, now: datetime) -> float:
        """Return in how many seconds the next attempt is due; 0 for now."""
        return max(0.0, self._settled(source, now) + self._every - now.timestamp() - self._free)

    def count(self, source: Hashable, now: datetime) -> float:
        """Count an attempt. One that is due later than ``PATIENCE`` lets the next wait no longer.

        Returns:
            how many seconds it has added for those that follow.
        """
        before = max(self._settled(source, now), now.timestamp())
        until = min(before + self._every, self._latest(now))
        self._until[source] = until
        self._until.move_to_end(source)
        if len(self._until) > self._sources:
            self._until.popitem(last=False)
        return until - before

    def _settled(self, source: Hashable, now: datetime) -> float:
        """Return until when the attempts of a source count, which is never later than any can have made it."""
        until = self._until.get(source, 0.0)
        if until > self._latest(now):
            # The clock has been set back. It is kept, or they would wait as long again until the clock has caught up.
            until = self._until[source] = self._latest(now)
        return until

    def _latest(self, now: datetime) -> float:
        return now.timestamp() + self._free + PATIENCE

    def take_back(self, source: Hashable, seconds: float) -> None:
        """Take back what an attempt has added, because it was none of those that are to be slowed."""
        if source in self._until:
            self._until[source] -= seconds

    def forget(self, source: Hashable) -> None:
        """Let a source begin anew."""
        self._until.pop(source, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """An attempt to sign in that has been counted.

    Args:
        name: the name that is tried, as it is remembered.
        source: where it comes from, likewise.
        wait: how many seconds it is to wait first.
        of_source: how many seconds it has added for others from there.
        of_name: how many seconds it has added for others who try the name.
    """

    name: str
    source: str
    wait: float
    of_source: float
    of_name: float


class SignInPace:
    """How fast somebody may try to sign in with a password."""

    def __init__(self) -> None:
        self._pairs = Slowdown(free=10, every=30.0)
        self._addresses = Slowdown(free=50, every=6.0)
        self._names = Slowdown(free=10, every=1.0)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, username: str, address: str, now: datetime) -> Attempt:
        """Count an attempt before it is known whether it succeeds, so that many at the same moment are counted too.

        Raises:
            TooManyAttempts: it would have to wait longer than ``PATIENCE``; the sentence says how long.
        """
        pair = username, source = _source(username, address)
        known = pair in self._known
        here = max(self._pairs.wait(pair, now), 0.0 if known else self._addresses.wait(source, now))
        if here > PATIENCE:
            raise too_many(here)
        anywhere = 0.0 if known else min(PATIENCE, self._names.wait(username, now))
        self._pairs.count(pair, now)
        return Attempt(
            name=username,
            source=source,
            wait=max(here, anywhere),
            of_source=self._addresses.count(source, now),
            of_name=self._names.count(username, now),
        )

    def succeeded(self, attempt: Attempt) -> None:
        """Let an attempt that has succeeded count for nothing, and know its source from now on."""
        pair = attempt.name, attempt.source
        self._pairs.forget(pair)
        self._addresses.take_back(attempt.source, attempt.of_source)
        self._names.take_back(attempt.name, attempt.of_name)
        self._known[pair] = None
        self._known.move_to_end(pair)
        if len(self._known) > SOURCES:
            self._known.popitem(last=False)


TOO_MANY = "Too many failed attempts to sign in."


def too_many(seconds: float) -> TooManyAttempts:
    """Return the error for an attempt that may be made again in so many seconds; its sentence says so."""
    return TooManyAttempts(f"{TOO_MANY} Please try again in {math.ceil(seconds)} seconds.", after=seconds)


def _source(username: str, address: str) -> tuple[str, str]:
    """Return what is remembered of a name, which may be of any length, and of an address."""
    return username[:LONGEST_NAME], network_of(address)


def network_of(address: str) -> str:
    """Return whom an address stands for: itself, or its network of 64 bits; what is no address is all one."""
    try:
        read = ip_address(address)
    except ValueError:
        return ""
    if isinstance(read, IPv6Address) and read.ipv4_mapped is None:
        return str(ip_network((read.packed, 64), strict=False))
    return str(getattr(read, "ipv4_mapped", None) or read)
