"""``python -m tests.chaos [--minutes N] [--seed S] [--on sqlite|postgresql] [--keep FOLDER]``: a long trial."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos.system import Databases
from tests.chaos.trial import Extent, tried


def main() -> int:
    """Try, print what was found, and return 1 if anything must not be."""
    parser = argparse.ArgumentParser(description="Prove the product while its parts are killed, stopped and cut off.")
    parser.add_argument("--minutes", type=float, default=15.0, help="for how long there is trouble, at least")
    parser.add_argument("--answered", type=int, default=2000, help="how much is asked and answered, at least")
    parser.add_argument("--harm", type=int, default=50, help="how often the system is harmed, at least")
    parser.add_argument("--peace", type=float, default=600.0, help="seconds in which all has to be right afterwards")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--on", type=Databases, choices=[*Databases], default=Databases.POSTGRESQL)
    parser.add_argument("--keep", type=Path, help="a folder that does not exist, where everything is kept")
    said = parser.parse_args()
    extent = Extent(answered=said.answered, harm=said.harm, seconds=60 * said.minutes, peace=said.peace)
    with tempfile.TemporaryDirectory() as folder:
        if said.keep is not None:
            said.keep.mkdir(parents=True)
        outcome = tried(said.on, said.keep or Path(folder), said.seed, extent)
    print(f"seed {said.seed}, on {said.on}, {said.minutes:g} minutes\n{outcome.note()}")
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
