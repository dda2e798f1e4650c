"""The code of a Job: what it covers, that it is what was loaded, and that a run is held to it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import py_compile
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import flows
from flows import registry, source
from flows.registry import load
from flows.source import Code, OtherCode, hold_to, import_module, installed_in

JOB = "signoff_pack.jobs.Work"
PROJECT = {
    "signoff_pack/__init__.py": "",
    "signoff_pack/jobs.py": """
from typing import TYPE_CHECKING

import signoff_beside
from flows import register_jobs
from signoff_pack import direct
from signoff_pack.bases import Site
from signoff_pack.parts import *

if TYPE_CHECKING:
    from .typed import Nothing

class Work(Site):
    def run(self):
        from . import lazy
        return lazy.value

register_jobs(Work)
""",
    "signoff_pack/bases.py": "from flows import Job\nclass Site(Job):\n    pass\n",
    "signoff_pack/direct.py": "from .deep import value",
    "signoff_pack/deep.py": "value = 1",
    "signoff_pack/lazy.py": "value = 1",
    "signoff_pack/typed.py": "Nothing = None",
    "signoff_pack/parts/__init__.py": "__all__ = ['one']",
    "signoff_pack/parts/one.py": "value = 1",
    "signoff_pack/other.py": "value = 1",
    "signoff_pack/notes.txt": "",
    "signoff_beside.py": "value = 1",
    "signoff_elsewhere.py": "value = 1",
}


def forget() -> None:
    for name in [each for each in sys.modules if each.startswith("signoff_")]:
        del sys.modules[name]
    importlib.invalidate_caches()


class Project:
    """Files that can be imported.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        importlib.invalidate_caches()

    def code(self, class_path: str = JOB) -> Code:
        """Return the code of a Job, as a new process would load it."""
        forget()
        return load(class_path)._code

    def change(self, name: str) -> None:
        path = self.folder / name
        path.write_text(f"{path.read_text()}\n# changed\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "folder"


@pytest.fixture
def project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Have the project importable; the end of the test forgets it."""
    monkeypatch.setattr(registry, "_REGISTERED", {})
    monkeypatch.setattr(source._FINDER, "packages", set())
    folder.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(folder))
    made = Project(folder)
    made.write(PROJECT)
    yield made
    hold_to(None)
    forget()
    installed_in.cache_clear()


# What is covered


@pytest.mark.parametrize(
    ("file", "covered"),
    [
        pytest.param("signoff_pack/jobs.py", True, id="the module of the Job"),
        pytest.param("signoff_pack/bases.py", True, id="that of its base class"),
        pytest.param("signoff_pack/__init__.py", True, id="the package that they are in"),
        pytest.param("signoff_pack/direct.py", True, id="what it imports"),
        pytest.param("signoff_pack/deep.py", True, id="what that imports, relative to itself"),
        pytest.param("signoff_pack/lazy.py", True, id="what it imports while it runs"),
        pytest.param("signoff_pack/typed.py", True, id="what it imports on a condition"),
        pytest.param("signoff_pack/parts/__init__.py", True, id="a package of which it imports all"),
        pytest.param("signoff_pack/parts/one.py", True, id="a module of that package"),
        pytest.param("signoff_beside.py", True, id="a module beside its package"),
        pytest.param("signoff_pack/other.py", False, id="a module of its package that nothing imports"),
        pytest.param("signoff_elsewhere.py", False, id="a module beside its package that nothing imports"),
        pytest.param("signoff_pack/notes.txt", False, id="a file that is no module"),
    ],
)
def test_the_code_covers_what_the_job_imports_however_deep(project: Project, file: str, covered: bool) -> None:
    before = project.code()
    assert project.code().digest == before.digest
    project.change(file)
    assert (project.code().digest != before.digest) == covered
    assert (str(project.folder / file) in before.files) == covered


@pytest.mark.parametrize(
    "computed",
    [
        "import importlib; importlib.import_module('signoff_' + 'elsewhere')",
        "from importlib import import_module as find; find('signoff_' + 'elsewhere')",
        "__import__('signoff_' + 'elsewhere')",
        "import pkgutil; pkgutil.resolve_name('signoff_' + 'elsewhere')",
        "from pydoc import locate; locate('signoff_' + 'elsewhere')",
        "from importlib.metadata import EntryPoint; EntryPoint('x', 'signoff_' + 'elsewhere', 'x').load()",
        "def later():\n  from prefect.utilities.importtools import import_object as find",
        "from pydantic import ImportString",
        "eval('__imp' + 'ort__')('signoff_' + 'elsewhere')",
        "import builtins as b; vars(b)['__imp' + 'ort__']('signoff_' + 'elsewhere')",
        "import sys; sys.modules.get('signoff_' + 'elsewhere')",
    ],
)
def test_where_names_are_computed_all_of_the_folder_is_covered(project: Project, computed: str) -> None:
    project.write({"signoff_pack/deep.py": f"value = 1\n{computed}"})
    before = project.code()
    assert {"signoff_elsewhere", "signoff_pack.other"} <= before.modules.keys()
    assert {str(project.folder), str(project.folder / "signoff_pack")} <= before.files
    project.write({"signoff_new.py": ""})
    assert project.code().digest != before.digest


@pytest.mark.parametrize(
    "replaced",
    [
        pytest.param("import sys\nclass Lazy:\n  value = 1\nsys.modules[__name__] = Lazy()", id="itself"),
        pytest.param("value = 1\n__spec__ = None", id="what it was found by"),
        pytest.param("value = 1\nimport os\n__spec__ = os.__spec__", id="what it was found by, with another"),
    ],
)
def test_a_module_that_has_replaced_something_of_its_own_is_covered(project: Project, replaced: str) -> None:
    project.write({"signoff_pack/deep.py": replaced})
    before = project.code()
    project.change("signoff_pack/deep.py")
    assert project.code().modules["signoff_pack.deep"] != before.modules["signoff_pack.deep"]


@pytest.mark.parametrize("linked", [["signoff_job.py"], ["signoff_job.py", "signoff_beside.py"]])
def test_where_a_job_is_a_symbolic_link_what_is_beside_the_link_is_covered(
    project: Project, tmp_path: Path, linked: list[str]
) -> None:
    job = "from flows import Job, register_jobs\nclass Work(Job):\n  def run(self):\n    pass\nregister_jobs(Work)\n"
    project.write({"signoff_job.py": f"import signoff_beside\n{job}"})
    for name in linked:
        (tmp_path / name).mkdir()
        (project.folder / name).rename(tmp_path / name / name)
        (project.folder / name).symlink_to(tmp_path / name / name)
    code = project.code("signoff_job.Work")
    assert code.modules.keys() == {"signoff_job", "signoff_beside"}
    hold_to(code)
    with pytest.raises(OtherCode):
        importlib.import_module("signoff_elsewhere")


def test_a_module_that_takes_the_place_of_another_is_covered(project: Project) -> None:
    project.write({"signoff_pack/deep.py": "value = 1\ndef later():\n    import this"})
    before = project.code()
    project.write({"this.py": ""})
    after = project.code()
    assert after.digest != before.digest
    assert set(after.modules) - set(before.modules) == {"this"}


def test_the_digest_does_not_depend_on_the_place(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    here = project.code()
    there = Project(project.folder.parent / "there")
    there.write(PROJECT)
    monkeypatch.syspath_prepend(str(there.folder))
    assert there.code().digest == here.digest
    assert there.code().files.isdisjoint(here.files)


def test_the_examples_cover_their_own_package_alone() -> None:
    modules = load("flows.examples.BackUp")._code.modules
    assert {name.partition(".")[0] for name in modules} == {"flows"}


# What is installed


def installed(version: str) -> dict[str, str]:
    info = f"signoff_work-{version}.dist-info"
    return {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: signoff-work\nVersion: {version}\n",
        f"{info}/RECORD": "signoff_pack/__init__.py,,\nsignoff_pack/jobs.py,,\n",
    }


@pytest.mark.parametrize("place", ["folder/site-packages", "folder"])
def test_of_what_is_installed_the_version_counts_and_no_other_package(
    tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    site = Project(tmp_path / place)
    site.write(PROJECT)
    site.write(installed("1.0"))
    monkeypatch.syspath_prepend(str(site.folder))
    before = site.code()
    assert {name.partition(".")[0] for name in before.modules} == {"signoff_pack"}
    site.write(installed("1.1"))
    (site.folder / "signoff_work-1.0.dist-info" / "METADATA").unlink()
    (site.folder / "signoff_work-1.0.dist-info" / "RECORD").unlink()
    (site.folder / "signoff_work-1.0.dist-info").rmdir()
    installed_in.cache_clear()
    after = site.code()
    assert after.modules == before.modules
    assert after.digest != before.digest


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"signoff_work.egg-info/top_level.txt": "signoff_pack\n"}, id="to be edited"),
        pytest.param(
            {**installed("1.0"), "signoff_work-1.0.dist-info/top_level.txt": "signoff_pack\nsignoff_beside\n"},
            id="into its folder",
        ),
    ],
)
def test_of_a_project_that_is_installed_what_is_beside_its_package_is_covered(
    project: Project, metadata: dict[str, str]
) -> None:
    project.write({"signoff_work.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: signoff-work\nVersion: 1.0\n"})
    project.write(metadata)
    assert {"signoff_pack.jobs", "signoff_beside"} <= project.code().modules.keys()


# What was loaded


def check_that_what_was_loaded_counts(project: Project) -> None:
    before = project.code()
    forget()
    import_module("signoff_pack.direct")
    project.change("signoff_pack/deep.py")
    assert load(JOB)._code.digest == before.digest
    assert project.code().digest != before.digest


def test_the_digest_is_of_what_was_loaded_not_of_what_the_file_is_by_now(project: Project) -> None:
    check_that_what_was_loaded_counts(project)


def test_a_library_with_a_loader_of_its_own_hides_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some have every file of the process loaded by a kind of Python's own loader."""

    class OfALibrary(importlib.machinery.SourceFileLoader):
        pass

    hook = importlib.machinery.FileFinder.path_hook((OfALibrary, importlib.machinery.SOURCE_SUFFIXES))
    monkeypatch.setattr(sys, "path_hooks", [hook, *sys.path_hooks])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    check_that_what_was_loaded_counts(project)


def test_what_stands_in_a_cache_in_place_of_the_source_is_not_executed(project: Project, tmp_path: Path) -> None:
    path, other = project.folder / "signoff_pack" / "deep.py", tmp_path / "other.py"
    other.write_text("value = 2")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    cached = importlib.util.cache_from_source(str(path))
    py_compile.compile(str(other), cached, dfile=str(path), doraise=True)
    forget()
    assert importlib.machinery.SourceFileLoader("x", str(path)).get_code("x").co_consts[0] == 2  # type: ignore[union-attr]
    assert import_module("signoff_pack.deep").value == 1


def test_a_module_without_source_counts_by_its_bytecode_which_depends_on_python(project: Project) -> None:
    path = project.folder / "signoff_pack" / "deep.py"
    assert project.code().digest.startswith("2::")
    digests = []
    for value in (1, 1, 2):
        path.write_text(f"value = {value}")
        py_compile.compile(str(path), str(path.with_suffix(".pyc")), doraise=True)
        path.unlink()
        digests.append(project.code().digest)
    assert digests[0] == digests[1] != digests[2]
    assert digests[0].startswith(f"2:{sys.implementation.cache_tag}:")


# A run that is held to its code


def held(project: Project) -> None:
    hold_to(project.code())


def test_a_run_that_is_held_imports_what_is_covered(project: Project) -> None:
    held(project)
    assert load(JOB)().run() == 1
    import colorsys  # noqa: F401 - of Python, and not imported before


def test_a_run_that_is_held_does_not_import_what_has_changed(project: Project) -> None:
    held(project)
    project.write({"signoff_pack/lazy.py": "value = 2"})
    with pytest.raises(OtherCode, match=r"^The module signoff_pack.lazy changed after the code of this run was"):
        load(JOB)().run()
    project.write(PROJECT)
    assert load(JOB)().run() == 1


@pytest.mark.parametrize("name", ["signoff_elsewhere", "signoff_pack.other", "signoff_bytecode"])
def test_a_run_that_is_held_does_not_import_what_is_not_covered(project: Project, name: str) -> None:
    project.write({"signoff_bytecode.py": ""})
    path = project.folder / "signoff_bytecode.py"
    py_compile.compile(str(path), str(path.with_suffix(".pyc")), doraise=True)
    path.unlink()
    held(project)
    with pytest.raises(OtherCode, match=f"^The module {name} is not part of the code that was approved"):
        importlib.import_module(name)
    hold_to(None)
    importlib.import_module(name)


def test_a_run_is_not_held_to_code_that_is_another_than_what_was_loaded(project: Project) -> None:
    code = project.code()
    project.change("signoff_pack/lazy.py")
    import_module("signoff_pack.lazy")
    with pytest.raises(OtherCode, match=r"^The module signoff_pack.lazy changed"):
        hold_to(code)


@pytest.mark.parametrize("name", ["signoff_elsewhere", "signoff_pack.other"])
def test_what_was_imported_before_and_is_not_covered_is_not_at_hand_in_a_run_that_is_held(
    project: Project, name: str
) -> None:
    code = project.code()
    import_module(name)
    others = set(sys.modules) - {name}
    hold_to(code)
    assert set(sys.modules) == others
    assert not hasattr(sys.modules["signoff_pack"], "other")
    with pytest.raises(OtherCode, match=f"^The module {name} is not part of the code that was approved"):
        importlib.import_module(name)


def test_what_stands_in_a_folder_that_is_called_like_ours_is_covered_as_theirs(project: Project) -> None:
    names = ("flows.flows", "flows.signoff_demo")
    job = "from flows import Job, register_jobs, theirs\nfrom flows.signoff_demo import value\n"
    job += "class Work(Job):\n    def run(self): ...\nregister_jobs(Work)\n"
    project.write({"signoff_mine.py": job, "flows.py": "theirs = 1", "flows/signoff_demo.py": "value = 1"})
    try:
        code = project.code("signoff_mine.Work")
    finally:
        for name in names:
            sys.modules.pop(name, None)
            vars(flows).pop(name.partition(".")[2], None)
    assert code.modules.keys() == {"signoff_mine", *names}
    assert code.digest
