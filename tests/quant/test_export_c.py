"""Exported C: compiles without a warning, and a C program computes every layer as the reference does."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from accel import model_dir, reference
from accel.errors import RangeError
from accel.fixedpoint import INT32_MAX, INT32_MIN
from accel.ir import Dense, Graph, InputEncoding, Requantize, TensorType
from quant.data import datasets
from quant.export.c_source import c_files, c_name
from sim.cases.graphs import images, random_graph, random_mixed_graph

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wstrict-prototypes", "-Werror", "-std=c99", "-O1")
RUN = """
#include <stdio.h>
#include <stdlib.h>
#include "{name}.h"
#include "bitloom_run.h"

static size_t elements(const bitloom_tensor *tensor)
{{
    return (size_t)tensor->height * (size_t)tensor->width * (size_t)tensor->channels;
}}

int main(void)
{{
    int32_t *in = malloc(1 << 22), *out = malloc(1 << 22), *other;
    int index;
    while (fread(in, 4, elements(&{name}_input), stdin) == elements(&{name}_input))
        for (index = 0; index < {upper}_LAYERS; index++) {{
            bitloom_layer_run(&{name}_layers[index], in, out);
            fwrite(out, 4, elements(&{name}_layers[index].output), stdout);
            other = in, in = out, out = other;
        }}
    free(in);
    free(out);
    return 0;
}}
"""


def compiled(folder, graph, program):
    """Path of the executable of a program and a graph's tables; undefined behaviour ends it."""
    for name, text in c_files(graph).items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "main.c").write_text(program, encoding="utf-8")
    command = [
        "gcc",
        *STRICT,
        "-fsanitize=undefined",
        "-fno-sanitize-recover",
        "-o",
        "run",
        "main.c",
        f"{c_name(graph.name)}.c",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "run"


def check_all_layers(folder, graph, q):
    """Every integer of every layer of the C program is the reference's."""
    name = c_name(graph.name)
    program = compiled(folder, graph, RUN.format(name=name, upper=name.upper()))
    done = subprocess.run([program], input=q.astype("<i4").tobytes(), capture_output=True, check=True)
    found = np.frombuffer(done.stdout, "<i4").reshape(len(q), -1)
    wanted = np.concatenate([value.reshape(len(q), -1) for value in reference.run(graph, q).values()], axis=1)
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("name", ("lenet5-mixed", "lenet5-w1a1", "lenet5-w6a8"))
def test_a_zoo_network_in_c_equals_the_reference(name, tmp_path):
    graph = model_dir.load(name)
    check_all_layers(tmp_path, graph, images(np.random.default_rng(3), graph, 2))


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_of_all_widths_in_c_equal_the_reference(seed, tmp_path):
    random = np.random.default_rng(seed)
    graph = random_mixed_graph(random, layers=4) if seed % 4 else random_graph(random, layers=4)
    check_all_layers(tmp_path, graph, images(random, graph, 3))


@pytest.mark.parametrize(
    "rule, shift",
    (
        ("half_up", 0),
        ("half_up", 31),
        ("half_up", 62),
        ("half_away", 1),
        ("half_away", 31),
        ("gemmlowp", 0),
        ("gemmlowp", -31),
        ("gemmlowp", 4),
    ),
)
def test_rounding_at_the_extremes_in_c(rule, shift, tmp_path):
    source, output = TensorType(1, 1, 1, 8, 0.5, 0), TensorType(1, 1, 6, 8, 0.5, 3)
    reach = INT32_MAX >> max(shift, 0) if rule == "gemmlowp" else INT32_MAX
    bias = np.array([reach - 500, 500 - reach, 0, -1, 1, 7])
    multiplier = np.array([2**31 - 1, 2**31 - 1, 2**30 + 1, 2**30, 1, 0])
    weights = np.array([[3], [-3], [1], [-128], [127], [1]])
    layer = Dense(
        "d",
        "input",
        source,
        output,
        weights,
        8,
        np.full(6, 0.01),
        bias,
        Requantize(rule, multiplier, np.full(6, shift), -100, 100),
    )
    graph = Graph("extremes", source, InputEncoding(), (layer,))
    check_all_layers(tmp_path, graph, np.arange(-128, 128).reshape(256, 1, 1, 1))


def test_names_and_class_names_that_c_does_not_allow(tmp_path):
    base = model_dir.load("lenet5-int8")
    first = replace(base.layers[0], name="a.b")
    second = replace(base.layers[1], name="a-b", input_name="a.b")
    third = replace(base.layers[2], name="a_b", input_name="a-b")
    rest = (replace(base.layers[3], input_name="a_b"), *base.layers[4:])
    texts = ('"quoted"', "back\\slash", "two words", "what??/", "%s", "*/", "Füße", "", "nul\\0", "x" * 200)
    graph = replace(base, name="_9.int-8", layers=(first, second, third, *rest), class_names=texts)
    program = compiled(
        tmp_path,
        graph,
        """
#include <stdio.h>
#include "net_9_int_8.h"
int main(void)
{
    int index;
    for (index = 0; index < NET_9_INT_8_LAYERS; index++)
        puts(net_9_int_8_layers[index].name);
    for (index = 0; index < 10; index++)
        printf("%s|", net_9_int_8_class_names[index]);
    return sizeof net_9_int_8_a_b_bias != 6 * 4 || sizeof net_9_int_8_a_b_3_bias != 16 * 4;
}
""",
    )
    out = subprocess.run([program], capture_output=True, check=True).stdout.decode()
    names, _, classes = out.partition("fc3\n")
    assert names.split() == ["a.b", "a-b", "a_b", "pool2", "fc1", "fc2"]
    assert classes.split("|")[:-1] == list(texts)


@pytest.mark.parametrize("bias", (INT32_MIN, INT32_MAX))
def test_the_ends_of_int32_are_written_without_a_warning(bias, tmp_path):
    source = TensorType(1, 1, 1, 8, 0.5, 0)
    layer = Dense(
        "d",
        "input",
        source,
        TensorType(1, 1, 1, 32, 0.5, 0),
        np.array([[0]]),
        8,
        np.array([1.0]),
        np.array([bias]),
        None,
    )
    check_all_layers(tmp_path, Graph("ends", source, InputEncoding(), (layer,)), np.zeros((1, 1, 1, 1), np.int64))


@pytest.mark.parametrize("scale", (1e-40, 1e40))
def test_a_scale_that_c_cannot_hold_is_refused(scale):
    graph = model_dir.load("lenet5-int8")
    scales = graph.layers[0].weight_scale.copy()
    scales[2] = scale
    graph = graph.with_layers((replace(graph.layers[0], weight_scale=scales), *graph.layers[1:]))
    with pytest.raises(RangeError, match=r"conv1_weight_scale: scale 1e.40 is outside C's normal float numbers"):
        c_files(graph)


def test_weights_of_8_bits_are_signed_bytes_and_narrower_ones_packed():
    graph = model_dir.load("lenet5-mixed")
    files = c_files(graph)
    for layer in (layer for layer in graph.layers if layer.op != "maxpool"):
        kind = "int8_t" if layer.weight_bits == 8 else "uint8_t"
        name = f"lenet5_mixed_{layer.name}_weight"
        assert f"extern const {kind} {name}[" in files["lenet5_mixed.h"]
        body = files["lenet5_mixed.c"].partition(f"const {kind} {name}[")[2].partition("{")[2].partition("}")[0]
        numbers = [int(number) for number in body.split(",") if number.strip()]
        if layer.weight_bits == 8:
            assert numbers == layer.weights.ravel().tolist() and min(numbers) < 0
        else:
            assert numbers == model_dir.packed_weights(layer).ravel().tolist()
    assert {layer.weight_bits for layer in graph.layers if layer.op != "maxpool"} > {8}


def test_float_literals_bring_every_float32_back():
    graph = model_dir.load("lenet5-mixed")
    text = c_files(graph)["lenet5_mixed.c"]
    body = text.partition("lenet5_mixed_fc1_weight_scale[120] = {")[2].partition("}")[0]
    found = [np.float32(number.strip().removesuffix("f")) for number in body.split(",") if number.strip()]
    assert np.array_equal(found, graph.layers[4].weight_scale.astype(np.float32))


def test_the_program_of_the_documentation_classifies(tmp_path):
    page = (Path(__file__).resolve().parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    program = compiled(tmp_path, model_dir.load("lenet5-int8"), page.partition("```c\n")[2].partition("```")[0])
    images, labels = datasets.load("digits")
    done = subprocess.run([program], input=images[:8].tobytes(), capture_output=True, check=True)
    assert [int(text) for text in done.stdout.split()] == labels[:8].tolist()


def test_a_header_never_stands_in_the_place_of_another():
    assert [c_name(name) for name in ("lenet5-int8", "bitloom_run", "bitloom-run", "stdint", "8bit")] == [
        "lenet5_int8",
        "net_bitloom_run",
        "net_bitloom_run",
        "net_stdint",
        "net8bit",
    ]
