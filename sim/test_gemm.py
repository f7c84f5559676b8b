"""The example of docs/gemm.md, run as it is printed."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "gemm.md").read_text(encoding="utf-8")


@pytest.mark.long
def test_the_matrix_product_gives_what_the_page_shows(capsys):
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.M | re.S)
    exec(compile(program, "docs/gemm.md", "exec"), {})
    assert capsys.readouterr().out == shown
