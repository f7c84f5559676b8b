"""What cannot be converted is refused with the block, the object and the remedy, never converted wrongly."""

import pytest
from myhdl import ResetSignal, Signal, always, always_comb, intbv

from accel.hdl import ConversionError, convert_design
from accel.hdl.naming import abbreviations, parameter_suffix, unique
from accel.rtl.parts.module import memory, module, read_hex_words


@module
def copy(clk, x, y):
    """y is x."""

    @always_comb
    def run():
        y.next = x

    return run


@module
def slice_driven(clk, x, y):
    wide = Signal(intbv(0)[16:])
    inner = copy(clk, x, wide(8, 0))

    @always_comb
    def run():
        y.next = wide[8:]

    return inner, run


@module
def driven_twice(clk, x, y):
    first = copy(clk, x, y)
    second = copy(clk, x, y)
    return first, second


@module
def keyword(clk, x, y):
    register = Signal(intbv(0)[8:])

    @always(clk.posedge)
    def run():
        register.next = x
        y.next = register

    return run


@module
def undriven_signed(clk, x, y):
    offset = Signal(intbv(-3, min=-8, max=8))

    @always_comb
    def run():
        y.next = x + offset

    return run


@module
def idle_memory(clk, x, y):
    mem = [Signal(intbv(0)[8:]) for _ in range(4)]
    memory(mem, style="block")

    @always_comb
    def run():
        y.next = x

    return run


@module
def with_list(clk, x, y, *, steps):
    @always_comb
    def run():
        y.next = x

    return run


@module
def tied(clk, x, y, *, value):
    """y is x plus a constant that reaches the adder through a port."""
    constant = Signal(intbv(value, min=-8, max=8))
    total = add(clk, x, constant, y)
    return total


@module
def add(clk, x, offset, y):
    @always(clk.posedge)
    def run():
        y.next = (x + offset) & 255

    return run


def vectors():
    return Signal(bool(0)), Signal(intbv(0)[8:]), Signal(intbv(0)[8:])


@pytest.mark.parametrize(
    ("block", "parameters", "message"),
    (
        (slice_driven, {}, "output y is connected to a slice"),
        (driven_twice, {}, "output y drives a Signal that another instance drives"),
        (keyword, {}, "keyword: the name register is a reserved word"),
        (undriven_signed, {}, "undriven_signed: the signed Signal offset is read but never driven"),
        (idle_memory, {}, "a list that no process uses"),
        (with_list, {"steps": [1, 2]}, "with_list: parameter steps is a list"),
    ),
)
@pytest.mark.parametrize("hdl", ("verilog", "vhdl"))
def test_refused(block, parameters, message, hdl, tmp_path):
    with pytest.raises(ConversionError, match=message):
        convert_design(lambda: block(*vectors(), **parameters), hdl, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_conversion_leaves_the_next_one_alone(tmp_path):
    with pytest.raises(ConversionError):
        convert_design(lambda: keyword(*vectors()), "verilog", tmp_path)
    design = convert_design(lambda: copy(*vectors()), "verilog", tmp_path)
    assert [module.name for module in design.modules] == ["copy"]


@pytest.mark.parametrize(("value", "verilog", "vhdl"), ((-3, "-4'sd3", '"1101"'), (5, "4'sd5", '"0101"')))
def test_an_undriven_input_is_a_literal(value, verilog, vhdl, tmp_path):
    for hdl, literal in (("verilog", f".offset({verilog})"), ("vhdl", f"offset => {vhdl}")):
        design = convert_design(lambda: tied(*vectors(), value=value), hdl, tmp_path)
        assert literal in design.modules[-1].text


def test_an_unused_port_leaves_the_child_but_not_the_top(tmp_path):
    design = convert_design(lambda: driven_once(*vectors()), "verilog", tmp_path)
    child, top = design.modules
    assert [port.name for port in child.ports] == ["x", "y"] and child.unused == ["clk"]
    assert [port.name for port in top.ports] == ["clk", "x", "y"]
    assert "// not needed here: clk" in child.text


@module
def driven_once(clk, x, y):
    inner = copy(clk, x, y)
    return inner


def test_the_factory_makes_one_module(tmp_path):
    with pytest.raises(ConversionError, match="made 2 modules"):
        convert_design(lambda: (copy(*vectors()), copy(*vectors())), "verilog", tmp_path)
    with pytest.raises(ConversionError, match="hdl='edif' is unknown; choose verilog or vhdl"):
        convert_design(lambda: copy(*vectors()), "edif", tmp_path)


def test_ports_without_a_width_are_refused(tmp_path):
    with pytest.raises(ConversionError, match="copy: port x: a port must be a bool or an intbv with a width"):
        convert_design(lambda: copy(Signal(bool(0)), Signal(5), Signal(intbv(0)[8:])), "verilog", tmp_path)


def test_wrong_calls():
    clk, x, y = vectors()
    with pytest.raises(TypeError, match="copy: port y is not connected"):
        copy(clk, x)
    with pytest.raises(TypeError, match="copy: 4 ports given, but it has 3"):
        copy(clk, x, y, y)
    with pytest.raises(TypeError, match="copy: port x must be a Signal or None, not int"):
        copy(clk, 3, y)


def test_wrong_signatures():
    def with_default(clk, width=8):
        return []

    def with_rest(clk, *signals):
        return []

    with pytest.raises(TypeError, match="with_default: port width has a default"):
        module(with_default)
    with pytest.raises(TypeError, match="with_rest: parameter signals must be a port or keyword-only"):
        module(with_rest)


def test_memory_images(tmp_path):
    image = tmp_path / "image.hex"
    image.write_text("0f // first\n\n1_0 ff\n")
    assert read_hex_words(image, 4, 8) == [15, 16, 255]
    with pytest.raises(ValueError, match="3 words, but the memory holds 2"):
        read_hex_words(image, 2, 8)
    with pytest.raises(ValueError, match="image.hex:3: ff does not fit 7 bits"):
        read_hex_words(image, 4, 7)
    with pytest.raises(ValueError, match="style 'bram' is unknown"):
        memory([Signal(intbv(0)[8:])], style="bram")


def test_signed_memory_words_are_sign_extended(tmp_path):
    image = tmp_path / "image.hex"
    image.write_text("7f\n80\n")
    mem = [Signal(intbv(0, min=-128, max=128)) for _ in range(2)]
    memory(mem, preset=image)
    assert [int(word) for word in mem] == [127, -128]


def test_names():
    assert abbreviations(["width", "depth"]) == {"width": "w", "depth": "d"}
    assert abbreviations(["part_bits", "preset"]) == {"part_bits": "pa", "preset": "pr"}
    values = {"width": 64, "depth": -3, "signed": True, "swap": False, "rule": "half_up", "shape": (3, 5)}
    assert parameter_suffix(list(values), values) == "w64_dm3_signed_half_up_sh3x5"
    taken = set()
    assert [unique(name, taken) for name in ("a", "A", "a")] == ["a", "A_2", "a_3"]


def test_a_reset_port_keeps_its_kind(tmp_path):
    @module
    def counter(clk, rst, y):
        @always(clk.posedge)
        def run():
            if rst:
                y.next = 0
            else:
                y.next = y ^ 1

        return run

    clk, _, y = vectors()
    design = convert_design(lambda: counter(clk, ResetSignal(0, 1, False), y), "vhdl", tmp_path)
    assert [port.is_bool for port in design.ports] == [True, True, False]
