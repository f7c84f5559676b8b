"""A core that starts with a network in its memory images is stopped by a host and loaded with another one."""

import numpy as np
import pytest

from accel import reference
from accel.compile import compile_graph
from accel.config import HardwareConfig
from accel.descriptor import CONTROL_ENABLE, REG_CONTROL, REG_LAYERS
from accel.hdl.accelerator import preset_images, presets
from sim.accelerator import open_accelerator
from sim.cases import awkward
from sim.cases.graphs import images

CONFIG = HardwareConfig(
    rows=4, lanes=4, weight_depth=256, act_depth=256, line_depth=64, param_depth=64, pool_depth=16, max_layers=4
)


def check(accelerator, graph, program, rng):
    q = images(rng, graph, 2)
    run = accelerator.run([program.encode_input(image) for image in q], image_limit=20_000)
    wanted = reference.run(graph, q)[graph.layers[-1].name]
    for output, expected in zip(run.outputs, wanted, strict=True):
        assert np.array_equal(program.decode_output(output), expected)


@pytest.mark.parametrize("pause", [0, 60])
def test_a_host_of_any_speed_replaces_the_preset_network(pause, tmp_path, seed):
    """With pauses between its writes longer than the fetch of a descriptor: an aborted core must not start again."""
    rng = np.random.default_rng(seed)
    first, second = awkward.small(rng), awkward.dense_first(rng)
    program, other = compile_graph(first, CONFIG), compile_graph(second, CONFIG)
    for name, text in preset_images(program).items():
        (tmp_path / name).write_text(text)
    params = {"presets": presets(program, tmp_path)}
    with open_accelerator(CONFIG, params=params, memory_dir=tmp_path) as accelerator:
        check(accelerator, first, program, rng)
        accelerator.stop()
        layers = (REG_LAYERS, len(other.layers) - 1)
        for address, word in (*other.host_writes(), layers, (REG_CONTROL, CONTROL_ENABLE)):
            accelerator.dut.step(pause)
            accelerator.write(address, word)
        check(accelerator, second, other, rng)
        accelerator.stop()
        accelerator.start()  # the registers are kept
        check(accelerator, second, other, rng)
