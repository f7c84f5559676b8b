"""The manifest of an output folder: what it was made from, what is in it, how it is addressed.

Its list of files with their hashes, and its own hash at the end, also tell whether a folder is as it was written.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import myhdl

import accel
from accel import descriptor, model_dir
from accel.errors import OutputError
from accel.hdl import resources
from accel.outputs import Folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from accel.compile.program import LayerPlan, Program
    from accel.hdl.design import ConvertedDesign
    from accel.hdl.golden import Golden
    from accel.hdl.targets import Target
    from accel.ir import Graph
    from accel.types import Notes, StrPath

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
MAX_BYTES = 2**30  # of one file
_HASH_KEY = '\n "sha256": "'
# What the simulation scripts of the folder write, in seconds: it goes with the folder.
_BY_SCRIPTS = ("sim/tb_{top}.vvp", "sim/tb_{top}.log", "sim/work/tb_{top}", "sim/work/work-obj08.cf")


def manifest(
    *,
    graph: Graph,
    program: Program,
    target: Target,
    design: ConvertedDesign,
    golden: Golden,
    model_digest: str,
    preset: bool,
    files: Mapping[str, str],
) -> Notes:
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
        "modules": [
            {
                "name": module.name,
                "kind": module.kind,
                "instances": [[name, child.name] for name, child in module.instances],
            }
            for module in design.modules
        ],
        "predicted_cycles_per_image": program.predicted_cycles,
        "cycle_limit": program.cycle_limit,
        "weight_bytes": weight_bytes(program),
        "dsp_estimate": config.dsp_estimate,
        "estimate": asdict(resources.resources(config)),
        "layers": [layer_entry(layer) for layer in program.layers],
        "memories": memories(program),
        "memory_map": memory_map(program),
        "golden": {
            "images": golden.images,
            "source": golden.source,
            "input_beats": golden.input_beats,
            "output_beats": golden.output_beats,
        },
        "files": {
            name: {"sha256": _sha256(text.encode()), "bytes": len(text.encode())}
            for name, text in sorted(files.items())
        },
    }


def to_text(values: Notes) -> str:
    """The manifest's text; its last entry is the SHA-256 of all text before that entry."""
    body = json.dumps(values, indent=1).removesuffix("\n}") + ","
    return f'{body}{_HASH_KEY}{_sha256(body.encode())}"\n}}\n'


def output(path: StrPath | None, label: str = "--out") -> Folder:
    """The folder of a conversion as something to write (accel.outputs), for a check before the work."""
    return Folder(path, _owned, label)


def _owned(folder: Path) -> set[str]:
    """Names of the files of a conversion and of its simulations; BitloomError where it is none or one was changed.

    A file that is gone is no reason: nothing is lost with it.
    """
    data = model_dir.read_file(folder / MANIFEST, None, MAX_BYTES)
    try:
        text = data.decode()
        values = json.loads(text)
        made_by, top, files = values["made_by"]["bitloom"], values["top"], values["files"]
        hashes = {name: entry["sha256"] for name, entry in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        made_by, top, hashes = None, None, {}
    if not (made_by and hashes and top and all(name.isprintable() for name in hashes)):
        raise OutputError(f"{MANIFEST} was not written by Bitloom")
    body, key, tail = text.rpartition(_HASH_KEY)
    # Version 0.1 wrote manifests without a hash of their own.
    if key and tail != f'{_sha256(body.encode())}"\n}}\n':
        raise OutputError(f"{MANIFEST} was changed since it was written")
    for name, expected in hashes.items():
        path = folder / name
        if path.exists() and _sha256(model_dir.read_file(path, None, MAX_BYTES)) != expected:
            raise OutputError(f"{name} was changed since it was written")
    return {MANIFEST, *hashes, *(name.format(top=top) for name in _BY_SCRIPTS)}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def weight_bytes(program: Program) -> int:
    """Bytes of the weight bank that the network uses."""
    return int(program.weights.size)


def layer_entry(layer: LayerPlan) -> Notes:
    precision, memory = layer.precision, layer.weight_memory
    return {
        "name": layer.name,
        "op": layer.op,
        "walk": layer.walk,
        "compute_bits": precision.compute_bits,
        "weight_bits": precision.weight_bits,
        "input_bits": precision.input_bits,
        "note": precision.note,
        "weight_bytes": memory.bank_bytes,
        "weight_padding_bytes": memory.padding_bytes,
        "weight_wire_bytes": memory.wire_bytes,
        "weight_wire_bits": memory.wire_bits,
        "predicted_cycles": int(layer.predicted_cycles),
        "mac_count": int(layer.mac_count),
        "weight_base": int(layer.weight_base),
        "weight_words": int(layer.weight_words),
        "param_base": int(layer.param_base),
        "in_base": int(layer.in_base),
        "out_base": int(layer.out_base),
        "output_shape": list(layer.output.shape),
        "output_bits": layer.output.bits,
    }


def memories(program: Program) -> dict[str, Notes]:
    """Size and use of every memory, and the block RAMs or UltraRAMs that it takes."""
    config = program.config
    used = {
        "weights": (config.weight_depth, config.weight_word_bits, len(program.weights)),
        "parameters": (config.param_depth, config.acc_bits + 42, len(program.bias)),
        "activations": (
            config.act_depth,
            config.word_bits,
            max(
                [layer.in_base + layer.in_words for layer in program.layers[1:]]
                + [layer.out_base + layer.out_words for layer in program.layers[:-1]],
                default=0,
            ),
        ),
        "line_buffer": (config.line_depth, config.word_bits, max(layer.line_words for layer in program.layers)),
        "program": (
            descriptor.DESCRIPTOR_STRIDE * config.max_layers,
            32,
            descriptor.DESCRIPTOR_STRIDE * len(program.layers),
        ),
    }
    found = resources.memories(config)
    return {
        name: {
            "words": words,
            "bits": bits,
            "used_words": int(count),
            "block_rams": sum(memory.block_rams for memory in found if memory.name == name),
            "ultra_rams": sum(memory.ultra_rams for memory in found if memory.name == name),
        }
        for name, (words, bits, count) in used.items()
    }


def memory_map(program: Program) -> dict[str, Notes]:
    """Host port: 32-bit word addresses."""
    config = program.config
    shift = descriptor.REGION_SHIFT
    quarters = config.lanes // 4
    registers = ", ".join(dict.fromkeys(f"{name} {offset}" for name, offset, *_ in descriptor.REGISTERS))
    regions: tuple[tuple[str, int, str], ...] = (
        ("registers", descriptor.REGION_REGISTERS, registers),
        ("descriptors", descriptor.REGION_DESCRIPTORS, f"layer * {descriptor.DESCRIPTOR_STRIDE} + word"),
        ("parameters", descriptor.REGION_PARAMETERS, "entry * 4 + (0 bias, 1 multiplier, 2 shifts)"),
        ("counters", descriptor.REGION_COUNTERS, "layer * 4 + (0 cycles, 1 stall cycles)"),
        ("weights", descriptor.REGION_WEIGHTS, f"(word * {config.rows} + row) * {quarters} + quarter"),
    )
    if 6 in config.precisions:
        regions += (
            (
                "weights6",
                descriptor.REGION_WEIGHTS6,
                "4 * group + (0, 1, 2): 16 packed weights, the four words from 4 * group on of the weights",
            ),
        )
    return {name: {"base": region << shift, "offset": offset} for name, region, offset in regions}
