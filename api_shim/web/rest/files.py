"""``/api/extras/file-proxies``: the files that runs have made.

* Which files a job result has, it says itself.

Contract 7.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api_shim import schemas
from api_shim.parsing.fields import read_id
from api_shim.web.deps import Caller, Ref, Use
from api_shim.web.rest.openapi import a_file, answers
from api_shim.web.rest.protocol import respond, respond_file
from api_shim.web.rest.serializers import serializer

router = APIRouter(prefix="/api/extras/file-proxies", tags=["job-results"])


@router.get("/{ref}", **answers(schemas.FileProxy))
async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show what is known of a file that a run has made."""
    file = await use.result_files.one(actor, read_id(ref))
    return respond(request, (await serializer(request, use)).file(file))


@router.get("/{ref}/download", **a_file())
async def content(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Download a file that a run has made."""
    file, found = await use.result_files.download(actor, read_id(ref))
    return respond_file(request, file.name, found)
