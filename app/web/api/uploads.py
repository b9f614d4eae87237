"""Uploads that a lost connection does not undo: tus 1.0, the core protocol with creation and termination."""

import base64
import binascii
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response

from app.errors import InvalidInput, Malformed, Outdated, Problem, WrongMediaType
from app.settings import WebSettings
from app.web import uploads
from app.web.deps import SettingsDep
from app.web.uploads import Upload

VERSION = "1.0.0"
PART = "application/offset+octet-stream"

router = APIRouter(tags=["uploads"], prefix="/uploads")


def speaks_tus(tus_resumable: Annotated[str, Header()] = VERSION) -> None:
    if tus_resumable != VERSION:
        raise Outdated(f"This service speaks tus {VERSION}; send `Tus-Resumable: {VERSION}`.")


def upload(upload_id: UUID, settings: SettingsDep) -> Upload:
    return uploads.find(settings, upload_id)


UploadDep = Annotated[Upload, Depends(upload)]
Tus = Depends(speaks_tus)


@router.options("", status_code=204, summary="What this service knows of tus")
def capabilities(response: Response, settings: SettingsDep) -> None:
    response.headers.update(_told(settings))


@router.post("", status_code=201, summary="Begin an upload", dependencies=[Tus])
def begin(
    response: Response,
    settings: SettingsDep,
    upload_length: Annotated[int | None, Header(ge=0, le=2**62)] = None,
    upload_metadata: Annotated[str, Header(max_length=4000)] = "",
) -> None:
    """`Upload-Length` in bytes; of `Upload-Metadata` the `filename` is kept. `Location`: where it goes on."""
    if upload_length is None:
        what = "say how many bytes will come; uploads of unknown length are not taken"
        raise InvalidInput("The upload cannot begin.", (Problem(where="Upload-Length", what=what),))
    begun = uploads.begin(settings, upload_length, _filename(upload_metadata))
    response.headers.update(_told(settings))
    response.headers["Location"] = f"/api/v1/uploads/{begun.id}"


@router.head("/{upload_id}", summary="How far an upload is", dependencies=[Tus])
def stand(response: Response, upload: UploadDep) -> None:
    response.headers.update(_standing(upload.offset) | {"Upload-Length": str(upload.words.length)})


@router.patch("/{upload_id}", status_code=204, summary="Go on with an upload", dependencies=[Tus])
async def go_on(
    request: Request,
    response: Response,
    upload: UploadDep,
    upload_offset: Annotated[int, Header(ge=0, le=2**62)],
) -> None:
    """The body is what follows `Upload-Offset`. What arrives before the connection breaks is kept."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != PART:
        raise WrongMediaType(f"Send the bytes with `Content-Type: {PART}`.")
    response.headers.update(_standing(await uploads.go_on(upload, upload_offset, request.stream())))


@router.delete("/{upload_id}", status_code=204, summary="Give up an upload", dependencies=[Tus])
def give_up(response: Response, upload: UploadDep) -> None:
    uploads.remove(upload)
    response.headers["Tus-Resumable"] = VERSION


def _told(settings: WebSettings) -> dict[str, str]:
    return {
        "Tus-Resumable": VERSION,
        "Tus-Version": VERSION,
        "Tus-Extension": "creation,termination",
        "Tus-Max-Size": str(settings.max_upload_bytes),
    }


def _standing(offset: int) -> dict[str, str]:
    return {"Tus-Resumable": VERSION, "Upload-Offset": str(offset), "Cache-Control": "no-store"}


def _filename(metadata: str) -> str:
    """`Upload-Metadata` is `key base64, key base64`."""
    for pair in metadata.split(","):
        key, _, value = pair.strip().partition(" ")
        if key == "filename":
            try:
                return base64.b64decode(value, validate=True).decode()[:1000]
            except (binascii.Error, UnicodeDecodeError):
                raise Malformed("The filename in Upload-Metadata is not base64 of UTF-8.") from None
    return ""
