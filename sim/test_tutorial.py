"""The tutorial's commands, run as they are printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.M | re.S)


def blocks(language):
    return [text for name, text in BLOCKS if name == language]


@pytest.mark.long
def test_every_command_of_the_tutorial_works(tmp_path):
    (tmp_path / "my_net.py").write_text(blocks("python")[0])
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = dict(os.environ, PYTHONPATH=str(ROOT), PATH=path)
    commands = [line for text in blocks("") for line in text.splitlines() if not line.startswith("vivado ")]
    assert len(commands) == 12
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "PASS" in done.stdout
