"""Sends each message by apprise in a process of its own, which ends in time and has little memory.

* Whoever names an address says what answers there: it may do so byte by byte, or with more than fits into memory. The
  process has ``SECONDS`` for all that it does and ``MEMORY`` more than it begins with; then the message has failed.
* What is secret is told on standard input, which nobody else can read. Of the server's environment it has what it needs
  to start and to find its way out, and no secret. What it writes on errors is not read.
* It ends by itself if the server has died meanwhile.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from api_shim.delivery import services
from api_shim.domain.notifications import Message, Undeliverable
from approval_gate.addresses import Reachable, reachable_with

SECONDS = 30
"""How long a message may take, whatever it is sent to."""
MEMORY = 512 * 2**20
"""How many bytes of memory sending it may take, besides Python and this module."""
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
PASSED_ON = frozenset(
    {
        *("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "TMPDIR"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *(*PROXIES, *(name.upper() for name in PROXIES)),
    }
)
"""The variables of the environment that it has, too."""
COMMAND = (sys.executable, "-P", "-m", "api_shim.delivery.sending_process")


class SendingProcesses:
    """Starts the processes; from several threads, if need be.

    Args:
        reachable: what they may connect to.
    """

    def __init__(self, reachable: Reachable) -> None:
        self._reachable = reachable
        self._running: set[subprocess.Popen[str]] = set()

    def send(self, address: str, message: Message) -> None:
        """Send a message.

        Args:
            address: as apprise writes it.
            message: it.

        Raises:
            Undeliverable: it was not taken, or not in time.
        """
        told = {
            "address": address,
            "message": {"subject": message.subject, "body": message.body, "key": message.key},
            "networks": ",".join(map(str, self._reachable.named)),
            "memory": MEMORY,
            "seconds": SECONDS,
        }
        try:
            is_taken = json.loads(self._answer(json.dumps(told)))["taken"]
        except (OSError, subprocess.TimeoutExpired, ValueError):
            # It was not started, was not ready in time, or was ended.
            is_taken = False
        if not is_taken:
            raise Undeliverable(services.FAILED)

    def stop(self) -> None:
        """End those that run now: what they send has failed."""
        for process in tuple(self._running):
            process.kill()

    def _answer(self, told: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name in PASSED_ON}
        with subprocess.Popen(  # noqa: S603 - our own command
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
            # What is sent when the server is interrupted at a terminal has time to be noted.
            start_new_session=True,
        ) as process:
            self._running.add(process)
            try:
                return process.communicate(told, timeout=SECONDS)[0]
            finally:
                process.kill()
                self._running.discard(process)


def main() -> None:
    """Send what standard input says, and say whether it was taken."""
    told = json.load(sys.stdin)
    # The server ends it earlier, if there still is one.
    signal.alarm(told["seconds"] + 1)
    _limit_memory(told["memory"])
    with redirect_stdout(sys.stderr):
        answer = {"taken": _is_taken(told)}
    print(json.dumps(answer))  # noqa: T201 - read by the process that has started this one


def _limit_memory(more: int) -> None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        # Only Linux tells it, and holds processes to it.
        return
    # Where there is none, this module is imported all the same.
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + more
    if most == resource.RLIM_INFINITY or limit < most:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _is_taken(told: dict[str, Any]) -> bool:
    try:
        services.send(told["address"], Message(**told["message"]), reachable_with(told["networks"]))
    except Undeliverable:
        return False
    return True


if __name__ == "__main__":
    main()
