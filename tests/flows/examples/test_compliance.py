"""Configurations held against the rules."""

from __future__ import annotations

import csv
import io

import pytest

from flows.examples.compliance import CheckCompliance
from flows.testing import JobRun, run_job

GOOD = """\
service password-encryption
hostname edge
enable secret 9 $9$abc
username admin secret 9 $9$def
ip ssh version 2
logging host 192.0.2.1
ntp server 192.0.2.2
snmp-server community s3cret RO
line vty 0 4
 transport input ssh
"""


def check(configuration: str, report: str = "md") -> JobRun:
    return run_job(CheckCompliance, configuration=("edge.cfg", configuration.encode()), report=report)


def test_a_configuration_that_keeps_all_rules_succeeds() -> None:
    run = check(GOOD)
    assert (run.status, run.result["broken"]) == ("SUCCESS", [])
    assert run.result["rules"] == len(run.logs) - 1
    assert {line.log_level for line in run.logs if line.grouping} == {"success"}
    assert {line.grouping for line in run.logs} == {"Remote access", "Passwords", "Logs and time", "SNMP", ""}


@pytest.mark.parametrize(
    ("change", "heading", "rule", "where"),
    [
        (("version 2", "version 1"), "Remote access", "SSH is of version 2", "no line has it"),
        (("input ssh", "input telnet ssh"), "Remote access", "Telnet is off", "line 10"),
        (("hostname", "ip http server\nhostname"), "Remote access", "The web server without TLS is off", "line 2"),
        (("enable secret 9", "enable password"), "Passwords", "The enable password is a hash", "line 3"),
        (("secret 9 $9$def", "password 0 x"), "Passwords", "No user has a password in plain text", "line 4"),
        (("service", "no service"), "Passwords", "Passwords are not shown in plain text", "no line has it"),
        (("logging host", "logging buffered"), "Logs and time", "Logs go to another machine", "no line has it"),
        (("ntp server", "no ntp"), "Logs and time", "The time comes from NTP", "no line has it"),
        (("s3cret", "public"), "SNMP", "No community has its usual name", "line 8"),
    ],
)
def test_a_rule_that_is_broken_is_told_under_its_heading(
    change: tuple[str, str], heading: str, rule: str, where: str
) -> None:
    run = check(GOOD.replace(*change))
    assert run.result["broken"] == [rule]
    assert str(run.error) == f"edge.cfg breaks 1 of {run.result['rules']} rules."
    [line] = [line for line in run.logs if line.log_level == "failure" and line.grouping]
    assert (line.grouping, line.message) == (heading, f"{rule}: {where}")


def test_the_report_has_each_rule_and_quotes_no_line() -> None:
    run = check(GOOD.replace("enable secret 9", "enable password"))
    report = run.files["edge-compliance.md"].decode()
    assert report.startswith("# Compliance of edge.cfg\n\n| rule set | rule | verdict | where |\n|---|---|---|---|\n")
    assert "| Passwords | The enable password is a hash | broken | line 3 |" in report
    assert report.count("\n| ") == run.result["rules"] + 1
    rows = [*csv.DictReader(io.StringIO(check(GOOD, "csv").files["edge-compliance.csv"].decode()))]
    assert {row["verdict"] for row in rows} == {"kept"}
    assert "abc" not in report + "".join(run.messages)


def test_what_is_no_utf8_is_read_all_the_same() -> None:
    run = run_job(CheckCompliance, configuration=("a.cfg", b"\xff\xfe\nip ssh version 2\n"))
    assert "SSH is of version 2" not in run.result["broken"]
