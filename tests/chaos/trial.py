"""One trial: a load and trouble at the same time, then peace, then what the checker finds.

* It lasts for so many things that are answered and so many that are done to the system, or for so long.
* In peace the system has time to end what it has accepted. What is wrong for a moment is asked about again until it is
  right, or for as long as a busy machine may need; what is lost or done twice stays wrong.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.chaos.checker import violations
from tests.chaos.facts import Facts, export, gather
from tests.chaos.load import Load, pages
from tests.chaos.system import Databases, running

PAUSES = {Databases.SQLITE: (4.0, 15.0), Databases.POSTGRESQL: (2.0, 8.0)}
"""Seconds from one harm to the next, the shortest and the longest."""
MOST = {Databases.SQLITE: 1, Databases.POSTGRESQL: 2}
"""How much is harmed at the same time. Of one process nothing would be left by more."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is done; whatever of it takes longest.

    Args:
        answered: how much is asked and answered.
        harm: how often the system is harmed.
        seconds: for how long, at least.
        peace: seconds in which everything has to be right again.
    """

    answered: int
    harm: int
    seconds: float = 0.0
    peace: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a trial has shown.

    Args:
        facts: all that was found in the end.
        violations: what must not be.
        unwell: how often servers answered which error.
        seconds: how long it took.
    """

    facts: Facts
    violations: list[str]
    unwell: Counter[int]
    seconds: float

    def note(self) -> str:
        """Return it in a few lines."""
        answered = Counter(each.kind for each in self.facts.asked if each.answered is not None)
        refused = sum(each.answered is not None and not each.is_done for each in self.facts.asked)
        again = sum(len(each.attempts) > 1 for each in self.facts.asked)
        harm = Counter(f"{each['kind']} {each['of']}" for each in self.facts.harm)
        lines = [
            f"answered {answered.total()}, {refused} with a refusal, {again} after several attempts: {_told(answered)}",
            f"harm {harm.total()}: {_told(Counter(each['kind'] for each in self.facts.harm))}",
            f"  of {_told(Counter(each['of'] for each in self.facts.harm))}",
            f"executed {len(self.facts.executions)}, job results {len(self.facts.results)}, "
            f"events {len(self.facts.audit)}, errors of servers {dict(self.unwell)}, {self.seconds:.0f} s",
            f"violations {len(self.violations)}",
            *(f"  {each}" for each in self.violations[:50]),
        ]
        return "\n".join(lines)


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def tried(on: Databases, folder: Path, seed: int, extent: Extent) -> Outcome:
    """Have a system under load and in trouble, then in peace, and return what was found.

    Args:
        on: what it keeps its data in.
        folder: an empty folder.
        seed: decides what is asked and what is harmed.
        extent: how much.
    """
    began = time.monotonic()
    with running(on, folder) as system, closing(Load(system, seed)) as load:
        load.settle()
        load.start()
        system.tell("trouble", seed=seed, pauses=PAUSES[on], files=system.files, most=MOST[on])
        deadline = time.monotonic() + extent.seconds
        while (not _is_enough(load, extent) or time.monotonic() < deadline) and not load.faults:
            time.sleep(0.5)
        system.tell("heal")
        # What is not answered is asked again until it is, for which all must be well.
        load.end()
        before = export(load)
        _all_run(load, time.time(), extent.peace)
        load.still()
        facts, found = _at_peace(load, before, extent.peace)
    unwell = Counter(status for status, _ in load.journal.unwell)
    return Outcome(facts=facts, violations=found, unwell=unwell, seconds=time.monotonic() - began)


def _is_enough(load: Load, extent: Extent) -> bool:
    notes = load.system.folder / "faults"
    harmed = len(notes.read_text().splitlines()) if notes.exists() else 0
    return load.journal.answered() >= extent.answered and harmed >= extent.harm


def _all_run(load: Load, since: float, within: float) -> None:
    """Wait until each schedule that nobody touches has run for a time after this and owes nothing; not for ever."""
    deadline = time.monotonic() + within
    with load.system.client() as client:
        while time.monotonic() < deadline:
            rows = [
                pages(client, f"/api/extras/job-results/?scheduled_job={each['id']}&limit=1000") for each in load.steady
            ]
            if all(_has_run(found, since) for found in rows):
                return
            time.sleep(2)


def _has_run(found: list[dict[str, Any]], since: float) -> bool:
    """Say whether a run after this ended well, and everything before it is over."""
    well = [_nominal(row) for row in found if row["status"]["value"] == "SUCCESS"]
    newest = max(well, default=0.0)
    return newest >= since and all(row["date_done"] for row in found if _nominal(row) < newest)


def _nominal(row: dict[str, Any]) -> float:
    return datetime.fromisoformat(row["nominal_time"]).timestamp()


def _at_peace(load: Load, before: list[dict[str, object]], within: float) -> tuple[Facts, list[str]]:
    deadline = time.monotonic() + within
    while True:
        facts = gather(load, before)
        found = violations(facts)
        (load.system.folder / "violations").write_text("\n".join(found))
        if not found or time.monotonic() > deadline:
            return facts, found
        time.sleep(5)
