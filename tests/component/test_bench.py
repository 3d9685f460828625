"""The bench still runs: one round of a small image, its table and its chart. No figure is judged."""

import json
import subprocess
import sys
import xml.dom.minidom
from pathlib import Path

import service

RUN = Path(__file__).resolve().parents[1] / "bench/run"


def test_a_round_of_the_small_image(tmp_path):
    argv = [sys.executable, RUN, "--smoke", f"--berth={service.binary()}", f"--out={tmp_path}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / "bench.md").read_text()
    assert table == done.stdout
    for name in ("docker pull", "**berth pull**", "floor"):
        assert f"| {name} |" in table
    (case,) = json.loads((tmp_path / "bench.json").read_text())["cases"]
    for name, rounds in case["ways"].items():
        assert len(rounds) == 1 and rounds[0]["wall"] > 0 and rounds[0]["grown"] > 0, (name, rounds)
    assert case["ways"]["berth pull"][0]["memory"] > 0
    assert case["fallbacks"] == {"berth pull": []}
    assert xml.dom.minidom.parse(str(tmp_path / "bench.svg")).documentElement.tagName == "svg"
