"""Answers with a file that somebody has made, which a browser saves and never shows.

* Whatever it has, it is bytes: nobody guesses that it is a page, and if it is shown all the same, it is nobody's page.
* It is saved under its name, of which every part is plain or encoded (RFC 6266 and RFC 8187).
* Who may have it may have changed by the next time, so nobody keeps the answer.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from starlette.responses import Response

HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
BYTES = "application/octet-stream"
NOT_PLAIN = re.compile(r"[^A-Za-z0-9._+=@~() -]")


def download(name: str, content: bytes) -> Response:
    """Return the answer with a file.

    Args:
        name: what it is called.
        content: what it has.
    """
    return Response(content, media_type=BYTES, headers={**HEADERS, "Content-Disposition": disposition(name)})


def saved(name: str, text: str, media_type: str) -> Response:
    """Return the answer with a text that we have written, to be saved.

    Args:
        name: what the file is called.
        text: what it has.
        media_type: its kind, with its encoding.
    """
    # Lone surrogates cannot be encoded.
    content = text.encode("utf-8", "replace")
    return Response(content, media_type=media_type, headers={"Content-Disposition": disposition(name)})


def disposition(name: str) -> str:
    """Return the header by which a browser saves a file under its name."""
    plain = NOT_PLAIN.sub("_", name)
    encoded = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{encoded}'
