"""Agents: accounts of programs that ask for a person, and for whom they ask.

* An account is made an agent's, and stays one. Only who administers the server's own machine makes them.
* An agent asks for one person, whom its requests name. It can request nothing without one who is there and active, and
  nothing that this person may not run; nor do its runs execute then.
* Unless a setting says otherwise, whatever an agent requests needs approval, whether its Job asks for that or not, and
  expires when nobody decides about it for a day. A setting may name the Jobs of which that is true. What was true when
  it was requested stays true of it.

The rules themselves are in ``approval_gate.policy`` and ``approval_gate.model``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from api_shim.domain.accounts import User
from api_shim.domain.model import AskingAgent
from api_shim.services.authentication import actors_of
from api_shim.settings import AgentsNeedApproval, JobsMeant, Limits
from api_shim.store import Transaction
from api_shim.store.columns import path_types
from approval_gate import constraints, policy
from approval_gate.constraints import Constraint
from approval_gate.errors import Invalid
from approval_gate.model import Actor, Allowed, Attributes, ObjectType


def check_person(tx: Transaction, actor: Actor, job: Attributes | None = None) -> Actor | None:
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
    person = people_behind(tx, tx.all(User, id=actor.id)).get(actor.id)
    policy.enforce(policy.requests_as_agent(person=person, job=job), ObjectType.JOB)
    return person


def people_behind(tx: Transaction, users: Iterable[User]) -> Mapping[UUID, Actor | None]:
    """Return the person for whom each agent among some accounts asks, by its id; None for who is not there any more."""
    agents = [user for user in users if user.is_agent]
    named = {agent.acts_for_id for agent in agents if agent.acts_for_id is not None}
    people = tx.all(User, id=named, is_active=True, is_agent=False) if named else []
    actors = {person.id: actor for person, actor in zip(people, actors_of(tx, people), strict=True)}
    return {agent.id: actors.get(agent.acts_for_id) if agent.acts_for_id else None for agent in agents}


def asks_for_nobody(owner: User, people: Mapping[UUID, Actor | None], job: Attributes) -> bool:
    """Say whether an account is that of an agent whose person may not run a Job, or is not there any more.

    Args:
        owner: the account.
        people: for whom agents ask (``people_behind``).
        job: the attributes of the Job.
    """
    return owner.is_agent and policy.requests_as_agent(person=people.get(owner.id), job=job) != Allowed()


def asking_agent(person: Actor | None, limits: Limits, job: Attributes) -> AskingAgent | None:
    """Return what is kept with a request of an agent; None for other requests.

    Args:
        person: the person for whom it asks; None where no agent does.
        limits: what holds for agents.
        job: the attributes of the Job that is requested.
    """
    if person is None:
        return None
    return {
        "for_id": str(person.id),
        "for": person.username,
        "needs_approval": _needs_approval(limits.agents_need_approval, job, person),
        "expires_after": limits.agent_requests_expire * 3600,
    }


def _needs_approval(what: AgentsNeedApproval | JobsMeant, job: Attributes, person: Actor) -> bool:
    if isinstance(what, AgentsNeedApproval):
        return what is AgentsNeedApproval.EVERYTHING
    return jobs_meant(what).matches(job, user=person.id)


def jobs_meant(told: JobsMeant) -> Constraint:
    """Return which Jobs a setting is about.

    Raises:
        Invalid: it asks of Jobs what they do not have.
    """
    return constraints.parse(told, path_types([ObjectType.JOB]))


def check_settings(limits: Limits) -> None:
    """See that the settings about agents name Jobs by what they have.

    Raises:
        Invalid: one does not; the message says which, and what is accepted.
    """
    for setting in ("agents_need_approval", "mcp_job_tools"):
        told = getattr(limits, setting)
        if isinstance(told, dict | list):
            try:
                jobs_meant(told)
            except Invalid as error:
                raise Invalid(f"SIGNOFF_{setting.upper()}: {error}") from None
