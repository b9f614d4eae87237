"""What a program beside the engines says is taken line by line, and what is no message is left out."""

import os
import subprocess
import sys

from pydantic import TypeAdapter

from app.protocol import Finished, PlaygroundLine, Waiting
from app.worker.children import Child

CHATTY = """
import sys
print(sys.stdin.readline().strip())
print('{"level": "warning", "what": "a library writes JSON too"}')
print("no JSON", 12, "[]", sep="\\n")
print('{"kind": "waiting"')
print('{"kind": "finished"}')
"""


def test_only_messages_are_heard(tmp_path):
    (tmp_path / "chatty.py").write_text(CHATTY)
    child = Child("chatty", tmp_path, {**os.environ, "PYTHONPATH": str(tmp_path)})
    try:
        waiting = Waiting(sentence="Still at it.")
        assert child.tell(waiting.model_dump_json())
        kind: TypeAdapter[PlaygroundLine] = TypeAdapter(PlaygroundLine)
        assert list(child.lines(kind)) == [waiting, Finished()]
        assert not child.is_running
    finally:
        child.close()


def test_a_worker_starts_without_what_few_requests_need():
    """Half a second of imports that a first profile or an agreement with experts pays for."""
    code = (
        "import sys; sys.modules['scipy'] = sys.modules['datasketch'] = sys.modules['torch'] = None\n"
        "import app.worker.main"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
