"""Pages about: help."""

from fastapi import APIRouter

router = APIRouter()
