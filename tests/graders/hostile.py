"""Programs that try to break out of a sandbox. One wins by scoring 1, or by saying what it must not know.

`$FILE` is a file that everybody may read and that holds the secret, `$SOURCE` one of the service's own,
`$PID` the process that grades.
"""

GRADERS = {
    # files
    "reads a file": "def grade(s, i):\n    raise ValueError(open('$FILE').read())",
    "reads a file through pathlib": (
        "from pathlib import Path\ndef grade(s, i):\n    raise ValueError(Path('$FILE').read_text())"
    ),
    "reads a file through os": (
        "import os\ndef grade(s, i):\n    raise ValueError(os.read(os.open('$FILE', os.O_RDONLY), 1000))"
    ),
    "reads a file through C": """
import ctypes
def grade(s, i):
    libc = ctypes.CDLL(None)
    fd = libc.open(b'$FILE', 0)
    held = ctypes.create_string_buffer(1000)
    libc.read(fd, held, 1000)
    raise ValueError(held.value)
""",
    "reads the service's own source": "def grade(s, i):\n    raise ValueError(open('$SOURCE').read())",
    "reads the accounts": "def grade(s, i):\n    return float('root' in open('/etc/passwd').read())",
    "writes a file": (
        "def grade(s, i):\n    open('/tmp/tuning-fork-was-here', 'w').write('x')\n    return 1.0"
    ),
    "lists a directory": "import os\ndef grade(s, i):\n    return float(len(os.listdir('/etc')) > 0)",
    "imports the service": (
        "import sys\nsys.path.insert(0, '$ROOT')\nimport app.settings\ndef grade(s, i):\n    return 1.0"
    ),
    # environment and other processes
    "reads its environment": (
        "import os\ndef grade(s, i):\n    raise ValueError(dict(os.environ), os.getenv('TUNING_FORK_SECRET'))"
    ),
    "reads its first environment from memory": """
import ctypes
def grade(s, i):
    environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), 'environ')
    found, place = [], 0
    while environ[place]:
        found.append(environ[place])
        place += 1
    raise ValueError(found)
""",
    "reads its own environment from proc": (
        "def grade(s, i):\n    raise ValueError(open('/proc/self/environ').read())"
    ),
    "reads the parent's environment": (
        "def grade(s, i):\n    raise ValueError(open('/proc/$PID/environ', 'rb').read())"
    ),
    "reads the parent's memory": """
import ctypes
def grade(s, i):
    held = ctypes.create_string_buffer(64)
    local = (ctypes.c_void_p * 2)(ctypes.addressof(held), 64)
    remote = (ctypes.c_void_p * 2)(id(held), 64)
    libc = ctypes.CDLL(None, use_errno=True)
    count = libc.process_vm_readv($PID, local, 1, remote, 1, 0)
    return float(count > 0 or ctypes.get_errno() == 14)
""",
    "kills the parent": "import os\ndef grade(s, i):\n    os.kill($PID, 9)\n    return 1.0",
    "kills its own parent": "import os\ndef grade(s, i):\n    os.kill(os.getppid(), 9)\n    return 1.0",
    "kills its whole group": "import os\ndef grade(s, i):\n    os.killpg(0, 9)\n    return 1.0",
    "traces the parent": (
        "import ctypes\ndef grade(s, i):\n    return float(ctypes.CDLL(None).ptrace(16, $PID, 0, 0) == 0)"
    ),
    "raises its limits": (
        "import resource\ndef grade(s, i):\n"
        "    resource.setrlimit(resource.RLIMIT_CPU, (9, 9))\n    return 1.0"
    ),
    "becomes root again": "import os\ndef grade(s, i):\n    os.setuid(0)\n    return 1.0",
    # network and kernel
    "opens a connection": """
import socket
def grade(s, i):
    try:
        socket.create_connection(('127.0.0.1', 1))
    except ConnectionRefusedError:
        pass
    return 1.0
""",
    "opens a socket": "import socket\ndef grade(s, i):\n    socket.socket()\n    return 1.0",
    "forks": "import os\ndef grade(s, i):\n    if os.fork() == 0:\n        os._exit(0)\n    return 1.0",
    "runs a command": (
        "import subprocess\ndef grade(s, i):\n    subprocess.run(['/bin/true'], check=True)\n    return 1.0"
    ),
    "becomes another program": (
        "import os\ndef grade(s, i):\n    os.execv('/bin/sh', ['sh', '-c', 'cat $FILE'])"
    ),
    "starts a thread": (
        "import threading\ndef grade(s, i):\n    threading.Thread(target=print).start()\n    return 1.0"
    ),
    "makes a file in memory": "import os\ndef grade(s, i):\n    os.memfd_create('x')\n    return 1.0",
    "sets up io_uring": (
        "import ctypes\ndef grade(s, i):\n    held = ctypes.create_string_buffer(1000)\n"
        "    return float(ctypes.CDLL(None).syscall(425, 4, held) >= 0)"
    ),
    "makes a user namespace": (
        "import ctypes\ndef grade(s, i):\n    return float(ctypes.CDLL(None).unshare(0x10000000) == 0)"
    ),
    "stops its timers": """
import signal
def grade(s, i):
    signal.signal(signal.SIGPROF, signal.SIG_IGN)
    return 1.0
""",
    # time and size
    "loops": "def grade(s, i):\n    while True:\n        pass",
    "loops while it is loaded": "while True:\n    pass",
    "catches everything and goes on": (
        "def grade(s, i):\n    while True:\n        try:\n            while True:\n                pass\n"
        "        except BaseException:\n            pass"
    ),
    "sleeps": "import time\ndef grade(s, i):\n    while True:\n        time.sleep(1000)",
    "multiplies without end": "def grade(s, i):\n    return float(len(str(9 ** 9 ** 8)) > 0)",
    "makes a huge text": "def grade(s, i):\n    return float(len('x' * 10_000_000_000) > 0)",
    "makes a huge list": "def grade(s, i):\n    return float(len([0] * 10_000_000_000) > 0)",
    "grows without end": "def grade(s, i):\n    a = []\n    while True:\n        a.append('x' * 100_000)",
    "joins a bomb": "def grade(s, i):\n    return float(len(','.join(['x' * 1_000_000] * 100_000)) > 0)",
    "recurses": "def grade(s, i):\n    return grade(s, i)",
    "recurses beyond its limit": (
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef grade(s, i):\n    return grade(s, i) + 1"
    ),
    "matches without end": (
        "import re\ndef grade(s, i):\n    return float(re.match(r'(a+)+$', 'a' * 60 + '!') is not None)"
    ),
    "floods its output": "def grade(s, i):\n    while True:\n        print('x' * 100_000)",
    "crashes its interpreter": "import ctypes\ndef grade(s, i):\n    ctypes.string_at(0)",
    "aborts": "import os\ndef grade(s, i):\n    os.abort()",
    "floods the channel": (
        "import os\ndef grade(s, i):\n    while True:\n        os.write(3, b'x' * 100_000)"
    ),
    "claims a huge message": "import os\ndef grade(s, i):\n    os.write(3, b'\\xff' * 8)\n    os._exit(0)",
    "returns a huge text": "def grade(s, i):\n    return 'x' * 5_000_000",
    "returns something endless": "def grade(s, i):\n    a = []\n    a.append(a)\n    return a",
    # leaving and forging
    "exits": "import sys\ndef grade(s, i):\n    sys.exit(0)",
    "exits at once": "import os\ndef grade(s, i):\n    os._exit(0)",
    "exits while it is loaded": "import sys\nsys.exit(0)",
    "writes its verdict and leaves": """
import json, os
def grade(s, i):
    body = json.dumps({"value": 1.0}).encode()
    for fd in range(16):
        try:
            os.write(fd, len(body).to_bytes(4, "big") + body)
        except OSError:
            pass
    os._exit(0)
""",
    "writes verdicts before it is asked": """
import json, os
body = json.dumps({"token": "0" * 32, "value": 1.0}).encode()
for _ in range(64):
    os.write(3, len(body).to_bytes(4, "big") + body)
def grade(s, i):
    return 0.0
""",
    "answers a helper's question itself": """
def grade(s, i):
    return similarity(s, i) + run([], {}, 3)
""",
    "asks for a helper that was not lent": """
import json, os
def grade(s, i):
    body = json.dumps({"call": "__class__", "arguments": ["x"]}).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)
    os._exit(0)
""",
    "changes what numbers are": """
import builtins
builtins.float = builtins.type = lambda *a: 1.0
def grade(s, i):
    return "1.0"
""",
    "changes json between answers": """
import json
def dumps(*a, **k):
    return '{"value": 1.0}'
json.dumps = dumps
def grade(s, i):
    return None
""",
    "returns what equals everything": """
class Right:
    def __eq__(self, other):
        return True
    def __float__(self):
        return 1.0
    def __ge__(self, other):
        return True
def grade(s, i):
    return Right()
""",
    "returns a float of its own": """
class Right(float):
    pass
def grade(s, i):
    return [Right(1.0)]
""",
    "pretends to be another class": """
class Right:
    __class__ = float
def grade(s, i):
    return Right()
""",
    # looking around
    "climbs by classes": """
def grade(s, i):
    for each in ().__class__.__base__.__subclasses__():
        if each.__name__ == '_wrap_close':
            return float(each.__init__.__globals__['system']('true') == 0)
    raise ValueError('nothing')
""",
    "climbs by globals": (
        "def grade(s, i):\n    return float(bool(grade.__globals__['__builtins__']['open']('$FILE').read()))"
    ),
    "hunts the heap": """
import gc
def grade(s, i):
    found = [o for o in gc.get_objects() if isinstance(o, (dict, list, tuple))]
    texts = [t for o in found for t in (o.values() if isinstance(o, dict) else o)]
    raise ValueError([t for t in texts if isinstance(t, str) and t.startswith('marker')])
""",
    "hunts the frames": """
import sys
def grade(s, i):
    frame, found = sys._getframe(), []
    while frame:
        found.append(str({**frame.f_globals, **frame.f_locals}))
        frame = frame.f_back
    raise ValueError([text[text.find('marker'):][:80] for text in found if 'marker' in text])
""",
    "hunts the main module": """
import sys
def grade(s, i):
    texts = [t for m in list(sys.modules.values()) for t in list(vars(m).values())]
    raise ValueError([t for t in texts if isinstance(t, str) and t.startswith('marker')])
""",
    # not even hostile
    "is no Python": "def grade(s, i) return 1.0",
    "has no grade": "def score(s, i):\n    return 1.0",
    "takes one argument": "def grade(s):\n    return 1.0",
    "is async": "async def grade(s, i):\n    return 1.0",
    "yields": "def grade(s, i):\n    yield 1.0",
    "divides by zero": "def grade(s, i):\n    return 1 / 0",
    "has an error that cannot be shown": """
class Odd(Exception):
    def __str__(self):
        raise self
def grade(s, i):
    raise Odd()
""",
    "returns a text": "def grade(s, i):\n    return '1.0'",
    "returns not a number": "def grade(s, i):\n    return float('nan')",
    "returns infinity": "def grade(s, i):\n    return float('inf')",
    "returns a number too large": "def grade(s, i):\n    return 10 ** 400",
    "returns a complex number": "def grade(s, i):\n    return complex(1, 0)",
    "returns a list": "def grade(s, i):\n    return [1.0]",
    "returns a mapping": "def grade(s, i):\n    return {'score': 1.0}",
    "returns itself": "def grade(s, i):\n    return grade",
}

ABSTAINS = {
    "returns nothing": "def grade(s, i):\n    pass",
    "is a lambda of none": "grade = lambda s, i: None",
}

CANDIDATES = {
    "exits": "import sys\ndef solve(x):\n    sys.exit(0)",
    "exits at once": "import os\nos._exit(0)",
    "loops": "def solve(x):\n    while True:\n        pass",
    "equals everything": (
        "class Right:\n    def __eq__(self, other):\n        return True\ndef solve(x):\n    return Right()"
    ),
    "is a list that equals everything": (
        "class A(list):\n    def __eq__(self, it):\n        return True\ndef solve(x):\n    return A()"
    ),
    "hunts the right answer in the heap": """
import gc
def solve(x):
    for o in gc.get_objects():
        if isinstance(o, dict) and 'right' in o:
            return o['right']
""",
    "hunts the right answer in the frames": """
import sys
def solve(x):
    frame = sys._getframe()
    while frame:
        for each in (frame.f_locals, frame.f_globals):
            if 'right' in str(each):
                return each
        frame = frame.f_back
""",
    "changes what is compared with": """
import builtins, json
builtins.all = builtins.any = lambda *a: True
json.loads = lambda *a: {'value': 1}
def solve(x):
    return None
""",
    "answers with its token": """
import json, os, sys
def solve(x):
    frame = sys._getframe()
    while 'asked' not in frame.f_locals:
        frame = frame.f_back
    for value in (True, 1.0, {'value': 1.0}):
        body = json.dumps({'token': frame.f_locals['asked']['token'], 'value': value}).encode()
        os.write(3, len(body).to_bytes(4, 'big') + body)
    os._exit(0)
""",
    "writes its grader's verdict": """
import json, os
def solve(x):
    for fd in range(16):
        try:
            os.write(fd, b'\\x00\\x00\\x00\\x10' + b'{"value":   1.0}')
        except OSError:
            pass
""",
    "asks for a helper": "def solve(x):\n    return math_equal('1', '1')",
    "returns a huge text": "def solve(x):\n    return 'x' * 10_000_000",
    "is no Python": "def solve(x) return x",
    "has no function": "x = 1",
}

WIN_OUTSIDE = (
    "reads a file", "reads a file through pathlib", "reads a file through os", "reads a file through C",
    "reads the accounts", "lists a directory", "imports the service", "reads its environment",
    "reads its first environment from memory", "opens a connection", "opens a socket", "runs a command",
    "starts a thread", "makes a file in memory", "stops its timers", "climbs by classes", "climbs by globals",
    "hunts the heap", "hunts the frames", "hunts the main module",
)  # fmt: skip
"""Harmless enough to be let loose, to see that the sandbox holds them and not a mistake of theirs."""
