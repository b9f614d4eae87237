"""Pages about: datasets."""

from fastapi import APIRouter

router = APIRouter()
