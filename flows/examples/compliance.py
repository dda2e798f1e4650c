"""A configuration that somebody uploads, held against the rules in ``compliance.yaml``.

* Each rule is told about under the heading of its rule set, and stands in the report.
* What the configuration has is never quoted, only the numbers of its lines: it has passwords, and logs have readers.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import PurePath
from typing import Any

from flows import ChoiceVar, FileVar, Job, register_jobs
from flows.files import RunFile

name = "Examples"


class CheckCompliance(Job):
    """Checks the configuration of a device against rules."""

    class Meta:
        name = "Check compliance"
        description = "Checks a configuration against rules, writes a report, and fails if a rule is broken."
        has_sensitive_variables = False
        read_only = True

    configuration = FileVar(label="Configuration", description="As the device shows it, in UTF-8.")
    report = ChoiceVar(label="Report", choices=[("md", "Markdown"), ("csv", "CSV")], default="md")

    def run(self, *, configuration: RunFile, report: str) -> dict[str, Any]:
        lines = configuration.read().decode(errors="replace").splitlines()
        rows = [
            self._judge(rule_set, rule, lines)
            for rule_set, rules in self.load_yaml("compliance.yaml").items()
            for rule in rules
        ]
        write = {"md": _markdown, "csv": _csv}[report]
        self.create_file(f"{PurePath(configuration.name).stem}-compliance.{report}", write(configuration.name, rows))
        broken = [row["rule"] for row in rows if row["verdict"] == "broken"]
        if broken:
            self.fail("%s breaks %d of %d rules.", configuration.name, len(broken), len(rows))
        return {"rules": len(rows), "broken": broken}

    def _judge(self, rule_set: str, rule: dict[str, str], lines: list[str]) -> dict[str, str]:
        wanted = "must" in rule
        pattern = re.compile(rule["must" if wanted else "must not"])
        found = [number for number, line in enumerate(lines, 1) if pattern.search(line)]
        kept = bool(found) == wanted
        where = "" if kept else f"line {', '.join(map(str, found))}" if found else "no line has it"
        tell = self.logger.success if kept else self.logger.failure
        tell("%s", f"{rule['says']}: {where}" if where else rule["says"], extra={"grouping": rule_set})
        return {"rule set": rule_set, "rule": rule["says"], "verdict": "kept" if kept else "broken", "where": where}


def _markdown(configuration: str, rows: list[dict[str, str]]) -> str:
    lines = [f"# Compliance of {configuration}", "", f"| {' | '.join(rows[0])} |", "|---" * len(rows[0]) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row.values())} |" for row in rows), ""])


def _csv(_configuration: str, rows: list[dict[str, str]]) -> str:
    written = io.StringIO()
    report = csv.DictWriter(written, rows[0])
    report.writeheader()
    report.writerows(rows)
    return written.getvalue()


register_jobs(CheckCompliance)
