"""The manifest of an output folder: what it was made from, what is in it, how it is addressed."""

import hashlib
import json
from dataclasses import asdict

import myhdl

import accel
from accel import descriptor
from accel.hdl import resources

MANIFEST = "manifest.json"
FORMAT_VERSION = 1


def manifest(*, graph, program, target, design, golden, model_digest, preset, files):
    """The manifest as a dict. files: {path: text} of everything else in the folder."""
    config = program.config
    return {
        "format_version": FORMAT_VERSION,
        "made_by": {"bitloom": accel.__version__, "myhdl": myhdl.__version__},
        "model": {"name": graph.name, "sha256": model_digest},
        "configuration": config.to_dict(),
        "target": {"name": target.name, "part": target.part, "clock_mhz": target.clock_mhz},
        "hdl": design.hdl,
        "top": design.top,
        "preset": preset,
        "ports": [port.as_dict() for port in design.ports],
        "modules": [{"name": module.name, "kind": module.kind,
                     "instances": [[name, child.name] for name, child in module.instances]}
                    for module in design.modules],
        "predicted_cycles_per_image": program.predicted_cycles,
        "weight_bytes": weight_bytes(program),
        "dsp_estimate": config.dsp_estimate,
        "estimate": asdict(resources.resources(config)),
        "layers": [layer_entry(layer) for layer in program.layers],
        "memories": memories(program),
        "memory_map": memory_map(program),
        "golden": {"images": golden.images, "source": golden.source, "input_beats": golden.input_beats,
                   "output_beats": golden.output_beats},
        "files": {name: {"sha256": hashlib.sha256(text.encode()).hexdigest(), "bytes": len(text.encode())}
                  for name, text in sorted(files.items())},
    }


def to_text(values):
    return json.dumps(values, indent=1) + "\n"


def weight_bytes(program):
    """Bytes of the weight bank that the network uses."""
    return int(program.weights.size)


def layer_entry(layer):
    precision, memory = layer.precision, layer.weight_memory
    return {"name": layer.name, "op": layer.op, "walk": layer.walk,
            "compute_bits": precision.compute_bits, "weight_bits": precision.weight_bits,
            "input_bits": precision.input_bits, "note": precision.note,
            "weight_bytes": memory.bank_bytes, "weight_padding_bytes": memory.padding_bytes,
            "weight_wire_bytes": memory.wire_bytes, "weight_wire_bits": memory.wire_bits,
            "predicted_cycles": int(layer.predicted_cycles), "mac_count": int(layer.mac_count),
            "weight_base": int(layer.weight_base), "weight_words": int(layer.weight_words),
            "param_base": int(layer.param_base),
            "in_base": int(layer.in_base), "out_base": int(layer.out_base),
            "output_shape": list(layer.output.shape), "output_bits": layer.output.bits}


def memories(program):
    """Size and use of every memory, and the block RAMs or UltraRAMs that it takes."""
    config = program.config
    used = {
        "weights": (config.weight_depth, config.weight_word_bits, len(program.weights)),
        "parameters": (config.param_depth, config.acc_bits + 42, len(program.bias)),
        "activations": (config.act_depth, config.word_bits, max(
            [layer.in_base + layer.in_words for layer in program.layers[1:]]
            + [layer.out_base + layer.out_words for layer in program.layers[:-1]], default=0)),
        "line_buffer": (config.line_depth, config.word_bits,
                        max(layer.line_words for layer in program.layers)),
        "program": (descriptor.DESCRIPTOR_STRIDE * config.max_layers, 32,
                    descriptor.DESCRIPTOR_STRIDE * len(program.layers)),
    }
    found = resources.memories(config)
    return {name: {"words": words, "bits": bits, "used_words": int(count),
                   "block_rams": sum(memory.block_rams for memory in found if memory.name == name),
                   "ultra_rams": sum(memory.ultra_rams for memory in found if memory.name == name)}
            for name, (words, bits, count) in used.items()}


def memory_map(program):
    """Host port: 32-bit word addresses."""
    config = program.config
    shift = descriptor.REGION_SHIFT
    quarters = config.lanes // 4
    regions = (
        ("registers", descriptor.REGION_REGISTERS, "control 0, status 1, layers - 1 2, images 3, identity 4"),
        ("descriptors", descriptor.REGION_DESCRIPTORS, f"layer * {descriptor.DESCRIPTOR_STRIDE} + word"),
        ("parameters", descriptor.REGION_PARAMETERS, "entry * 4 + (0 bias, 1 multiplier, 2 shifts)"),
        ("counters", descriptor.REGION_COUNTERS, "layer * 4 + (0 cycles, 1 stall cycles)"),
        ("weights", descriptor.REGION_WEIGHTS, f"(word * {config.rows} + row) * {quarters} + quarter"),
    )
    if 6 in config.precisions:
        regions += (("weights6", descriptor.REGION_WEIGHTS6, "4 * group + (0, 1, 2): 16 packed weights, the four words "
                     "from 4 * group on of the weights"),)
    return {name: {"base": region << shift, "offset": offset} for name, region, offset in regions}
