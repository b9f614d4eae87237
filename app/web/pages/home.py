"""Pages about: home."""

from fastapi import APIRouter

router = APIRouter()
