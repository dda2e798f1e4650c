"""Which commands ask a server, and which open the home folder of one: said in their help, and in refusals.

* What is about Jobs, requests, schedules and results asks a server, from any machine, as the user of a token.
* What starts a server, or administers its accounts and data, opens its home folder, on its machine.
* All commands of a group do the same.
* ``--home`` for the former and ``--url`` for the latter are refused, with a sentence that says so.
* A folder that is no home is refused; only the commands that ``RULE`` names make one.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from itertools import takewhile
from typing import Any

import typer
from typer.core import TyperGroup

RULE = (
    "Commands about Jobs, requests, schedules and results ask a server, from any machine: --url, or SIGNOFF_URL, and "
    "SIGNOFF_TOKEN say which one and as whom. Those that start a server, or administer its accounts and data, open its "
    "home folder on its machine: --home, or SIGNOFF_HOME. Of these only up, server, services, worker, db upgrade and "
    "backup restore make a home folder where there is none."
)


class Place(Enum):
    """Where commands do what they do.

    Args:
        option: the option that only these have.
        panel: what they stand under in the list of all commands.
        sentence: what the help of a group says, and the refusal of the other option.
    """

    SERVER = (
        "--url",
        "Commands that ask a server, as you (--url, SIGNOFF_TOKEN)",
        "Asks the server at --url, as the user of SIGNOFF_TOKEN, from any machine.",
    )
    HOME = (
        "--home",
        "Commands that start or administer a server, on its machine (--home)",
        "Opens the home folder of a server, on its machine: --home.",
    )

    def __init__(self, option: str, panel: str, sentence: str) -> None:
        self.option, self.panel, self.sentence = option, panel, sentence


def add(app: typer.Typer, place: Place, *commands: Callable[..., None], **groups: typer.Typer) -> None:
    """Add commands, and groups of them, that do what they do in one place.

    Args:
        app: what they are added to.
        place: where they do it.
        commands: single commands.
        groups: groups, by name; an underscore stands for a hyphen.
    """
    for command in commands:
        app.command(rich_help_panel=place.panel)(command)
    for name, group in groups.items():
        about = f"{group.info.help}\n\n{place.sentence}"
        app.add_typer(group, name=name.replace("_", "-"), help=about, rich_help_panel=place.panel)


class Commands(TyperGroup):
    """All commands, each of which refuses the option of the other place in a sentence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        command, rest = self, [*args]
        while rest and rest[0] in getattr(command, "commands", {}):
            command = command.commands[rest.pop(0)]  # type: ignore[assignment]  # a group, or a command
        # What follows "--" are arguments, whatever they look like.
        given = {word.partition("=")[0] for word in takewhile(lambda word: word != "--", rest)}
        taken = {option for parameter in command.params for option in parameter.opts}
        here = [place for place in Place if place.option in taken]
        for place in Place:
            if place.option in given and place not in here and here:
                raise typer.BadParameter(here[0].sentence, ctx=ctx, param_hint=place.option)
        return super().parse_args(ctx, args)
