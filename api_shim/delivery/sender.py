"""What sends to every target, by the way that it has."""

from __future__ import annotations

from api_shim.delivery import mail, services
from api_shim.delivery.sending_process import SendingProcesses
from api_shim.domain.notifications import Message, Way
from approval_gate.addresses import Reachable
from approval_gate.errors import Invalid

PUBLIC_ALONE = Reachable()


class Delivery:
    """Sends messages; a ``Sender``.

    Args:
        server: the mail server; None for none.
        reachable: which addresses apprise may connect to.
    """

    def __init__(self, server: mail.MailServer | None = None, reachable: Reachable = PUBLIC_ALONE) -> None:
        self._server = server
        self._reachable = reachable
        self._processes = SendingProcesses(reachable)

    @property
    def has_mail(self) -> bool:
        """Whether there is a mail server."""
        return self._server is not None

    def label(self, way: Way, address: str) -> str:
        """Return what a target is shown as; see ``Sender.label``."""
        match way:
            case Way.MAIL if self._server is None:
                raise Invalid({"address": [mail.NO_SERVER]})
            case Way.MAIL:
                mail.check_mailbox(address)
                return address
            case Way.APPRISE:
                return services.label_of(address, self._reachable)

    def send(self, way: Way, address: str, message: Message) -> None:
        """Send a message; see ``Sender.send``."""
        match way:
            case Way.MAIL:
                mail.send(self._server, address, message)
            case Way.APPRISE:
                self._processes.send(address, message)

    def stop(self) -> None:
        """End what can be ended of what is being sent; see ``Sender.stop``."""
        self._processes.stop()
