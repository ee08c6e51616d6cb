"""`python -m benchmarks [--data FOLDER] [--only NAME]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import history, quality, serving

BENCHMARKS = {"serving": serving.run, "history": history.run, "quality": quality.run}


def main() -> None:
    """Run all benchmarks, or one."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure what the project promises.")
    parser.add_argument("--data", type=Path, default=Path("data-sets"), help="folder of public data sets")
    parser.add_argument("--only", choices=sorted(BENCHMARKS), help="run one")
    arguments = parser.parse_args()
    for name, run in BENCHMARKS.items():
        if arguments.only in (None, name):
            run(arguments.data)


if __name__ == "__main__":
    main()
