"""Which Jobs there are: registration, discovery of modules, and loading by class path."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from approval_gate.errors import NotRunnable
from flows import registry
from flows.definition import JobDefinition
from flows.registry import Registry, discover, load
from flows.variables import BadJob

GOOD = """
from flows import Job, register_jobs

name = "Good"

class {0}(Job):
    def run(self):
        return "{0}"

class Unregistered(Job):
    def run(self):
        pass

register_jobs({0})
"""

Write = Callable[..., None]


def forget(module: str) -> None:
    for name in [each for each in sys.modules if each.split(".")[0].startswith(module)]:
        del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Give a function that writes a module where it can be imported from; the end of the test forgets it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(registry, "_REGISTERED", {})
    monkeypatch.setattr(registry, "_REFUSED", {})
    monkeypatch.setattr(registry, "_REGISTERING", set())

    def write(module: str, source: str) -> None:
        path = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        importlib.invalidate_caches()
        forget(module)

    yield write
    forget("signoff_")


def definition(path: str, name: str) -> JobDefinition:
    module, _, job_class = path.rpartition(".")
    return JobDefinition(module_name=module, job_class_name=job_class, grouping=module, name=name, parameter_schema={})


def test_a_registry_holds_definitions_by_class_path_in_order() -> None:
    b, a = definition("m.B", "B"), definition("m.A", "A")
    jobs = Registry([b, a])
    assert list(jobs.items()) == [("m.B", b), ("m.A", a)]
    assert len(jobs) == 2
    assert jobs["m.A"] is a
    with pytest.raises(KeyError):
        jobs["m.C"]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        pytest.param(("m.A", "Other"), "There are two Jobs at m.A.", id="the same class path"),
        pytest.param(("n.A", "A"), "n.A and m.A are both called 'A'; rename one of them.", id="the same name"),
    ],
)
def test_a_registry_refuses_a_second_claim_and_keeps_the_first(second: tuple[str, str], message: str) -> None:
    first = definition("m.A", "A")
    jobs = Registry([first])
    with pytest.raises(BadJob) as refused:
        jobs.add(definition(*second))
    assert str(refused.value) == message
    assert dict(jobs) == {"m.A": first}


def test_only_what_is_registered_is_a_job(write: Write) -> None:
    write("signoff_one", GOOD.format("First"))
    found = discover(["signoff_one"])
    assert list(found.jobs) == ["signoff_one.First"]
    assert found.jobs["signoff_one.First"].grouping == "Good"
    assert len(found.jobs["signoff_one.First"].module_digest) == 64
    assert found.problems == ()


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        pytest.param("import no_such_thing\n", "1: ModuleNotFoundError: No module named", id="a bad import"),
        pytest.param("x = 1\ny = 1 / 0\n", "2: ZeroDivisionError: division by zero", id="an error"),
        pytest.param("\ndef f(:\n", "2: SyntaxError: ", id="no Python"),
        pytest.param("import sys\nsys.exit('bye')\n", "2: SystemExit: bye", id="an exit"),
        pytest.param(
            "from nautobot.apps.jobs import Job\n",
            "1: ModuleNotFoundError: No module named 'nautobot'. Jobs import from flows here: "
            "signoff check --fix-imports signoff_bad rewrites that.",
            id="a module of Nautobot",
        ),
    ],
)
def test_one_broken_module_does_not_stop_the_others(write: Write, source: str, problem: str) -> None:
    write("signoff_bad", source)
    write("signoff_one", GOOD.format("First"))
    found = discover(["signoff_bad", "signoff_one"])
    assert list(found.jobs) == ["signoff_one.First"]
    (told,) = map(str, found.problems)
    line, _, said = problem.partition(": ")
    assert f"signoff_bad.py:{line}: The module signoff_bad cannot be imported: {said}" in told


BAD = """
    class Meta:
        name = "Bad"
        time_limit = -1

    def run(self):
        pass
"""


@pytest.mark.parametrize(
    ("body", "line", "told"),
    [
        pytest.param(BAD, 17, "signoff_one.Bad: Meta.time_limit must be a number of seconds, 0 or", id="Meta"),
        pytest.param(
            "\n    on_retry = None\n    def run(self): pass\n",
            15,
            "signoff_one.Bad.on_retry has no effect: a run executes once. Remove it.",
            id="an attribute",
        ),
        pytest.param(
            '\n    a = StringVar(regex="(")\n    def run(self, a): pass\n',
            15,
            "signoff_one.Bad.a: regex='(' is not a regular expression",
            id="a variable that cannot be",
        ),
        pytest.param(
            "\n    def run(self): self.log_info('x')\n",
            15,
            "signoff_one.Bad: there is no self.log_info here: call self.logger.info().",
            id="what is called of self",
        ),
        pytest.param("\n    x = 1\n", 14, "signoff_one.Bad must define run().", id="the class itself"),
    ],
)
def test_a_refused_job_is_told_with_file_and_line_and_stops_no_other_of_its_module(
    write: Write, body: str, line: int, told: str
) -> None:
    source = GOOD.format("First").replace("register_jobs(First)", f"class Bad(Job):{body}\nregister_jobs(Bad, First)")
    write("signoff_one", source.replace("import Job,", "import Job, StringVar,"))
    found = discover(["signoff_one"])
    assert list(found.jobs) == ["signoff_one.First"]
    (refusal,) = found.problems
    assert str(refusal).partition(": ")[0].endswith(f"signoff_one.py:{line}")
    assert told in refusal.sentence
    with pytest.raises(NotRunnable, match=re.escape(str(refusal))):
        load("signoff_one.Bad")


def test_a_refusal_is_gone_when_the_job_is_mended(write: Write) -> None:
    write("signoff_one", GOOD.format("First").replace("def run", "def ran", 1))
    assert len(discover(["signoff_one"]).problems) == 1
    write("signoff_one", GOOD.format("First"))
    assert discover(["signoff_one"]).problems == ()


def test_what_is_no_job_is_refused_where_it_is_registered(write: Write) -> None:
    write("signoff_one", GOOD.format("First") + "register_jobs(int)\n")
    found = discover(["signoff_one"])
    assert list(found.jobs) == ["signoff_one.First"]
    assert "signoff_one.py:15: register_jobs() takes Job classes, not <class 'int'>." in str(found.problems[0])


def test_a_module_without_jobs_is_told(write: Write) -> None:
    write("signoff_bad", "x = 1\n")
    (refusal,) = discover(["signoff_bad"]).problems
    assert refusal.sentence == "The module signoff_bad has no Jobs: it must call register_jobs() or register_flows()."


@pytest.mark.parametrize("name", ["signoff_absent", "signoff.absent", "", ".relative"])
def test_a_module_that_is_not_there_is_a_problem(write: Write, name: str) -> None:
    found = discover([name])
    (told,) = map(str, found.problems)
    assert told.startswith(f"The module {name} cannot be imported: ")
    assert len(found.jobs) == 0


def test_a_second_job_of_the_same_name_is_a_problem_and_the_first_stays(write: Write) -> None:
    write("signoff_one", GOOD.format("Same"))
    write("signoff_two", GOOD.format("Same"))
    found = discover(["signoff_one", "signoff_two"])
    assert list(found.jobs) == ["signoff_one.Same"]
    (told,) = found.problems
    assert told.sentence == "signoff_two.Same and signoff_one.Same are both called 'Same'; rename one of them."
    assert str(told.place).endswith("signoff_two.py:6")


def test_jobs_of_a_package_are_registered_in_it_or_above(write: Write) -> None:
    write("signoff_pack.inner", GOOD.format("Inner").replace("register_jobs(", "# register_jobs("))
    source = "from flows import register_jobs\nfrom signoff_pack.inner import Inner\nregister_jobs(Inner)\n"
    write("signoff_pack.__init__", source)
    assert list(discover(["signoff_pack"]).jobs) == ["signoff_pack.inner.Inner"]
    assert load("signoff_pack.inner.Inner")().run() == "Inner"


def test_a_module_that_is_imported_again_replaces_what_it_had(write: Write) -> None:
    write("signoff_one", GOOD.format("Old"))
    discover(["signoff_one"])
    old = load("signoff_one.Old")
    write("signoff_one", GOOD.format("New"))
    assert list(discover(["signoff_one"]).jobs) == ["signoff_one.New"]
    write("signoff_one", GOOD.format("Old"))
    assert load("signoff_one.Old") is not old


def test_a_reload_replaces_the_class_and_its_digest(write: Write) -> None:
    write("signoff_one", GOOD.format("First"))
    before = discover(["signoff_one"]).jobs["signoff_one.First"]
    module = sys.modules["signoff_one"]
    path = Path(str(module.__file__))
    path.write_text(path.read_text() + "\n# changed\n")
    importlib.reload(module)
    after = discover(["signoff_one"]).jobs["signoff_one.First"]
    assert after.code_digest != before.code_digest


def test_a_module_that_fails_halfway_leaves_no_job(write: Write) -> None:
    write("signoff_bad", GOOD.format("Half") + "\n1 / 0\n")
    found = discover(["signoff_bad"])
    assert len(found.jobs) == 0
    assert "signoff_bad.py:16: The module signoff_bad cannot be imported: ZeroDivisionError" in str(found.problems[0])


def test_a_job_within_a_function_is_refused(write: Write) -> None:
    local = (
        "def local():\n    class Local(Job):\n        def run(self): pass\n    return Local\n\nregister_jobs(local())\n"
    )
    write("signoff_one", GOOD.format("First") + local)
    (refusal,) = discover(["signoff_one"]).problems
    assert refusal.sentence == "local.<locals>.Local must be at the top level of signoff_one."


def test_job_itself_is_no_job(write: Write) -> None:
    write("signoff_one", GOOD.format("First") + "register_jobs(Job)\n")
    (refusal,) = discover(["signoff_one"]).problems
    assert refusal.sentence == "flows.job.Job must define run()."


def test_loads_by_class_path(write: Write) -> None:
    write("signoff_one", GOOD.format("First"))
    assert load("signoff_one.First")().run() == "First"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param("signoff_one.Unregistered", "signoff_one does not register a Unregistered", id="not registered"),
        pytest.param("signoff_one.Absent", "signoff_one does not register a Absent", id="no such class"),
        pytest.param("signoff_absent.First", "The module signoff_absent cannot be imported", id="no such module"),
        pytest.param("First", "The module  cannot be imported", id="no module at all"),
    ],
)
def test_says_why_a_job_cannot_be_loaded(write: Write, path: str, words: str) -> None:
    write("signoff_one", GOOD.format("First"))
    with pytest.raises(NotRunnable) as refused:
        load(path)
    assert str(refused.value).startswith(f"The Job {path} is not installed here")
    assert words in str(refused.value)
