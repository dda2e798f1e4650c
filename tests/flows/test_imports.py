"""What modules of Nautobot Jobs import, and how that is rewritten."""

from __future__ import annotations

import pytest

from flows.imports import nautobot_imports, with_our_imports

KNOWN = {"Job", "StringVar", "IntegerVar", "ChoiceVar", "BooleanVar", "MultiChoiceVar", "ObjectVar", "register_jobs"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "from nautobot.apps.jobs import Job, register_jobs  # ours\r\n",
            "from flows import Job, register_jobs\r\n",
            id="one line, whose end stays",
        ),
        pytest.param(
            "import os\nfrom nautobot.extras.jobs import (\n    Job as Base,\n    StringVar,\n)\nx = 1\n",
            "import os\nfrom flows import Job as Base, StringVar\nx = 1\n",
            id="several lines",
        ),
        pytest.param(
            "from nautobot.apps.jobs import Job, get_job\n",
            "from flows import Job\nfrom nautobot.apps.jobs import get_job\n",
            id="what does not exist here stays, and is refused then",
        ),
        pytest.param(
            "try:\n    from nautobot.core.celery import register_jobs\nexcept ImportError:\n    pass",
            "try:\n    from flows import register_jobs\nexcept ImportError:\n    pass",
            id="indented",
        ),
        pytest.param(
            "from nautobot.apps.jobs import BooleanVar, ChoiceVar, IntegerVar, Job, MultiChoiceVar, ObjectVar, "
            "StringVar\n",
            "from flows import (\n    BooleanVar,\n    ChoiceVar,\n    IntegerVar,\n    Job,\n    MultiChoiceVar,\n"
            "    ObjectVar,\n    StringVar,\n)\n",
            id="a long line",
        ),
        *(
            pytest.param(same, same, id=f"as it is: {same}")
            for same in (
                "from nautobot.dcim.models import Device",
                "import nautobot.apps.jobs as jobs",
                "x = 1; from nautobot.apps.jobs import Job",
                "from nautobotics import Job",
                '"""from nautobot.apps.jobs import Job"""',
                "from .jobs import Job",
            )
        ),
    ],
)
def test_imports_are_rewritten_and_nothing_else(before: str, after: str) -> None:
    assert with_our_imports(before, KNOWN) == after
    assert with_our_imports(after, KNOWN) == after


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("from nautobot.apps.jobs import Job", "Write from flows import Job."),
        (
            "from nautobot.apps.jobs import Job, get_job",
            "Write from flows import Job; get_job does not exist here.",
        ),
        (
            "from nautobot.dcim.models import Device, Site",
            "nautobot.dcim.models does not exist here: replace what the Job does with Device, Site.",
        ),
        ("import nautobot.dcim as dcim", "nautobot.dcim does not exist here: replace what the Job does with dcim."),
    ],
)
def test_what_has_to_change_is_told_with_its_line(source: str, told: str) -> None:
    (found,) = nautobot_imports(f"import os\n{source}\n", KNOWN)
    assert (found.line, found.sentence) == (2, told)
