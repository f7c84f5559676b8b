"""The Python of docs/qfx.md runs, in the order of the page."""

import re
from pathlib import Path

from accel import reference
from tests.quant import nets

PAGE = Path(__file__).parent.parent.parent / "docs" / "qfx.md"


def test_the_examples_of_the_page_run():
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert len(blocks) == 5
    names = {}
    for block in blocks:
        exec(block, names)
    graph = names["graph"]
    outputs = reference.run(graph, reference.encode_input(graph, nets.random_images(2, (28, 28, 1))))
    assert outputs[graph.layers[-1].name].shape == (2, 1, 1, 10)
    assert names["points"]["1.weights"].startswith("ap_fixed<8,")
