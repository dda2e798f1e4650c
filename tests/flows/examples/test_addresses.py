"""Addresses that are asked, and what becomes of those that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.examples.addresses import each_address, listed, reason, trusting


def test_an_address_stands_on_each_line_and_counts_once() -> None:
    assert listed("b:1\n\n  a:2 \nb:1\n") == ["b:1", "a:2"]


def test_one_that_has_no_answer_costs_no_other_one_its_answer() -> None:
    def ask(host: str, port: int) -> str:
        if host == "silent":
            raise OSError("nobody is there")
        return f"{host} at {port}"

    answers = dict(each_address(["a:1", "silent:2", "[::1]:3"], ask))
    assert [str(each) for each in answers.values()] == ["a at 1", "nobody is there", "::1 at 3"]


@pytest.mark.parametrize("line", ["nowhere", "a b:80", ":80", "host:", "host:0", "host:65536", "[::1:80", "::1:80"])
def test_what_is_no_address_is_told(line: str) -> None:
    [(address, answer)] = each_address([line], lambda _host, _port: pytest.fail("It was asked."))
    assert (address, str(answer)) == (line, "it is not host:port.")


def test_a_fault_of_the_code_is_none_of_an_address() -> None:
    with pytest.raises(KeyError):
        [*each_address(["a:1"], lambda host, _port: {}[host])]


def test_a_file_of_authorities_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"authorities\.pem"):
        trusting(str(tmp_path / "authorities.pem"))
    assert trusting("").verify_mode.name == "CERT_REQUIRED"


def test_of_a_certificate_the_reason_is_what_is_wrong_with_it() -> None:
    error = OSError("[SSL: …] certificate verify failed (_ssl.c:1006)")
    error.verify_message = "certificate has expired"  # type: ignore[attr-defined]  # as ssl has it
    assert (reason(error), reason(OSError("refused"))) == ("certificate has expired", "refused")
