"""Every failure a user can meet.

TuningForkError                 500
├── InvalidInput                422   problems name the place and the fix
├── Malformed                   400
├── NotSignedIn                 401
├── Refused                     403
├── NotFound                    404
├── NotAllowed                  405
├── Conflict                    409
│   └── RulebookGone            409   an assessment whose rulebook cannot be read any more
├── Gone                        410
├── Outdated                    412
├── TooLarge                    413
├── WrongMediaType              415
├── RateLimited                 429
├── AssistantAway               503
├── Unavailable                 503
│   └── WorkerAway              503   nothing of the worker can be reached, not only what was asked for
└── BrokenRulebook              500   at start-up only; an upload is InvalidInput
"""

import errno

from pydantic import BaseModel, ConfigDict

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What the system says where a disk takes nothing more."""


class Problem(BaseModel):
    """One thing wrong with what was given: where it stands, what it is, and what to do about it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: str
    """A field (`recipe.learning_rate`), a question id (`D3`) or a line (`line 12`)."""
    what: str


class TuningForkError(Exception):
    """Something went wrong on our side."""

    status = 500

    def __init__(self, sentence: str | None = None, problems: tuple[Problem, ...] = ()) -> None:
        self.sentence = sentence or (type(self).__doc__ or "").strip()
        self.problems = problems
        super().__init__(self.sentence)

    @property
    def name(self) -> str:
        return type(self).__name__


class InvalidInput(TuningForkError):
    """Some of what was sent cannot be used."""

    status = 422


class Malformed(TuningForkError):
    """The request could not be read."""

    status = 400


class NotSignedIn(TuningForkError):
    """Sign in first: open the link that `tuning-fork login-link` prints, or send an API key."""

    status = 401


class Refused(TuningForkError):
    """This request came from another site and was refused."""

    status = 403


class NotFound(TuningForkError):
    """There is nothing here: it may have been deleted, or the address may be mistyped."""

    status = 404


class NotAllowed(TuningForkError):
    """This address does not take that kind of request."""

    status = 405


class Conflict(TuningForkError):
    """This cannot be done in the present state."""

    status = 409


class Gone(TuningForkError):
    """What was here has been taken away for good."""

    status = 410


class Outdated(TuningForkError):
    """This was changed since you read it."""

    status = 412

    def __init__(
        self,
        sentence: str | None = None,
        problems: tuple[Problem, ...] = (),
        *,
        present: object = None,
        etag: str = "",
    ) -> None:
        super().__init__(sentence, problems)
        self.present = present
        """What stands there now, as the API shows it."""
        self.etag = etag


class RulebookGone(Conflict):
    """The rulebook of this assessment cannot be read any more: upgrade it to go on."""

    def __init__(self, sentence: str | None = None, problems: tuple[Problem, ...] = (), at: str = "") -> None:
        super().__init__(sentence, problems)
        self.at = at
        """The page where it is upgraded."""


class TooLarge(TuningForkError):
    """This is larger than the limit."""

    status = 413


class WrongMediaType(TuningForkError):
    """This kind of content is not accepted here."""

    status = 415


class RateLimited(TuningForkError):
    """Too many requests: wait a little and try again."""

    status = 429


class AssistantAway(TuningForkError):
    """The assistant endpoint gave no answer that can be used. Try again, or go on without it."""

    status = 503


class Unavailable(TuningForkError):
    """The service cannot do this right now; try again in a moment."""

    status = 503


class WorkerAway(Unavailable):
    """The worker does not answer. Runs already on it go on; what you asked for can be tried again."""


class BrokenRulebook(TuningForkError):
    """The rulebook cannot be used."""


def _tree(error: type[TuningForkError]) -> dict[str, type[TuningForkError]]:
    return {error.__name__: error} | {
        name: cls for child in error.__subclasses__() for name, cls in _tree(child).items()
    }


BY_NAME = _tree(TuningForkError)
"""A worker's refusal crosses the wire as its class name and is raised again under the same class."""
