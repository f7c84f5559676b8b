"""sim.accelerator against a stand-in top with the same ports, on all engines."""

import random
from types import SimpleNamespace

import pytest

from accel.config import HardwareConfig
from accel.descriptor import REGION_PARAMETERS, host_address
from sim.accelerator import open_accelerator
from sim.bus import STALLS
from sim.driver import AcceleratorError
from sim.engines import ENGINES
from sim.stand_ins.echo_top import ERROR_BYTE, echo_top

BEATS = 6
MASK = 0x5A0F3C71


def echo_program(beats=BEATS):
    """The stand-in takes the number of layers for the beats of an image."""
    return SimpleNamespace(layers=[None] * beats, host_writes=lambda: [(host_address(REGION_PARAMETERS, 0), MASK)])


def echo_reference(image, lanes):
    mask = (MASK & (2 ** (8 * lanes) - 1)).to_bytes(lanes, "little")
    return bytes(byte ^ mask[index % lanes] for index, byte in enumerate(image))[:-1]


def images(count, lanes, seed, beats=BEATS):
    rng = random.Random(seed)
    return [bytes([1]) + rng.randbytes(beats * lanes - 1) for _ in range(count)]


@pytest.mark.parametrize("stalls", ["none", "both", "bursts"])
@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("engine", ENGINES)
def test_images_pass_with_stalls(engine, isolated, stalls, seed):
    config = HardwareConfig(rows=4, lanes=4)
    inputs = images(5, config.lanes, seed)
    with open_accelerator(config, engine, block=echo_top) as accelerator:
        accelerator.load(echo_program())
        run = accelerator.run(inputs, STALLS[stalls], seed, isolated=isolated)
        assert run.outputs == [echo_reference(image, config.lanes) for image in inputs]
        assert accelerator.counters(1)[0][0] == 5 * BEATS
        assert accelerator.error() == (0, 0)
    if stalls == "none":
        assert run.cycles_per_image == [BEATS + 1] * 5
        alone = 5 * (BEATS + 1) + 4 * (accelerator.ready_cycles - 1)
        assert run.total_cycles == (alone if isolated else 5 * BEATS + 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_looking_at_the_status_does_not_disturb_the_streams(engine, seed, monkeypatch):
    monkeypatch.setattr("sim.driver.STATUS_INTERVAL", 5)
    monkeypatch.setattr("sim.batch.STATUS_INTERVAL", 5)
    config = HardwareConfig(rows=4, lanes=4)
    inputs = images(8, config.lanes, seed)
    with open_accelerator(config, engine, block=echo_top) as accelerator:
        accelerator.load(echo_program())
        run = accelerator.run(inputs, STALLS["both"], seed, isolated=False)
    assert run.outputs == [echo_reference(image, config.lanes) for image in inputs]


@pytest.mark.parametrize("lanes", [8, 16, 32])
def test_wide_streams(lanes, seed):
    config = HardwareConfig(rows=4, lanes=lanes)
    inputs = images(40, lanes, seed)
    mask_lanes = min(4, lanes)
    with open_accelerator(config, "verilator", block=echo_top) as accelerator:
        accelerator.load(echo_program())
        run = accelerator.run(inputs, STALLS["both"], seed)
    for image, output in zip(inputs, run.outputs, strict=True):
        expected = bytearray(image)
        for beat in range(0, len(image), lanes):
            for byte in range(mask_lanes):
                expected[beat + byte] ^= MASK >> 8 * byte & 0xFF
        assert output == bytes(expected)[:-1]


@pytest.mark.parametrize("engine", ENGINES)
def test_error_code_ends_the_run(engine, seed, monkeypatch):
    monkeypatch.setattr("sim.driver.STATUS_INTERVAL", 32)
    monkeypatch.setattr("sim.batch.STATUS_INTERVAL", 32)
    config = HardwareConfig(rows=4, lanes=4)
    good = images(2, config.lanes, seed)
    bad = bytes([ERROR_BYTE]) + good[0][1:]
    with open_accelerator(config, engine, block=echo_top) as accelerator:
        accelerator.load(echo_program())
        with pytest.raises(AcceleratorError, match="layer 3: error code 33: word 1 of the descriptor"):
            accelerator.run([good[0], bad])
        accelerator.load(echo_program())
        assert accelerator.run(good).outputs == [echo_reference(image, config.lanes) for image in good]


@pytest.mark.parametrize("fault", ["drops valid", "changes data"])
@pytest.mark.parametrize("engine", ["myhdl", "verilator"])
def test_an_output_beat_that_does_not_wait_is_reported(engine, fault, seed):
    config = HardwareConfig(rows=4, lanes=4)
    with open_accelerator(config, engine, block=echo_top, params={"fault": fault}) as accelerator:
        accelerator.load(echo_program())
        with pytest.raises(AcceleratorError, match="m_axis: cycle .* stalled"):
            accelerator.run(images(4, config.lanes, seed), STALLS["both"], seed)


@pytest.mark.parametrize("engine", ["myhdl", "verilator"])
def test_a_stuck_image_is_reported(engine, seed):
    config = HardwareConfig(rows=4, lanes=4)
    with open_accelerator(config, engine, block=echo_top) as accelerator:
        accelerator.load(echo_program(beats=BEATS + 1))
        with pytest.raises(AcceleratorError, match="0 of 1 images came out in 300 cycles"):
            accelerator.run(images(1, config.lanes, seed), image_limit=300)


def test_an_image_is_whole_beats():
    config = HardwareConfig(rows=4, lanes=4)
    with open_accelerator(config, "myhdl", block=echo_top) as accelerator:
        with pytest.raises(ValueError, match="7 bytes is not a whole number of 4-byte beats"):
            accelerator.run([bytes(7)])
