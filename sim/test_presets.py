"""The accelerator with preset memory images: it runs without a host, also after a reset, and takes another network."""

import numpy as np
import pytest

from accel import reference
from accel.compile import compile_graph
from accel.hdl.accelerator import preset_images, presets
from sim.accelerator import open_accelerator
from sim.cases.awkward import small
from sim.cases.graphs import images
from sim.comparison import compare_on
from sim.driver import AcceleratorError
from sim.engines import ENGINES
from sim.test_top import CONFIG


@pytest.mark.parametrize("engine", ENGINES)
def test_images_in_memory_need_no_host(engine, seed, tmp_path):
    rng = np.random.default_rng(seed)
    graph, other = small(rng), small(rng)
    program = compile_graph(graph, CONFIG)
    for name, text in preset_images(program).items():
        (tmp_path / name).write_text(text)
    q = images(rng, graph, 2)
    expected = reference.run(graph, q)[graph.layers[-1].name]
    options = {"params": {"presets": presets(program, tmp_path)}, "memory_dir": tmp_path}
    with open_accelerator(CONFIG, engine, **options) as accelerator:
        for isolated in (True, False):
            run = accelerator.run([program.encode_input(image) for image in q], isolated=isolated, image_limit=5000)
            assert np.array_equal([program.decode_output(output) for output in run.outputs], expected)
        with pytest.raises(AcceleratorError, match="shorter than an image"):
            accelerator.run([program.encode_input(q[1])[:8]], isolated=False, image_limit=40)
        accelerator.dut.reset()
        run = accelerator.run([program.encode_input(q[0])], isolated=False, image_limit=5000)
        assert np.array_equal(program.decode_output(run.outputs[0]), expected[0])
        assert not compare_on(accelerator, other, compile_graph(other, CONFIG), q[:1]).mismatches
