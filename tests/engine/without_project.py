"""Runs a program where this project cannot be imported: without_project.py SCRIPT [ARGUMENTS]."""

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path[:] = [place for place in sys.path[1:] if not (Path(place) / "app" / "run_dir.py").exists()]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
assert find_spec("app") is None

sys.argv = sys.argv[1:]
if sys.argv[0] == "trl":
    from trl.cli import main

    main()
else:
    sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
    runpy.run_path(sys.argv[0], run_name="__main__")
