"""A file that a browser saves under its name, whatever that has, and never shows."""

from __future__ import annotations

import pytest

from api_shim.web.downloads import disposition, download

NAMES = {
    "report.csv": 'attachment; filename="report.csv"',
    "März.csv": "attachment; filename=\"M_rz.csv\"; filename*=UTF-8''M%C3%A4rz.csv",
    'a";b=c.txt': "attachment; filename=\"a__b=c.txt\"; filename*=UTF-8''a%22%3Bb%3Dc.txt",
    "100%.txt": "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt",
    "a\r\nSet-Cookie: x": "attachment; filename=\"a__Set-Cookie_ x\"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x",
}


@pytest.mark.parametrize(("name", "header"), NAMES.items(), ids=ascii)
def test_every_name_is_plain_or_encoded(name: str, header: str) -> None:
    assert disposition(name) == header


def test_a_page_that_somebody_has_written_is_bytes() -> None:
    answer = download("page.html", b"<script>alert(1)</script>")
    assert answer.body == b"<script>alert(1)</script>"
    assert dict(answer.headers) == {
        "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        "content-disposition": 'attachment; filename="page.html"',
        "content-type": "application/octet-stream",
        "content-length": "25",
    }
