"""Reads request bodies.

* A body is JSON or a form, within limits of size and nesting depth.
* A form may have files where the route takes some. They stay in memory: none is written to a disk in clear.
* A body that cannot be read is refused with a sentence, never with a traceback.

Contract 2, 4 and 9.9.
"""

from __future__ import annotations

import json
import math
import re
import sys
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from fastapi import Request
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from api_shim.settings import LIMITS, Limits
from approval_gate.errors import GateError, Invalid, TooLarge
from flows.files import GivenFile

DEEPEST = 200
"""Maximum nesting depth of a body; far below Python's recursion limit."""
MULTIPART = "multipart/form-data"
FORMS = (MULTIPART, "application/x-www-form-urlencoded")
MOST_FIELDS, MOST_FILES = 1000, 20
"""How many fields a form may have, and how many files."""
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
TOO_DEEP = {"detail": "JSON parse error - nested too deeply"}


class UnsupportedMediaType(GateError):
    """The media type of the body is not supported."""


async def read_body(request: Request, *, with_files: bool = False) -> Any:
    """Return the decoded body: any JSON value, or the fields of a form; ``{}`` if there is none.

    Args:
        request: the request.
        with_files: whether a form may have files, each of which is a ``GivenFile``.

    Raises:
        Invalid: the body cannot be decoded.
        TooLarge: the body is larger than it may be here.
        UnsupportedMediaType: the body is neither JSON nor a form.
    """
    if is_form(request):
        return _fields_of(await read_form(request, with_files=with_files))
    content = await read_bytes(request, limits_of(request).body_bytes)
    if not content:
        return {}
    kind = _media_type(request)
    if kind not in {"application/json", ""}:
        raise UnsupportedMediaType(f'Unsupported media type "{kind[:100]}" in request.')
    return parse_json(content)


def limits_of(request: Request) -> Limits:
    """Return how much a request may ask of this server, as the gateway has it."""
    limits: Limits = getattr(request.state, "limits", LIMITS)
    return limits


def is_form(request: Request) -> bool:
    """Say whether the body is a form."""
    return _media_type(request) in FORMS


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_bytes(request: Request, largest: int) -> bytes:
    """Return the body as it was sent.

    Args:
        request: the request.
        largest: the maximum size of the body, in bytes.

    Raises:
        TooLarge: the body is larger than the maximum.
    """
    content = bytearray()
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > largest:
                raise TooLarge(f"The request body is larger than {largest} bytes.")
    except ClientDisconnect as error:
        # Nobody hears this answer; it keeps a request that was not sent to its end from being a fault of ours.
        raise Invalid("The client hung up before the end of its request.") from error
    return bytes(content)


async def read_form(request: Request, largest: int | None = None, *, with_files: bool = False) -> FormData:
    """Return the fields of a form; none if the body is not a form.

    Args:
        request: the request.
        largest: the maximum size of the body, in bytes; None for that of every request.
        with_files: whether it may have files besides; each is a ``GivenFile``, and all of them together have at most
            as many bytes as a file may have.

    Raises:
        Invalid: the form cannot be decoded, or has a file where it may have none.
        TooLarge: the body, or what it has of files, is larger than the maximum.
    """
    limits = limits_of(request)
    largest = (largest or limits.body_bytes) + (limits.file_bytes if with_files else 0)
    form = await _parsed(request, await read_bytes(request, largest), MOST_FILES if with_files else 0)
    return await _with_files(form, limits.file_bytes) if with_files else form


async def _parsed(request: Request, content: bytes, files: int) -> FormData:
    request._body = content  # the form parser reads the body again, after its size has been checked
    request._stream_consumed = False
    try:
        if _media_type(request) == MULTIPART:
            limits = {"max_files": files, "max_fields": MOST_FIELDS, "max_part_size": len(content)}
            async with aclosing(request.stream()) as stream:
                return await _InMemory(request.headers, stream, **limits).parse()
        return await request.form(max_files=files, max_fields=MOST_FIELDS, max_part_size=len(content))
    except (MultiPartException, HTTPException, ValueError) as error:
        raise Invalid({"detail": "Multipart form parse error - the form cannot be read."}) from error


class _InMemory(MultiPartParser):
    """Reads a form whose size has been checked, without a temporary file."""

    spool_max_size = sys.maxsize


async def _with_files(form: FormData, largest: int) -> FormData:
    """Return a form with what a run can be given in place of files. A file that nobody has chosen is not there."""
    fields: list[tuple[str, Any]] = []
    size = 0
    for name, value in form.multi_items():
        if isinstance(value, str):
            fields.append((name, value))
            continue
        content = await value.read()
        size += len(content)
        if value.filename or content:
            # Some clients send the path that the file has with them.
            fields.append((name, GivenFile.sent(uuid4(), re.split(r"[\\/]", value.filename or "")[-1], content)))
    await form.close()
    if size > largest:
        raise TooLarge(f"The files have {size} bytes together, of at most {largest} (SIGNOFF_FILE_BYTES).")
    return FormData(fields)


def _fields_of(form: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in form:
        values = form.getlist(name)
        fields[name] = values[0] if len(values) == 1 else values
    return fields


def parse_json(content: bytes) -> Any:
    """Decode JSON strictly: no NaN or infinity, no lone surrogates, and limits for depth and size of numbers.

    Raises:
        Invalid: the content is not valid JSON, with the sentence of the contract.
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
    """Return the nesting depth, counted level by level: recursion could itself go too deep."""
    depth, level = 0, [value]
    while level := [thing for thing in level if isinstance(thing, dict | list)]:
        depth += 1
        level = [inner for thing in level for inner in (thing.values() if isinstance(thing, dict) else thing)]
    return depth
