"""Pages for people: one module per noun."""

from app.web.pages import (
    answers,
    assessments,
    compare,
    datasets,
    help,
    history,
    home,
    imports,
    landing,
    launch,
    login,
    proposals,
    quick,
    records,
    results,
    rulebooks,
    runs,
    settings,
    shares,
    upgrade,
    weights,
    whatif,
)

ROUTERS = [
    landing.router,
    login.router,
    home.router,
    imports.router,
    assessments.router,
    answers.router,
    proposals.router,
    quick.router,
    weights.router,
    results.router,
    records.router,
    shares.router,
    whatif.router,
    history.router,
    compare.router,
    upgrade.router,
    rulebooks.router,
    launch.router,
    runs.router,
    settings.router,
    help.router,
]

UPLOADS = datasets.router
"""Takes larger bodies than the others."""
