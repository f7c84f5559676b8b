"""Widths written out mean what Verilog does by itself: random expressions in Icarus, with and without."""

import random
import re
import subprocess

import pytest

from accel.hdl.ports import Port
from accel.hdl.widths import write_widths
from sim.engines.verilator_build import lint

UNSIGNED, SIGNED = {"a": 1, "b": 3, "c": 9, "d": 40}, {"s": 2, "t": 8, "u": 35}
PORTS = [Port(name, "in", bits, name in SIGNED, False) for name, bits in (UNSIGNED | SIGNED).items()]
ARITHMETIC = ("+", "-", "*", "&", "|", "^")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
NUMBERS = ("1", "5", "12'h0ff", "4'sd3", "'h2")


def leaf(rng):
    port = rng.choice(PORTS)
    if port.width == 1:
        return port.name
    low = rng.randrange(port.width - 1)
    part = f"{port.name}[{rng.randrange(low + 1, port.width)}:{low}]"
    return rng.choice(
        (
            port.name,
            port.name,
            part,
            f"$signed({part})",
            f"$signed({{1'b0, {port.name}}})",
            f"{{{part}, {port.name}}}",
            f"{port.name}[{low}]",
            rng.choice(NUMBERS),
        )
    )


def expression(rng, depth):
    """Text of a random expression."""
    kind = rng.randrange(8) if depth else 0
    if kind == 0:
        return leaf(rng)
    inner = expression(rng, depth - 1)
    if kind == 1:
        return f"(~{inner})"
    if kind == 2:
        shift = f"{inner} {rng.choice(('<<', '>>', '>>>'))} {rng.choice(('2', 'b'))}"
        return rng.choice((f"({shift})", f"$signed({shift})"))
    if kind == 3:
        return f"({inner} {rng.choice(COMPARISONS)} {expression(rng, depth - 1)})"
    if kind == 4:
        return f"({inner} && (!{expression(rng, depth - 1)}))"
    return f"({inner} {rng.choice(ARITHMETIC)} {expression(rng, depth - 1)})"


def module(statements):
    """A module of numbered results, and its text with the widths written out."""
    body = "".join(f"reg signed [{bits - 1}:0] r{number};\n" for number, (bits, _) in enumerate(statements))
    body += (
        "always @* begin\n"
        + "".join(f"    r{number} = {text};\n" for number, (_, text) in enumerate(statements))
        + "end"
    )
    return body, write_widths(body, PORTS)


@pytest.mark.parametrize("seed", (1, 2))
def test_random_expressions_keep_their_values(seed, tmp_path):
    rng = random.Random(seed)
    statements = [(rng.choice((1, 4, 12, 33, 64)), expression(rng, rng.randrange(4))) for _ in range(400)]
    before, after = module(statements)
    changed = sum(old != new for old, new in zip(before.splitlines(), after.splitlines(), strict=True))
    assert changed > 150
    signals = [f"{'signed ' * port.signed}[{port.width - 1}:0] {port.name}" for port in PORTS]
    ports, names = ", ".join(f"input {signal}" for signal in signals), ", ".join(port.name for port in PORTS)
    checks = "\n".join(
        f'        if (old.r{i} !== new.r{i}) $display("DIFFERS %0d", {i});' for i in range(len(statements))
    )
    (tmp_path / "bench.v").write_text(f"""
module old_text ({ports}); {before}
endmodule
module new_text ({ports}); {after}
endmodule
module bench;
    reg {"; reg ".join(signals)};
    old_text old ({names});
    new_text new ({names});
    integer round;
    initial for (round = 0; round < 200; round = round + 1) begin
        {{{names}}} = {{$random, $random, $random, $random}};
        if (round % 4 == 0) {{{names}}} = round % 8 == 0 ? 0 : ~128'd0;
        #1;
{checks}
    end
endmodule
""")
    subprocess.run(["iverilog", "-g2005", "-s", "bench", "-o", "bench.vvp", "bench.v"], cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "-n", "bench.vvp"], cwd=tmp_path, capture_output=True, text=True)
    wrong = sorted({int(number) for number in re.findall(r"DIFFERS (\d+)", done.stdout)})
    assert done.returncode == 0 and not wrong, [statements[number] for number in wrong[:3]]


@pytest.mark.parametrize(
    ("text", "written"),
    (
        ("    d <= c;", "    d <= {31'b0, c};"),
        (
            "    if (b < d) u <= t + s;",
            "    if ({37'b0, b} < d) u <= $signed({{27{t[7]}}, t}) + $signed({{33{s[1]}}, s});",
        ),
        ("    else if (c == 5) c <= c - 1;", "    else if (c == 5) c <= c - 1;"),
        ("        'h2: u = $signed(c[8:1]);", "        'h2: u = $signed({{27{c[8]}}, c[8:1]});"),
        ("assign d[8:2] = {b, a};", "assign d[8:2] = {3'b0, b, a};"),
        ("    u <= u + $signed({1'b0, b});", "    u <= u + $signed({32'b0, b});"),
        ("    m[b] <= m[c] + c;", "    m[b] <= m[c] + {1'b0, c};"),
        ("    u <= $signed(b + d[3:0]);", "    u <= $signed(b + d[3:0]);"),  # a sum has no bit that could be named
        ("    u <= $signed(t >>> 1);", "    u <= $signed($signed({{27{t[7]}}, t}) >>> 1);"),
        ("    unknown <= b;", "    unknown <= b;"),
    ),
)
def test_what_is_written(text, written):
    declared = "reg signed [9:0] m [0:7];"
    assert write_widths(f"{declared}\n{text}", PORTS) == f"{declared}\n{written}"


def test_the_linter_sees_no_narrow_operand(tmp_path):
    path = tmp_path / "sums.v"
    head = "module sums (input wire [8:0] c, input wire signed [7:0] t, output wire signed [11:0] x, output wire y);\n"
    body = "assign x = t + $signed({1'b0, c[3:0]});\nassign y = c[2:0] > c || c[8];"
    ports = [
        Port("c", "in", 9, False, False),
        Port("t", "in", 8, True, False),
        Port("x", "out", 12, True, False),
        Port("y", "out", 1, False, True),
    ]
    path.write_text(f"{head}{body}\nendmodule\n")
    assert lint([path], "sums").count("%Warning-WIDTHEXPAND") == 3
    path.write_text(f"{head}{write_widths(body, ports)}\nendmodule\n")
    assert lint([path], "sums") == ""
