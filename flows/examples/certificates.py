"""Certificates, checked: those of servers that stand in a CSV file, of which somebody chooses some or none.

* The file has the columns ``address`` (host:port), ``name`` and ``owner``. Server and worker read it each time.
* Who chooses no server means all, those too that are added to the file later: so a schedule stays right.
* Each server is told about; the run fails with the list of those that need somebody.
"""

from __future__ import annotations

import csv
import io
import math
import os
import socket
import ssl
import time
from typing import Any

from flows import IntegerVar, Job, MultiObjectVar, StringVar, register_jobs
from flows.examples.addresses import each_address, reason, trusting
from flows.sources import CSVFile

name = "Examples"

HOSTS = os.environ.get("CERTIFICATE_HOSTS", "hosts.csv")
"""The file, for which server and worker have this variable; without it, the one beside this module."""

DAY = 24 * 60 * 60


class CheckCertificates(Job):
    """Checks how long the TLS certificates of servers remain valid."""

    class Meta:
        name = "Check certificates"
        description = "Reports how many days certificates have left, and fails with the list of those that need work."
        has_sensitive_variables = False
        read_only = True

    servers = MultiObjectVar(
        label="Servers",
        description="None means all.",
        source=CSVFile(HOSTS),
        key="address",
        display_field="name",
        required=False,
    )
    warn_days = IntegerVar(
        label="Days", description="Fail if fewer days are left.", default=21, min_value=0, max_value=3650
    )
    ca_file = StringVar(
        label="CA file",
        description="PEM file of the authorities to trust; if empty, those of the worker's system.",
        required=False,
    )
    timeout = IntegerVar(label="Timeout", description="Seconds.", default=5, min_value=1, max_value=60)

    def run(self, *, servers: list[Any], warn_days: int, ca_file: str, timeout: int) -> list[dict[str, Any]]:
        context = trusting(ca_file)
        chosen = {each.address: each for each in servers or type(self).servers.objects().values()}
        if not chosen:
            raise ValueError(f"{HOSTS} has no servers.")
        table, needing = [], []
        for address, answer in each_address(chosen, lambda host, port: _expiry(host, port, timeout, context)):
            fault = reason(answer) if isinstance(answer, Exception) else ""
            days = None if isinstance(answer, Exception) else math.floor((answer - time.time()) / DAY)
            name, owner, said = chosen[address].name, chosen[address].owner, fault or f"{days} days left"
            table.append({"address": address, "name": name, "owner": owner, "days left": days, "fault": fault})
            if days is None or days < warn_days:
                needing.append(f"{name} ({owner}): {said}")
                self.logger.warning("%s: %s", name, said, extra={"object": address})
            else:
                self.logger.success("%s: %s", name, said, extra={"object": address})
        self._write(table)
        if needing:
            self.fail("%d of %d certificates need work: %s", len(needing), len(table), "; ".join(needing))
        return table

    def _write(self, table: list[dict[str, Any]]) -> None:
        written = io.StringIO()
        rows = csv.DictWriter(written, table[0])
        rows.writeheader()
        rows.writerows(table)
        self.create_file("certificates.csv", written.getvalue())


def _expiry(host: str, port: int, timeout: float, context: ssl.SSLContext) -> float:
    """Return when the certificate of a server expires, in seconds since 1970."""
    with (
        socket.create_connection((host, port), timeout) as connection,
        context.wrap_socket(connection, server_hostname=host) as secured,
    ):
        certificate = secured.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(certificate["notAfter"]))


register_jobs(CheckCertificates)
