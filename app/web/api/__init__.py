"""The REST API: the same nouns as the pages, in the same order."""

from app.web.api import (
    assessments,
    compare,
    confirmations,
    datasets,
    estimates,
    first_batch,
    graders,
    health,
    imports,
    milestones,
    pilots,
    playground,
    preflights,
    probes,
    proposals,
    questionnaire,
    recommendations,
    rulebooks,
    runs,
    shares,
    uploads,
    whatif,
    worker,
)

ROUTERS = [
    questionnaire.router,
    estimates.router,
    imports.router,
    assessments.router,
    proposals.router,
    milestones.router,
    shares.router,
    compare.router,
    confirmations.router,
    whatif.router,
    rulebooks.router,
    graders.router,
    uploads.router,
    runs.router,
    probes.router,
    pilots.router,
    playground.router,
    preflights.router,
    first_batch.router,
    worker.router,
]

advise, ADVICE = recommendations.advise, recommendations.DOCUMENTATION
"""Apart from the others: see main."""

UPLOADS = datasets.router
"""Takes larger bodies than the others."""

HEALTH = health.router
"""Outside the API's prefix, where load balancers look."""
