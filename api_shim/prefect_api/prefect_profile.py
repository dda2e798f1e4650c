"""Prefect's settings as somebody has set them: in the environment, or in their profile.

* The environment counts more than the profile. ``signoff up`` reads no profile: Prefect's folder is in the home folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

PREFIX = "PREFECT_"


def told_to_prefect(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the value and the source of each of Prefect's settings that somebody has set.

    Args:
        environment: that of this process.
    """
    from prefect.context import get_settings_context

    profile = get_settings_context().profile
    here = {name: value for name, value in environment.items() if name.startswith(PREFIX) and value}
    for name, value in sorted((profile.to_environment_variables() | here).items()):
        yield name, value, "environment" if name in here else f"Prefect profile {profile.name}"
