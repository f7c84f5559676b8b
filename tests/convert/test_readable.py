"""The text reads as the Python does: names for numbers and for slices, comments, module names that a person can say."""

import pytest
from myhdl import ConcatSignal, ResetSignal, Signal, always, always_comb, always_seq, block, concat, intbv, modbv

from accel.hdl.indices import tidy_verilog, tidy_vhdl
from accel.hdl.naming import module_suffixes
from accel.hdl.ports import Port
from accel.hdl.variables import loop_variables, origins
from accel.hdl.widths import fit_constants, write_widths
from accel.rtl.parts.module import module, named
from sim.engines.verilator_build import lint
from tests.convert.cosimulation import check

TAG, MASK = 5, 0x8000_0001
WORDS = 3  # also the width of a port
HDLS = ("verilog", "vhdl")


@block
def _delayed(clk, x, y, *, step):
    @always(clk.posedge)
    def take():
        y.next = x + step

    return take


@module
def labelled(clk, rst, word, words, y, late, *, step):
    """Numbers with names in every place where a process may have one."""
    top = step + WORDS - 1
    low = len(word) - 8
    tag = named(word(8, 4), "tag")
    enable = named(word(3), "enable")
    one, two, *many = [Signal(modbv(0)[8:]) for _ in range(4)]
    wide = Signal(intbv(0)[40:])

    # The tag is compared one cycle
    # after the words.
    @always_seq(clk.posedge, reset=rst)
    def follow():
        """Moves with y <= x + (3 - 1), `step` words."""
        if words == top:
            y.next = 0
        # [24-1:0] stays as it is here
        elif enable and tag == TAG:
            y.next = word[32:low] + step  # cannot overflow
        elif word[low + 2 : low] == WORDS:  # the lowest
            y.next = TAG

    @always_comb
    def spread():
        wide.next = 0
        if concat(word, word[8:]) & MASK != 0:
            # neither bit
            wide.next = MASK

    steps = [_delayed(clk, word(8, 0), many[i], step=4 * i + 2) for i in range(2)]
    first = _delayed(clk, word(8, 0), one, step=TAG)
    second = _delayed(clk, one, two, step=step)
    joined = ConcatSignal(wide, two, *many)

    @always_comb
    def show():
        late.next = joined

    return follow, spread, steps, first, second, show


def labelled_ports():
    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "word": Signal(intbv(0)[32:]),
        "words": Signal(intbv(0)[4:]),
        "y": Signal(intbv(0)[9:]),
        "late": Signal(intbv(0)[64:]),
    }


@pytest.fixture(scope="module", params=HDLS)
def design(request, tmp_path_factory):
    """The block behaves as in Python; its design."""
    folder = tmp_path_factory.mktemp(request.param)
    return check(labelled, labelled_ports, ("y", "late"), folder, hdl=request.param, step=8)


def test_numbers_and_slices_have_their_names(design):
    text = design.modules[0].text
    expected = {
        "verilog": (
            "localparam TOP = 10;  // step + WORDS - 1",
            "localparam TAG = 5;",
            "localparam LOW = 24;  // len(word) - 8",
            "localparam STEP = 8;",
            "localparam C_WORDS = 3;",  # there is a port of that name
            "localparam MASK = 40'h0080000001;",
            "localparam FIRST_STEP = 5;",
            "wire [3:0] word_tag = word[7:4];",
            "wire word_enable = word[3];",
            "if (words == TOP)",
            "if (word_enable && (word_tag == TAG))",
            "word[31:LOW]",
            "word[LOW+:2] == C_WORDS",
            "wide = MASK",
        ),
        "vhdl": (
            "constant TOP: natural := 10;  -- step + WORDS - 1",
            "constant TAG: natural := 5;",
            "constant C_WORDS: natural := 3;",
            'constant MASK: unsigned(39 downto 0) := x"0080000001";',
            "alias word_tag: unsigned(3 downto 0) is word(7 downto 4);",
            "alias word_enable: std_logic is word(3);",
            "if (words = TOP) then",
            "(word_tag = TAG)",
            "word(LOW + 1 downto LOW) = C_WORDS",
        ),
    }[design.hdl]
    for part in expected:
        assert part in text, part
    assert "SECOND_STEP" not in text  # the module's own name for that value
    assert "STEPS" not in text  # several values


def test_comments_are_carried_over(design):
    sign = {"verilog": "//", "vhdl": "--"}[design.hdl]
    lines = [line.strip() for line in design.modules[0].text.splitlines()]
    place = lines.index(f"{sign} The tag is compared one cycle")
    assert lines[place + 1 : place + 3] == [
        f"{sign} after the words.",
        f"{sign} Moves with y <= x + (3 - 1), `step` words.",
    ]
    assert lines[place + 3].startswith(("always @(posedge clk) begin: follow", "follow: process"))
    for comment in ("[24-1:0] stays as it is here", "cannot overflow", "the lowest", "neither bit"):
        assert lines.count(f"{sign} {comment}") == 1, comment


def test_the_linter_has_nothing_to_say(design):
    if design.hdl == "verilog":
        assert lint(design.files, design.top) == ""


def test_constants_take_the_width_of_their_uses():
    ports = [Port("x", "in", 40, False, False), Port("y", "in", 36, False, False), Port("n", "in", 3, False, False)]
    numbers = {"BIT": "33'h180000000", "LANES": "4", "BOTH": "33'h100000000"}
    body = "assign a = x & BIT;\nassign b = n == LANES - 1;\n"
    body += "assign c = (x | BOTH) == {y, 4'h0} + BOTH;\nassign d = y + BOTH;"
    declared = "wire [39:0] a;\nwire b, c;\nwire [35:0] d;\n"
    fitted = fit_constants(declared + body, ports, numbers)
    assert fitted == {"BIT": "40'h180000000", "LANES": "4", "BOTH": "33'h100000000"}
    text = write_widths(declared + body, ports, fitted)
    assert "assign a = x & BIT;" in text and "assign b = n == LANES - 1;" in text
    assert "assign d = y + 36'h100000000;" in text  # another width elsewhere
    narrow = write_widths(declared + "assign b = n[1:0] == LANES - 1;", ports, numbers)
    assert "assign b = n[1:0] == 3;" in narrow  # 4 does not fit two bits


@pytest.mark.parametrize(
    ("bound", "shorter"),
    (
        ("24-1:LOW", "23:LOW"),
        ("(LAST - 1)-1:0", "LAST - 2:0"),
        ("(2 * LAST)-1:((2 * LAST) - 2)", "2 * LAST - 1:2 * LAST - 2"),
        ("((A - 1) * 8)-1:(A - (B - 1))", "(A - 1) * 8 - 1:A - B + 1"),
        ("(0 - A)-1:0", "(0 - A)-1:0"),
        ("(A ** 2)-1:0", "(A ** 2)-1:0"),
    ),
)
def test_bounds_of_slices(bound, shorter):
    high, low = bound.split(":")
    assert tidy_verilog(f"x[{bound}] + y[(A - 1)]") == f"x[{shorter}] + y[A - 1]"
    text = f"f(x({high} downto {low}) & '1') + y((A - 1))"
    assert tidy_vhdl(text) == f"f(x({shorter.replace(':', ' downto ')}) & '1') + y(A - 1)"


def test_what_names_come_from():
    def example(config, *, depth):
        bits = config.bits + (depth - 1)
        twice = 1
        twice = twice + bits
        for index in range(depth):
            last = index * 2
        plain = 3
        return bits, twice, last, plain

    assert origins(example) == {"bits": "config.bits + (depth - 1)", "last": "index * 2"}
    assert loop_variables(example) == {"index"}


def test_long_suffixes_keep_what_differs():
    names = ["number", "modes", "late"]
    many = [{"number": i, "modes": tuple(range(8)), "late": i == 1} for i in range(2)]
    assert module_suffixes(names, many) == ["n0", "n1_late"]
    assert module_suffixes(names, many[:1]) == [""]
    short = [{"number": 3, "modes": (8, 4)}]
    assert module_suffixes(names, short) == ["n3_m8x4"]
    huge = [{"modes": tuple(range(100, 130 + i))} for i in range(2)]
    first, second = module_suffixes(names, huge)
    assert first != second and len(first) == len(second) == 7 and module_suffixes(names, huge[::-1])[0] == second
