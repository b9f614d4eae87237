"""Help: the way through the product, its words, and how the advice is made, printed from the rulebook."""

from fastapi import APIRouter, Request, Response

from app.web.advice_shown import share, worked
from app.web.assessing import asked
from app.web.deps import RulebookDep, render
from app.web.method_shown import GROUPS, acting, in_words, labels, largest_share, value_in_words

router = APIRouter()

WORDS = (
    ("SFT", "Supervised fine-tuning. The model is shown inputs with ideal answers and learns to write them."),
    (
        "GRPO",
        "Group Relative Policy Optimization. The model answers each prompt several times, a grader scores "
        "every answer, and those better than their group become likelier.",
    ),
    ("Assessment", "One project’s answers, its weights and the recommendations made from them."),
    ("Lean", "One number from −1 (all SFT) to +1 (all GRPO): what the answers add up to."),
    ("Gate", "A condition that rules a method out, or asks for something else first, whatever the lean."),
    (
        "Grader",
        "What scores one answer: a comparison, a pattern, a schema. "
        "GRPO learns from it; both methods are measured by it.",
    ),
    ("Demonstration", "An input with an ideal answer. SFT learns from these."),
    (
        "Held-out items",
        "Rows kept apart from training, graded before and after, so that progress is measured fairly.",
    ),
    (
        "Warm start",
        "A short SFT before GRPO, so that the model already knows the form and sometimes succeeds.",
    ),
    (
        "Starter model",
        "A very small model that Tuning Fork trains itself: a stand-in for yours, "
        "to try everything with no download.",
    ),
    ("Worker", "The program that trains. If it is away, runs already on it go on."),
    (
        "Milestone",
        "A recommendation frozen with its answers, weights and rulebook. Later changes never move it.",
    ),
)


@router.get("/help")
def help_page(request: Request, rulebook: RulebookDep) -> Response:
    return render(request, "help.html", words=WORDS, total=len(asked(rulebook)))


@router.get("/help/method")
def method(request: Request, rulebook: RulebookDep) -> Response:
    example, known = next(iter(worked(rulebook)), None), labels(rulebook)
    claims = [(claim, acting(claim, rulebook)) for claim in rulebook.claims]
    return render(
        request,
        "help_method.html",
        rulebook=rulebook,
        factors=rulebook.factors,
        gates=rulebook.gates,
        sources=rulebook.evidence,
        decision=rulebook.decision,
        bands=rulebook.decision.bands,
        tie=rulebook.decision.tie,
        lines=[each for each in claims if each[0].id.startswith("R")],
        claims=[each for each in claims if not each[0].id.startswith("R")],
        monitors=rulebook.monitors,
        defaults=[(GROUPS.get(name, name), rules) for name, rules in rulebook.plan.settings.items()],
        worked=example,
        largest=largest_share(example.recommendation, rulebook) if example else None,
        total=len(asked(rulebook)),
        given=lambda when: in_words(when, known),
        shown=value_in_words,
        share=share,
    )


@router.get("/help/api")
def api(request: Request) -> Response:
    groups: dict[str, list[dict[str, str]]] = {}
    for path, verbs in request.app.openapi()["paths"].items():
        for verb, call in verbs.items():
            said = {"verb": verb.upper(), "path": path, "summary": call.get("summary", "")}
            groups.setdefault(" ".join(call.get("tags", ("other",))).capitalize(), []).append(said)
    return render(
        request, "help_api.html", groups=list(groups.items()), address=str(request.base_url).rstrip("/")
    )
