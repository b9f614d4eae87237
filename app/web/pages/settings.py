"""Pages about: settings."""

from fastapi import APIRouter

router = APIRouter()
