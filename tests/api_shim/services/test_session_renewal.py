"""Sessions that were begun at an identity provider: renewed while it vouches for their user, and no longer."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import anyio
import pytest

from api_shim.domain.accounts import Identity, Session
from api_shim.domain.identity_providers import HalfRenewed, NotVouched, Vouched
from api_shim.services.authentication import Unauthenticated
from api_shim.services.session_renewal import EARLY, GOOD_FOR, TAKES, SessionRenewal
from api_shim.services.sessions import Sessions
from api_shim.settings import SignInRules
from api_shim.store import Store
from approval_gate.errors import Unavailable
from tests.api_shim.services.test_provider_sign_in import ALICE, ISSUER, Door, Saying
from tests.conftest import Clock

MINUTE = timedelta(minutes=1)


class Visit:
    """A session of alice's, begun just now."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.door = Door(store, clock)
        self.clock = clock
        self.key, self.session = self.door.enters()
        self.provider = self.door.provider
        self.provider.asked.clear()
        self.sessions = self.server()

    def server(self, provider: Saying | None = None, **rules: object) -> Sessions:
        provider = provider or self.provider
        told = SignInRules(**rules)  # type: ignore[arg-type]
        renewal = SessionRenewal(self.door.store, provider, told, self.clock)
        return Sessions(self.door.store, self.clock, _note, _sleep, told, renewal)

    def after(self, passed: timedelta) -> str:
        """Say what becomes of a request that is made so much later."""
        self.clock.now += passed
        try:
            visitor = asyncio.run(self.sessions.resume(self.key))
        except (Unauthenticated, Unavailable) as error:
            return type(error).__name__
        return visitor.actor.username

    def renewals(self) -> int:
        return len(self.provider.asked)

    def stored(self) -> list[Session]:
        return self.door.all(Session)


def _note(*_args: object) -> None:
    """Tell nobody."""


async def _sleep(_seconds: float) -> None:
    """Take no time."""


@pytest.fixture
def visit(store: Store, clock: Clock) -> Visit:
    return Visit(store, clock)


def test_it_is_renewed_in_the_second_half_of_its_hour_and_not_before(visit: Visit) -> None:
    assert (visit.after(GOOD_FOR - EARLY - MINUTE), visit.renewals()) == ("alice", 0)
    visit.provider.says = Vouched(subject="248", refresh_token="another refresh")
    assert (visit.after(MINUTE), visit.renewals()) == ("alice", 1)
    assert visit.provider.asked == [("secret refresh", "248")]
    [session] = visit.stored()
    assert (session.renew_by, session.renewing) == (visit.clock.now + GOOD_FOR, None)
    assert (visit.after(MINUTE), visit.renewals()) == ("alice", 1)
    assert (visit.after(timedelta(hours=3)), visit.renewals()) == ("alice", 2)
    assert visit.provider.asked[-1] == ("another refresh", "248")


@pytest.mark.parametrize("passed", [EARLY, GOOD_FOR, timedelta(hours=3)])
def test_whom_the_provider_does_not_vouch_for_any_more_is_out(visit: Visit, passed: timedelta) -> None:
    visit.provider.says = NotVouched("The identity provider does not vouch for this user (invalid_grant).")
    assert visit.after(passed) == "Unauthenticated"
    assert visit.stored() == []
    told = visit.door.told()[-1]
    assert (told.act, told.name, told.actor_id) == ("sign-in.refused", "alice", None)
    assert "invalid_grant" in told.data["reason"]
    visit.provider.says = ALICE
    assert visit.after(MINUTE) == "Unauthenticated"


def test_while_the_provider_is_away_it_goes_on_until_its_hour_is_over_and_then_when_it_is_back(visit: Visit) -> None:
    visit.provider.says = Unavailable("Away.")
    assert (visit.after(EARLY), visit.renewals()) == ("alice", 1)
    assert (visit.after(TAKES / 2), visit.renewals()) == ("alice", 1), "it is not asked again by each request"
    assert (visit.after(TAKES), visit.renewals()) == ("alice", 2)
    visit.clock.now = visit.session.created + GOOD_FOR - MINUTE
    assert visit.after(timedelta(0)) == "alice"
    assert visit.after(MINUTE) == "Unavailable"
    assert visit.after(TAKES / 2) == "Unavailable"
    visit.provider.says = ALICE
    assert visit.after(TAKES) == "alice"


@pytest.mark.parametrize("passed", [EARLY, GOOD_FOR])
def test_a_refresh_token_is_kept_where_the_rest_of_a_renewal_fails(visit: Visit, passed: timedelta) -> None:
    visit.provider.says = HalfRenewed("Away.", "another refresh")
    assert visit.after(passed) == ("alice" if passed < GOOD_FOR else "Unavailable")
    assert visit.stored()[0].renew_by == visit.session.renew_by
    visit.provider.says = ALICE
    assert visit.after(TAKES) == "alice"
    assert visit.provider.asked == [("secret refresh", "248"), ("another refresh", "248")]


def test_a_renewal_is_finished_though_whoever_asked_has_gone(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    visit.clock.now += GOOD_FOR

    async def asks() -> None:
        with anyio.CancelScope() as request:

            async def renew(_refresh_token: str, _subject: str) -> Vouched:
                request.cancel()
                await anyio.lowlevel.checkpoint()
                return Vouched(subject="248", refresh_token="another refresh")

            monkeypatch.setattr(visit.provider, "renew", renew)
            await visit.sessions.resume(visit.key)
        assert request.cancelled_caught

    asyncio.run(asks())
    [session] = visit.stored()
    assert session.renew_by == visit.clock.now + GOOD_FOR
    assert visit.door.store.open_secret(session.id, str(session.refresh_token)) == "another refresh"


@pytest.mark.parametrize("gone", ["no refresh token", "another provider", "no provider", "another key"])
def test_what_cannot_be_renewed_ends_with_its_hour(visit: Visit, gone: str) -> None:
    if gone == "no refresh token":
        with visit.door.store.transaction() as tx:
            tx.change(visit.session, refresh_token=None)
    elif gone == "another key":
        with visit.door.store.transaction() as tx:
            tx.change(visit.session, refresh_token="1.0000.AAAA")
    elif gone == "another provider":
        visit.sessions = visit.server(Saying(issuer="https://other.example.com"))
    else:
        renewal = SessionRenewal(visit.door.store, None, SignInRules(), visit.clock)
        visit.sessions = Sessions(visit.door.store, visit.clock, _note, _sleep, SignInRules(), renewal)
    assert visit.after(GOOD_FOR - MINUTE) == "alice"
    assert visit.after(MINUTE + TAKES) == "Unauthenticated"
    assert visit.renewals() == 0


def test_without_a_refresh_token_nothing_is_written_before_its_hour_is_over(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    with visit.door.store.transaction() as tx:
        tx.change(visit.session, refresh_token=None, seen=visit.clock.now + GOOD_FOR - MINUTE)

    async def write(_tell: object) -> None:
        raise AssertionError("It is not renewed, so nothing is written.")

    monkeypatch.setattr(visit.door.store, "write", write)
    assert visit.after(GOOD_FOR - MINUTE) == "alice"


def test_whose_account_is_removed_while_the_provider_is_asked_is_out(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def renew(_refresh_token: str, _subject: str) -> Vouched:
        visit.door.identity.remove_user("alice", visit.clock.now)
        raise NotVouched("The identity provider does not vouch for this user (invalid_grant).")

    monkeypatch.setattr(visit.provider, "renew", renew)
    assert visit.after(EARLY) == "Unauthenticated"
    assert visit.stored() == []


def test_where_nothing_renews_sessions_it_is_over(visit: Visit) -> None:
    visit.sessions = Sessions(visit.door.store, visit.clock, _note, _sleep)
    assert visit.after(MINUTE) == "Unauthenticated"


def test_who_is_deactivated_here_meanwhile_is_out(visit: Visit) -> None:
    visit.door.identity.set_active("alice", visit.clock.now, active=False)
    assert visit.after(GOOD_FOR) == "Unauthenticated"


def test_whose_link_is_gone_is_out_when_it_is_next_renewed(visit: Visit) -> None:
    [identity] = visit.door.all(Identity)
    with visit.door.store.transaction() as tx:
        tx.remove(identity)
    assert visit.after(EARLY) == "Unauthenticated"


def test_it_ends_when_sessions_do_though_the_provider_still_vouches(visit: Visit) -> None:
    for _ in range(24):
        assert visit.after(EARLY) == "alice"
    assert visit.after(MINUTE) == "Unauthenticated"


def test_groups_follow_with_each_renewal(visit: Visit) -> None:
    visit.door.identity.add_group("Network", visit.clock.now)
    visit.sessions = visit.server(groups={"netops": "Network"})
    for said, there in (({"netops"}, {"Network"}), (set(), set())):
        visit.provider.says = Vouched(subject="248", groups=frozenset(said), refresh_token="r")
        assert visit.after(EARLY) == "alice"
        assert visit.door.groups() == there


def test_what_a_renewal_says_nothing_of_stays_as_it_is(visit: Visit) -> None:
    visit.door.identity.add_group("Network", visit.clock.now)
    visit.door.identity.set_member("Network", "alice", visit.clock.now, member=True)
    visit.sessions = visit.server(groups={"netops": "Network"})
    visit.provider.says = Vouched(subject="248", groups=None, refresh_token="r")
    assert visit.after(EARLY) == "alice"
    [identity] = visit.door.all(Identity)
    assert (identity.name, identity.mail, identity.seen) == ("Alice", "a@example.com", visit.clock.now)
    assert visit.door.groups() == {"Network"}


def test_of_many_requests_at_once_one_renews_it(visit: Visit) -> None:
    visit.clock.now += timedelta(hours=2)
    servers = [visit.sessions] * 5

    async def all_at_once() -> list[str]:
        visitors = await asyncio.gather(*(server.resume(visit.key) for server in servers))
        return [each.actor.username for each in visitors]

    assert asyncio.run(all_at_once()) == ["alice"] * 5
    assert visit.renewals() == 1


def test_while_another_server_renews_it_who_asks_here_waits_only_if_its_hour_is_over(visit: Visit) -> None:
    with visit.door.store.transaction() as tx:
        tx.change(visit.session, renewing=visit.clock.now + EARLY + TAKES)
    assert visit.after(EARLY) == "alice"
    with visit.door.store.transaction() as tx:
        [session] = tx.all(Session)
        tx.change(session, renewing=visit.clock.now + GOOD_FOR)
    assert visit.after(EARLY) == "Unavailable"
    assert visit.renewals() == 0
    assert visit.stored()[0].provider == ISSUER
