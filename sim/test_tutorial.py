"""The tutorial's commands, run as they are printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def shell_commands():
    blocks = re.findall(r"^```\n(.*?)^```", PAGE, re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if not line.startswith("vivado ")]


@pytest.mark.long
def test_every_command_of_the_tutorial_works(tmp_path):
    code = re.search(r"^```python\n(.*?)^```", PAGE, re.M | re.S).group(1)
    (tmp_path / "my_net.py").write_text(code)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = dict(os.environ, PYTHONPATH=str(ROOT), PATH=path)
    commands = shell_commands()
    assert len(commands) == 7
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "PASS" in done.stdout
