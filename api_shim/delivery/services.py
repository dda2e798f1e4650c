"""Sends by apprise, to those of its services that are reached over HTTP and whose connections can be checked.

* Which services, stands in a list: others run programs, write on this machine, or reach it and its network by ways that
  nobody checks.
* Connections go to public addresses alone, and to networks that whoever runs the server has named (``connections``).
  Redirects are not followed, and certificates are always verified.
* Messages are sent as they are: a template would be a file of this machine, which an address may not name.
* The parts of an address that are secret, which are most, are neither shown nor logged. Apprise logs some.
"""

from __future__ import annotations

import logging
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from api_shim.delivery.connections import guarded
from api_shim.domain.notifications import Message, Undeliverable
from approval_gate.addresses import Reachable
from approval_gate.errors import Invalid

if TYPE_CHECKING:
    import apprise

logger = logging.getLogger("signoff")

OF_A_HOST = frozenset(
    {
        *("json", "jsons", "form", "forms", "xml", "xmls", "apprise", "apprises", "gotify", "gotifys"),
        *("mmost", "mmosts", "ntfy", "ntfys", "rocket", "rockets", "nctalk", "nctalks", "signal", "signals"),
    }
)
"""The services of a machine that the address names."""
OF_A_VENDOR = frozenset(
    {
        *("slack", "discord", "workflow", "workflows", "gchat", "wxteams", "webex", "zulip", "tgram", "line"),
        *("pagerduty", "opsgenie", "splunk", "victorops", "pover", "pbul", "prowl", "twilio", "dingtalk", "feishu"),
        *("lark", "flock", "twist", "ryver", "mailgun", "sendgrid", "postmark", "spike", "signl4", "threema"),
    }
)
"""The services of one company, at an address of theirs; what stands in place of a machine is a secret."""

NO_SERVICE = (
    "Notifications are not sent to such an address. Write one as apprise documents it, of one of these services: "
    f"{', '.join(sorted(OF_A_HOST | OF_A_VENDOR))}."
)
BROKEN = "This address cannot be read: apprise documents what one of this service consists of."
TEMPLATE = "Notifications are sent as they are: remove the template from this address."
NOT_PUBLIC = "Notifications are not sent to this address: it is no public one, and nobody has allowed it."
MOST_RECEIVERS = 10
"""How many receivers one address may name: each is a request of its own."""
TOO_MANY = f"One address may name {MOST_RECEIVERS} receivers at most; add the others as targets of their own."
FAILED = (
    "The service did not take the message. It has refused it, does not answer, or is at an address that notifications "
    "may not be sent to."
)
CONNECT_SECONDS, READ_SECONDS = 5.0, 8.0


def label_of(address: str, reachable: Reachable) -> str:
    """Return what an address is shown as: its service and, if it names one, the machine.

    Args:
        address: as apprise writes it.
        reachable: what may be connected to.

    Raises:
        Invalid: nothing is sent there.
    """
    service, schema = _service(address), _schema(address)
    if len(service) > MOST_RECEIVERS:
        raise Invalid({"address": [TOO_MANY]})
    if schema in OF_A_VENDOR or getattr(service, "mode", "") == "cloud":
        # At ntfy's own server, what stands in place of a machine is a topic, which whoever knows it reads.
        return f"{schema}://…"
    host = str(service.host or "")
    if (number := _number_in(host)) and not reachable.may_call(number):
        raise Invalid({"address": [NOT_PUBLIC]})
    port = f":{service.port}" if service.port else ""
    return f"{schema}://{host}{port}/…"


def send(address: str, message: Message, reachable: Reachable) -> None:
    """Send a message.

    Args:
        address: as apprise writes it.
        message: it.
        reachable: what may be connected to.

    Raises:
        Undeliverable: it was not taken.
    """
    taken = False
    try:
        service = _service(address)
        with guarded(reachable):
            # By the service itself: apprise's own loop over several would do it in other threads.
            taken = bool(service.notify(body=message.body, title=message.subject, body_format="text"))
    except Exception:
        # What a service raises may have the address in it.
        logger.debug("A service of apprise has raised an error.")
    if not taken:
        raise Undeliverable(FAILED)


def _schema(address: str) -> str:
    return address.partition("://")[0].lower()


def _service(address: str) -> Any:
    """Return what sends to an address.

    Raises:
        Invalid: nothing does.
    """
    if _schema(address) not in OF_A_HOST | OF_A_VENDOR:
        raise Invalid({"address": [NO_SERVICE]})
    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    service = apprise.Apprise.instantiate(address, asset=_asset(), suppress_exceptions=True)
    if service is None:
        raise Invalid({"address": [BROKEN]})
    if any(isinstance(each, apprise.AppriseAttachment) and len(each) > 0 for each in vars(service).values()):
        raise Invalid({"address": [TEMPLATE]})
    # Whatever the address says of these.
    service.redirects, service.verify_certificate = False, True
    service.socket_connect_timeout, service.socket_read_timeout = CONNECT_SECONDS, READ_SECONDS
    # To wait between receivers would take most of the time that a message has.
    service.request_rate_per_sec = 0
    return service


def _asset() -> apprise.AppriseAsset:
    import apprise

    return apprise.AppriseAsset(app_id="signoff", app_desc="signoff", app_url="", async_mode=False, secure_logging=True)


def _number_in(host: str) -> str:
    """Return the number that stands in place of a machine's name, in any way that systems read; empty for a name."""
    name = host.strip("[]").rstrip(".")
    if name.lower() == "localhost":
        return "127.0.0.1"
    try:
        return str(ip_address(name))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except OSError:
        return ""
