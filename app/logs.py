"""Log lines for operators: one JSON object a line, nothing that could steer a terminal, no secrets."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

LONGEST = 8192

SECRETS = re.compile(
    r"(?i)(bearer\s+)[^\s\"',]+"
    r"|((?:token|password|secret|cookie|authorization)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&;,]+"
    r"|(://[^\s/:@]*:)[^\s/@]+(?=@)"
    r"|\b(tf_[a-z0-9]{8}_|hf_|sk-)[A-Za-z0-9_-]{8,}"
)

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def redacted(text: str) -> str:
    return SECRETS.sub(lambda found: "".join(part or "" for part in found.groups()) + "[redacted]", text)


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": CONTROL.sub("\ufffd", redacted(message))[-LONGEST:],
        }
        line |= getattr(record, "facts", {})
        return json.dumps(line, ensure_ascii=True)


def configure(level: str, file: Path | None = None) -> None:
    lines = logging.FileHandler(file) if file else logging.StreamHandler(sys.stderr)
    lines.setFormatter(JsonLines())
    # What no line tells is not gathered either; a line is written for every request.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers = [lines]
    root.setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "alembic", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
