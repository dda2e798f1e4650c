"""Agents: accounts of programs that ask for a person, and for whom they ask.

* An account is made an agent's, and stays one. Only who administers the server's own machine makes them.
* An agent asks for one person, whom its requests name. It can request nothing without one who is there and active, and
  nothing that this person may not run; nor do its runs execute then.
* Unless a setting says otherwise, whatever an agent requests needs approval, whether its Job asks for that or not, and
  expires when nobody decides about it for a day. What was true when it was requested stays true of it.

The rules themselves are in ``approval_gate.policy`` and ``approval_gate.model``.
"""

from __future__ import annotations

from api_shim.domain.accounts import User
from api_shim.domain.model import AskingAgent
from api_shim.services.authentication import actor_of
from api_shim.settings import AgentsNeedApproval, Limits
from api_shim.store import Transaction
from approval_gate import policy
from approval_gate.model import Actor, Allowed, Attributes, ObjectType


def person_behind(tx: Transaction, agent: User) -> User | None:
    """Return the person for whom an agent asks; None if they have been removed or deactivated."""
    person = tx.get(User, id=agent.acts_for_id) if agent.acts_for_id is not None else None
    return person if person is not None and person.is_active and not person.is_agent else None


def check_person(tx: Transaction, actor: Actor, job: Attributes | None = None) -> User | None:
    """Return the person for whom an agent requests something; None for who asks for themselves.

    Args:
        tx: the transaction.
        actor: who requests it.
        job: the attributes of the Job that is requested; None to leave that unasked.

    Raises:
        Forbidden: the person has been removed or deactivated, or may not run the Job.
    """
    if not actor.agent:
        return None
    agent = tx.get(User, id=actor.id)
    person = person_behind(tx, agent) if agent is not None else None
    verdict = policy.requests_as_agent(person=actor_of(tx, person) if person is not None else None, job=job)
    policy.enforce(verdict, ObjectType.JOB)
    return person


def asks_for_nobody(tx: Transaction, owner: User, job: Attributes) -> bool:
    """Say whether an account is that of an agent whose person may not run a Job, or is not there any more.

    Args:
        tx: the transaction.
        owner: the account.
        job: the attributes of the Job.
    """
    if not owner.is_agent:
        return False
    person = person_behind(tx, owner)
    asks = policy.requests_as_agent(person=actor_of(tx, person) if person is not None else None, job=job)
    return asks != Allowed()


def asking_agent(person: User | None, limits: Limits) -> AskingAgent | None:
    """Return what is kept with a request of an agent; None for other requests.

    Args:
        person: the person for whom it asks; None where no agent does.
        limits: what holds for agents.
    """
    if person is None:
        return None
    return {
        "for_id": str(person.id),
        "for": person.username,
        "needs_approval": limits.agents_need_approval is AgentsNeedApproval.EVERYTHING,
        "expires_after": limits.agent_requests_expire * 3600,
    }
