"""Devices, backed up: the configuration of each is fetched by HTTPS, and is a file of the job result.

* A device that does not answer costs no other one its backup; the run fails, and lists those to fetch again.
* The credential is read before the first device is asked, and sent by verified TLS only. No redirect is followed.
* A dry run asks no device, and reads no credential.
* However the run ends, a manifest tells what there is, with its SHA-256.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from http.client import HTTPException, HTTPSConnection
from typing import Any

from flows import BooleanVar, DryRunVar, IntegerVar, Job, StringVar, TextVar, register_jobs
from flows.examples.addresses import WRITTEN, each_address, listed, reason, trusting

name = "Examples"

SECRET = "device-backup"  # noqa: S105 - its name
"""The Secret block of Prefect with what is sent as ``Authorization``, such as ``Bearer …`` or ``Basic …``."""

MOST = 5_000_000
"""The most bytes of a configuration."""


class BackUpDevices(Job):
    """Fetches the configurations of devices."""

    class Meta:
        name = "Back up devices"
        description = "Fetches the configuration of each device by HTTPS, and keeps it as a file of the result."
        approval_required = True  # it signs in to the devices that somebody types
        has_sensitive_variables = False
        is_singleton = True
        soft_time_limit = 1800

    devices = TextVar(label="Devices", description=f"One on each line: {WRITTEN}.")
    path = StringVar(
        label="Path",
        description="Where a device has its configuration, such as /restconf/data/Cisco-IOS-XE-native:native.",
        regex="/[!-~]*",
    )
    sign_in = BooleanVar(
        label="Sign in",
        description=f"Send the value of the Secret block {SECRET} of Prefect as Authorization.",
        default=True,
    )
    ca_file = StringVar(
        label="CA file",
        description="PEM file of the authorities to trust; if empty, those of the worker's system.",
        required=False,
    )
    timeout = IntegerVar(label="Timeout", description="Seconds.", default=20, min_value=1, max_value=300)
    dryrun = DryRunVar()

    def before_start(self, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.missing = listed(kwargs["devices"])
        self.manifest = [("device", "file", "bytes", "sha256")]
        if not kwargs["dryrun"]:
            self.context = trusting(kwargs["ca_file"])
            self.headers = {"Authorization": self._credential()} if kwargs["sign_in"] else {}

    def run(self, *, devices: str, path: str, timeout: int, dryrun: bool, **_read_before: Any) -> dict[str, Any]:
        def ask(host: str, port: int) -> bytes:
            return b"" if dryrun else self._fetch(host, port, path, timeout)

        for device, answer in each_address(listed(devices), ask):
            if isinstance(answer, Exception):
                self.fail("%s: %s", device, reason(answer), extra={"object": device})
            elif dryrun:
                self.logger.info("Would fetch https://%s%s", device, path, extra={"object": device})
            else:
                self._keep(device, answer)
        done, missing = [row[0] for row in self.manifest[1:]], [] if dryrun else self.missing
        return {"backed up": done, "missing": missing, "dryrun": dryrun}

    def on_failure(
        self, exc: Exception, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any], einfo: Any
    ) -> None:
        if self.missing and not kwargs["dryrun"]:
            self.create_file("missing.txt", "\n".join(self.missing))
            self.logger.warning(
                "Not backed up: %s. To fetch these alone, run again with them.", ", ".join(self.missing)
            )

    def after_return(
        self, status: str, retval: Any, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any], einfo: Any
    ) -> None:
        if not kwargs["dryrun"]:
            written = io.StringIO()
            csv.writer(written).writerows(self.manifest)
            self.create_file("manifest.csv", written.getvalue())

    def _credential(self) -> str:
        value = str(self.secret(SECRET)).strip()
        if not (value.isascii() and value.isprintable()):
            # What sends it would quote it.
            raise ValueError(f"The Secret block {SECRET} has characters that no header can have.")
        return value

    def _fetch(self, host: str, port: int, path: str, timeout: int) -> bytes:
        connection = HTTPSConnection(host, port, timeout=timeout, context=self.context)
        try:
            connection.request("GET", path, headers=self.headers)
            with connection.getresponse() as answer:
                content = answer.read(MOST + 1)
        except HTTPException as error:
            raise OSError(f"it does not answer by HTTP ({type(error).__name__}).") from error
        finally:
            connection.close()
        if answer.status != 200 or not content or len(content) > MOST:
            raise OSError(f"it answers with the status {answer.status} and {len(content)} bytes.")
        return content

    def _keep(self, device: str, configuration: bytes) -> None:
        file = re.sub(r"[^\w.-]", "-", device) + ".cfg"
        self.create_file(file, configuration)
        self.manifest.append((device, file, str(len(configuration)), hashlib.sha256(configuration).hexdigest()))
        self.missing.remove(device)
        self.logger.success("%s is backed up.", device, extra={"object": device})


register_jobs(BackUpDevices)
