"""Single bits of valid descriptors flipped: every program ends, and LeNet-5 runs right afterwards.

All networks of the zoo lie side by side in the memories of one 8x8 build with every width, so that a network is chosen
by writing its descriptors. A flipped one runs, fed with images without an end, until the program has finished once or
an error stopped it; the register cycle_limit stands at the slowest layer's predicted cycles. Then LeNet-5 computes an
image, which must be right and take the cycles that were predicted.
"""

import collections
import random
from dataclasses import replace

import numpy as np

from accel import model_dir, reference
from accel.compile import compile_graph
from accel.descriptor import (
    CONTROL_ENABLE,
    DESCRIPTOR_STRIDE,
    DESCRIPTOR_WORDS,
    ERROR_CYCLE_LIMIT,
    ERROR_FIELD,
    REG_CONTROL,
    REG_CYCLE_LIMIT,
    REG_LAYERS,
    REGION_DESCRIPTORS,
    REGION_PARAMETERS,
    REGION_SHIFT,
    REGION_WEIGHTS,
    REGION_WEIGHTS6,
    host_address,
    pack_descriptor,
    unpack_descriptor,
)
from accel.names import PRECISIONS
from benchmarks import workload
from benchmarks.report import Result, Row
from sim.cli import random_inputs
from sim.driver import AcceleratorError

ZOO = (
    "lenet5-int8",
    "lenet5-mixed",
    "lenet5-w1a1",
    "lenet5-w2a2",
    "lenet5-w4a4",
    "lenet5-w4a8",
    "lenet5-w6a8",
    "lenet5-w8a8",
    "fashion-cnn-int8",
    "fashion-cnn-mixed",
)
COUNT, QUICK_COUNT = 5000, 200
IMAGES = 40  # offered to a flipped program, one after the other
SLACK = 4  # cycles of a program over those that its layers may work: waiting for the source, fetching
FINISHED, LIMITED = "finished", "ended by the watchdog"
REFUSED, STOPPED = "refused by a limit", "ended by another error"


class Resident:
    """A program at a place of its own in the weight bank and the parameter table."""

    def __init__(self, name, graph, config, weight_base, group_base):
        program = compile_graph(graph, config)
        self.name, self.program = name, program
        self.descriptors = []
        for words in program.descriptors.tolist():
            values = unpack_descriptor(words)
            del values["magic"]
            values["weight_base"] += weight_base
            values["param_base"] += group_base
            self.descriptors.append(pack_descriptor(values, config))
        up = dict.fromkeys((REGION_WEIGHTS, REGION_WEIGHTS6), weight_base * config.rows * config.lanes // 4)
        up[REGION_PARAMETERS] = 4 * config.req_lanes * group_base
        self.writes = [
            (address + up[address >> REGION_SHIFT], word)
            for address, word in program.host_writes()
            if address >> REGION_SHIFT in up
        ]
        self.data = program.encode_input(random_inputs(graph, 1)[0])
        self.limit = max(layer.predicted_cycles for layer in program.layers)

    def start(self, accelerator, flip=None):
        """Stop what runs and start the program, one bit of it flipped: (layer, word, bit)."""
        accelerator.stop()
        writes = [
            (host_address(REGION_DESCRIPTORS, layer * DESCRIPTOR_STRIDE + at), word)
            for layer, words in enumerate(self.descriptors)
            for at, word in enumerate(words)
        ]
        if flip:
            layer, at, bit = flip
            writes[layer * DESCRIPTOR_WORDS + at] = (
                host_address(REGION_DESCRIPTORS, layer * DESCRIPTOR_STRIDE + at),
                self.descriptors[layer][at] ^ 1 << bit,
            )
        registers = (REG_LAYERS, len(self.descriptors) - 1), (REG_CYCLE_LIMIT, self.limit)
        accelerator.write_many([*writes, *registers, (REG_CONTROL, CONTROL_ENABLE)])


class Bench:
    """The accelerator with all programs in its memories, LeNet-5 first, and what LeNet-5 has to put out."""

    def __init__(self, names=ZOO, precisions=PRECISIONS):
        graphs = {name: model_dir.load(name) for name in names}
        self.config = workload.one_build(list(graphs.values()), (8, 8), precisions)
        alone = [compile_graph(graph, self.config) for graph in graphs.values()]
        words = [sum(layer.weight_words for layer in program.layers) for program in alone]
        groups = [sum(layer.param_groups for layer in program.layers) for program in alone]
        depths = {"weight_depth": sum(words), "param_depth": self.config.req_lanes * sum(groups)}
        self.config = replace(self.config, **{name: 1 << (depth - 1).bit_length() for name, depth in depths.items()})
        self.programs = [
            Resident(name, graph, self.config, sum(words[:index]), sum(groups[:index]))
            for index, (name, graph) in enumerate(graphs.items())
        ]
        graph = graphs[names[0]]
        self.digits, _ = workload.digits(graph, 20)
        self.logits = reference.run(graph, self.digits)[graph.layers[-1].name]
        self.accelerator = workload.accelerator(self.config)
        for program in self.programs:
            self.accelerator.write_many(program.writes)

    def flips(self, count, seed):
        """(program, layer, word, bit) in a random order: each of them once, before any comes again."""
        every = [
            (program, layer, word, bit)
            for program in self.programs
            for layer in range(len(program.descriptors))
            for word in range(DESCRIPTOR_WORDS)
            for bit in range(32)
        ]
        rng, chosen = random.Random(seed), []
        while len(chosen) < count:
            chosen += rng.sample(every, min(len(every), count - len(chosen)))
        return chosen

    def outcome(self, program, *flip):
        """How the program with a flipped bit ends, None where it does not."""
        program.start(self.accelerator, flip)
        limit = SLACK * (program.limit + 2**16) * len(program.descriptors)
        ended = self.accelerator.run_to_end([program.data] * IMAGES, limit)
        code, _ = self.accelerator.error()
        if not ended:
            return None
        if code == ERROR_CYCLE_LIMIT:
            return LIMITED
        return REFUSED if code >= ERROR_FIELD else STOPPED if code else FINISHED

    def lenet_is_right(self, number):
        lenet, index = self.programs[0], number % len(self.digits)
        lenet.start(self.accelerator)
        try:
            run = self.accelerator.run([lenet.program.encode_input(self.digits[index])], image_limit=100_000)
        except AcceleratorError:
            return False
        output = lenet.program.decode_output(run.outputs[0])
        return np.array_equal(output, self.logits[index]) and run.cycles_per_image == [lenet.program.predicted_cycles]


def measure(progress, folder, quick, data_dir, count=COUNT, seed=1):
    """So many flips (quick: some of LeNet-5 on an int8 build), LeNet-5 after each."""
    bench = Bench(ZOO[:1], (8,)) if quick else Bench()
    count = min(count, QUICK_COUNT) if quick else count
    task = progress.add_task("flipped bits", total=count)
    outcomes, endless, wrong = collections.Counter(), [], []
    for number, (program, *flip) in enumerate(bench.flips(count, seed)):
        outcome = bench.outcome(program, *flip)
        place = f"{program.name} layer {flip[0]} word {flip[1]} bit {flip[2]}"
        if outcome is None:
            endless.append(place)
        else:
            outcomes[outcome] += 1
        if not bench.lenet_is_right(number):
            wrong.append(place)
        progress.advance(task)
    bench.accelerator.close()
    details = {
        "count": count,
        "seed": seed,
        "outcomes": dict(outcomes),
        "endless": endless,
        "wrong_afterwards": wrong,
        "config": bench.config.to_dict(),
        "networks": [program.name for program in bench.programs],
    }
    return Result("upsets", rows(details), details)


def rows(details):
    """The two lines of the table."""
    count, outcomes, endless = details["count"], details["outcomes"], len(details["endless"])
    right = count - len(details["wrong_afterwards"])
    ends = ", ".join(f"{outcomes.get(name, 0):,} {name}" for name in (FINISHED, REFUSED, STOPPED, LIMITED))
    return (
        Row(
            f"{count:,} bits of descriptors flipped one at a time",
            "every program ends",
            "",
            f"{count - endless:,} end",
            not endless,
            ends,
        ),
        Row(
            "LeNet-5 right afterwards, in its predicted cycles", "always", "", f"{right:,} of {count:,}", right == count
        ),
    )
