"""Where engines send their metrics beside the run's own files."""

from app.protocol import TrackingTarget
from app.settings import WorkerSettings


def tracking_of(settings: WorkerSettings) -> TrackingTarget:
    return TrackingTarget(to=list(settings.tracking), url=settings.tracking_url)
