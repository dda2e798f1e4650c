"""Who signs in where, as the environment says."""

from __future__ import annotations

import pytest

from api_shim.client.transport import Environment, PrefectEnvironment, find_token
from approval_gate.errors import Invalid

TOKEN = "0123456789abcdef0123"


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGNOFF_URL", "SIGNOFF_TOKEN", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)


def test_without_an_address_it_is_this_machine() -> None:
    assert Environment().url == "http://127.0.0.1:4200"


def test_a_token_that_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_TOKEN", f" {TOKEN}\n")
    assert find_token("given") == "given"
    assert find_token(None) == TOKEN


@pytest.mark.parametrize("token", ["", "two words", "line\nfeed" * 3, "schlüssel" * 3, "\udcff" * 20])
def test_what_is_no_token_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(Invalid) as refused:
        find_token(token)
    assert str(refused.value) == "The token is empty or has invalid characters."


def test_without_any_token_it_says_where_to_put_one() -> None:
    with pytest.raises(Invalid, match="set SIGNOFF_TOKEN"):
        find_token(None)


def test_secrets_are_part_of_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_TOKEN", TOKEN)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", TOKEN)
    assert TOKEN not in repr(Environment()) + repr(PrefectEnvironment())
