"""Pages about: launch."""

from fastapi import APIRouter

router = APIRouter()
