"""The engine, which leaves beside its run how much GPU memory it held at most."""

import json
import sys
from pathlib import Path

from app.engine.__main__ import main

if __name__ == "__main__":
    status = main(sys.argv[1])
    import torch

    peak = {"peak_gib": torch.cuda.max_memory_allocated() / 2**30}
    (Path(sys.argv[1]) / "peak.json").write_text(json.dumps(peak))
    sys.exit(status)
