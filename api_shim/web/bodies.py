"""Reads the bodies of requests, whoever sent them.

* They are JSON or forms, of a size and depth that can be handled anywhere.
* What cannot be read is refused with a sentence, never with a traceback.

Contract 2, 4 and 9.9.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from approval_gate.errors import GateError, Invalid, TooLarge

MAX_BODY = 5_000_000
DEEPEST = 200
"""Levels of lists and objects within a body: Python can walk through that many anywhere."""
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
TOO_DEEP = {"detail": "JSON parse error - nested too deeply"}


class UnsupportedMediaType(GateError):
    """A body of a kind that we do not read."""


async def read_body(request: Request) -> Any:
    """Return the decoded body: any JSON value, or the fields of a form; ``{}`` if there is none.

    Raises:
        Invalid: it cannot be decoded.
        TooLarge: it is larger than 5 MB.
        UnsupportedMediaType: it is neither JSON nor a form.
    """
    content = await _received(request)
    if is_form(request):
        return await _form(request, content)
    if not content:
        return {}
    kind = _media_type(request)
    if kind not in {"application/json", ""}:
        raise UnsupportedMediaType(f'Unsupported media type "{kind[:100]}" in request.')
    return parse_json(content)


def is_form(request: Request) -> bool:
    """Say whether the body is a form."""
    return _media_type(request) in FORMS


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _received(request: Request, largest: int = MAX_BODY) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > largest:
            raise TooLarge(f"The request body is larger than {largest} bytes.")
    return bytes(content)


async def read_form(request: Request, largest: int = MAX_BODY) -> FormData:
    """Return the fields of a form; none if the body is no form.

    Args:
        request: the request.
        largest: bytes of the body at most.

    Raises:
        Invalid: it cannot be decoded, or has a file.
        TooLarge: it is larger.
    """
    return await _parsed(request, await _received(request, largest))


async def _parsed(request: Request, content: bytes) -> FormData:
    request._body = content  # the form parser reads the body again, which has been counted by now
    request._stream_consumed = False
    try:
        return await request.form(max_files=0, max_fields=1000, max_part_size=MAX_BODY)
    except (MultiPartException, HTTPException, ValueError) as error:
        raise Invalid({"detail": "Multipart form parse error - the form cannot be read."}) from error


async def _form(request: Request, content: bytes) -> dict[str, Any]:
    form = await _parsed(request, content)
    fields: dict[str, Any] = {}
    for name in form:
        values = form.getlist(name)
        fields[name] = values[0] if len(values) == 1 else values
    return fields


def parse_json(content: bytes) -> Any:
    """Decode JSON, strictly: no NaN or infinity, no lone surrogates, no depth or number that Python cannot take.

    Raises:
        Invalid: in the contract's words.
    """
    try:
        text = content.decode("utf-8")
        value = json.loads(text, parse_constant=_finite, parse_float=_finite)
        if SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise Invalid(TOO_DEEP) from error
    except ValueError as error:
        raise Invalid({"detail": f"JSON parse error - {str(error)[:200]}"}) from error
    if _depth(value) > DEEPEST:
        raise Invalid(TOO_DEEP)
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"Out of range float values are not JSON compliant: {text[:20]}")
    return number


def _depth(value: Any) -> int:
    """Count the levels of lists and objects, level by level, for a walk inwards could itself go too deep."""
    depth, level = 0, [value]
    while level := [thing for thing in level if isinstance(thing, dict | list)]:
        depth += 1
        level = [inner for thing in level for inner in (thing.values() if isinstance(thing, dict) else thing)]
    return depth
