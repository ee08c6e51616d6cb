"""What is written down says all that is needed, and nothing about whose machine it was."""

from __future__ import annotations

import getpass
import math
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
from benchmarks.__main__ import BENCHMARKS, ON_REQUEST, main
from benchmarks.machine import describe
from benchmarks.memory_use import family, memory_use
from benchmarks.plan import Mark, Result
from benchmarks.results_file import RESULTS, write

ROOT = Path(__file__).parent.parent.parent


def test_a_file_holds_circumstances_marks_and_figures(tmp_path):
    """Machine, command, data, rounds and marks stand beside the figures; a missing measurement is null."""
    result = Result("a set", 3, {"seconds": np.float64(1.5)}, [], [Mark("it", math.nan, 2, "s")])
    write(tmp_path / "new", "name", result, {"command": "python -m benchmarks", "machine": describe(tmp_path)})
    found = orjson.loads((tmp_path / "new" / "name.json").read_bytes())
    assert (found["benchmark"], found["data"], found["rounds"]) == ("name", "a set", 3)
    assert found["marks"] == [{"promise": "it", "mark": "<= 2 s", "measured": None, "met": False}]
    assert found["figures"] == {"seconds": 1.5}
    said = {"processor", "cores", "memory_gib", "filesystem", "system", "python", "version", "date", "load_before"}
    assert set(found["machine"]) == said


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_results_name_no_path_and_no_host(path):
    """Neither the folder of the data, nor the checkout, nor the machine's name is anybody's business."""
    text = path.read_text()
    assert [word for word in text.split('"') if word.startswith("/") or " /" in word] == []
    assert str(ROOT) not in text
    assert f'"{socket.gethostname()}"' not in text
    assert f'"{getpass.getuser()}"' not in text


def test_every_benchmark_is_documented():
    """Each one is explained, and so is what runs only on request."""
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    assert [name for name in BENCHMARKS if f"`{name}`" not in page] == []
    assert set(BENCHMARKS) >= ON_REQUEST


def test_without_its_data_a_benchmark_is_skipped_and_says_what_it_needs(tmp_path, capsys):
    """That is no failure: a fresh clone has no data sets."""
    assert main(["--only", "quality", "--data", str(tmp_path)]) == 0
    assert "skipped: it needs serenade_toy, retailrocket_slice, retailrocket_buyers, " in capsys.readouterr().out


def test_without_wrk_a_benchmark_fails_with_the_remedy_and_the_rest_goes_on(tmp_path, capsys, monkeypatch):
    """The next benchmark still runs, and the exit code tells."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--only", "serving", "quality", "--data", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "apt-get install wrk" in printed
    assert "[2/2] quality" in printed


def test_memory_is_counted_of_a_process_and_its_children():
    """Memory that only a child holds is unique to it."""
    code = "x = bytearray(50_000_000); print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        use = memory_use(child.pid)
        assert child.pid in list(family(int(Path("/proc/self").resolve().name)))
        child.communicate(b"\n")
    assert 50e6 <= use.anonymous <= use.unique <= use.resident <= 100e6
