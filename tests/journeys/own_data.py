"""Data nobody made for the product: the standard library's documentation strings, and sums."""

import importlib
import inspect
import json
from collections.abc import Iterator
from random import Random

MODULES = [
    "argparse",
    "ast",
    "asyncio",
    "base64",
    "bisect",
    "calendar",
    "collections",
    "colorsys",
    "configparser",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "email.message",
    "enum",
    "fnmatch",
    "fractions",
    "functools",
    "glob",
    "gzip",
    "hashlib",
    "heapq",
    "html",
    "http.client",
    "inspect",
    "io",
    "ipaddress",
    "itertools",
    "json",
    "logging",
    "math",
    "mimetypes",
    "operator",
    "os",
    "os.path",
    "pathlib",
    "pickle",
    "platform",
    "pprint",
    "queue",
    "random",
    "re",
    "sched",
    "secrets",
    "shlex",
    "shutil",
    "socket",
    "sqlite3",
    "statistics",
    "string",
    "struct",
    "subprocess",
    "tarfile",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "tokenize",
    "traceback",
    "types",
    "unicodedata",
    "unittest.mock",
    "urllib.parse",
    "uuid",
    "weakref",
    "xml.dom.minidom",
    "zipfile",
]


def documented() -> Iterator[tuple[str, str]]:
    """Name and summary line of every public function, class and method."""
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute, found in inspect.getmembers(module, callable):
            yield from _summary(f"{name}.{attribute}", attribute, found)
            if inspect.isclass(found):
                for method, inner in inspect.getmembers(found, callable):
                    yield from _summary(f"{name}.{attribute}.{method}", method, inner)


def _summary(full: str, name: str, found: object) -> Iterator[tuple[str, str]]:
    text = inspect.getdoc(found) or ""
    first = text.split("\n\n")[0].replace("\n", " ").strip()
    if not name.startswith("_") and 10 <= len(first) <= 90 and first.isascii():
        yield full, first


def docstring_lines(most: int) -> list[str]:
    """JSON lines of demonstrations: asked to describe a function, the answer is its summary line."""
    found = sorted(dict(documented()).items())
    Random(3).shuffle(found)
    return [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": f"Describe {name}"},
                    {"role": "assistant", "content": summary},
                ]
            }
        )
        for name, summary in found[:most]
    ]


def sum_lines(count: int) -> list[str]:
    """JSON lines of prompts: small sums with their total."""
    random = Random(5)
    pairs = [(random.randrange(10), random.randrange(10)) for _ in range(count)]
    return [
        json.dumps({"messages": [{"role": "user", "content": f"{a}+{b}= (case {n})"}], "total": a + b})
        for n, (a, b) in enumerate(pairs)
    ]


GRADES_SUMS = '''import re

def grade(sample, item):
    """Full marks for the total, some for any number at all: so there is something to learn from."""
    said = re.findall(r"\\d+", sample["output_text"])
    if said and int(said[-1]) == item["total"]:
        return 1.0
    return 0.3 if said else 0.0
'''
