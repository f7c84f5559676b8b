"""The one memory block: simple dual port, a write port with part enables and a registered read port."""

from pathlib import Path

from myhdl import always, block

from accel.rtl.parts.module import module, read_hex_words

RAM_LATENCY = 1

_VERILOG = """\
{attribute} reg [{top}:0] mem [0:{last}];
{integers}
{initial}
always @(posedge $clk) begin
    {write}
    {read}
end"""

_VHDL = """\
storage: block is
    type memory_type is array (0 to {last}) of std_logic_vector({top} downto 0);
{loader}
    signal mem: memory_type := {initial};
{attribute}
begin
    process ($clk) is
    begin
        if rising_edge($clk) then
            {write}
            {read}
        end if;
    end process;
end block storage;"""

_VHDL_LOADER = """\
    impure function load return memory_type is
        file source: text open read_mode is "{preset}";
        variable row: line;
        variable word: std_logic_vector({padded} downto 0);
        variable words: memory_type := (others => (others => '0'));
    begin
        for i in words'range loop
            readline(source, row);
            hread(row, word);
            words(i) := word({top} downto 0);
        end loop;
        return words;
    end function;"""


@module
def ram(clk, we, waddr, wdata, re, raddr, rdata, *, depth, part_bits=0, preset="", style=""):
    """Simple dual-port memory of `depth` words, one clock.

    we, waddr, wdata: write port. we is a bool when a word is one part, else one bit for each part of part_bits bits,
    part 0 in the low bits of wdata.
    re, raddr, rdata: read port. rdata is a register that takes the word at raddr where re is high and holds
    otherwise; re is None for a port that reads in every cycle. A read of the word that is written in the same cycle
    gives the old contents.
    depth: words; addresses are exactly wide enough for it, so a power of two cannot be left.
    part_bits: bits of a separately enabled part (0: the whole word). preset: a $readmemh file of `depth` words,
    one a line, that the memory starts with, or "" for zeros. style: "block", "distributed", "ultra", or "" where the
    synthesizer chooses.
    Latency RAM_LATENCY (1), a read and a write every cycle, never stalls; the contents have no reset.
    """
    width = len(wdata)
    part_bits = part_bits or width
    parts = width // part_bits
    if len(rdata) != width or parts * part_bits != width:
        raise ValueError(
            f"ram: words of {width} bits, parts of {part_bits} and a read port of {len(rdata)} bits do not match"
        )
    if (len(we) or 1) != parts:
        raise ValueError(f"ram: {parts} parts need as many write enables, not {len(we)}")
    address_bits = max(1, (depth - 1).bit_length())
    if len(waddr) != address_bits or len(raddr) != address_bits:
        raise ValueError(f"ram: {depth} words need addresses of {address_bits} bits, not {len(waddr)} and {len(raddr)}")
    if style not in ("", "block", "distributed", "ultra"):
        raise ValueError(f"ram: style {style!r} is unknown; choose block, distributed, ultra or an empty string")

    storage.verilog_code = _verilog_code(width, part_bits, depth, re is not None, preset, style)
    storage.vhdl_code = _vhdl_code(width, part_bits, depth, re is not None, preset, style)
    words = storage(clk, we, waddr, wdata, re, raddr, rdata, depth=depth, part_bits=part_bits, preset=preset)
    for port in (clk, we, waddr, wdata, re, raddr):
        if port is not None:
            port.read = True
    rdata.driven = "reg"
    return words


@block
def storage(clk, we, waddr, wdata, re, raddr, rdata, *, depth, part_bits, preset):
    """The simulation model: one Python integer a word. Its converted text is the templates above."""
    mem = [0] * depth
    if preset:
        mem[:] = read_hex_words(preset, depth, len(wdata))
        if len(mem) != depth:
            raise ValueError(f"ram: {preset} holds {len(mem)} words, the memory {depth}; the image must fill it")
    parts = len(wdata) // part_bits
    masks = [((1 << part_bits) - 1) << part_bits * i for i in range(parts)]

    @always(clk.posedge)
    def access():
        if re is None or re:
            rdata.next = mem[int(raddr)]
        if we:
            enables, mask = int(we), 0
            for i in range(parts):
                if enables >> i & 1:
                    mask |= masks[i]
            mem[int(waddr)] = mem[int(waddr)] & ~mask | int(wdata) & mask

    return access


def _fill(template, **values):
    """Fill in the template and drop empty lines; MyHDL replaces the port names ($clk ...) later."""
    return "\n".join(line for line in template.format(**values).splitlines() if line.strip())


def _verilog_code(width, part_bits, depth, has_enable, preset, style):
    parts = width // part_bits
    if parts == 1:
        write = "if ($we) mem[$waddr] <= $wdata;"
    else:
        write = (
            f"for (part = 0; part < {parts}; part = part + 1)\n"
            f"        if ($we[part]) mem[$waddr][part*{part_bits} +: {part_bits}] <= "
            f"$wdata[part*{part_bits} +: {part_bits}];"
        )
    return _fill(
        _VERILOG,
        attribute=f'(* ram_style = "{style}" *)' if style else "",
        top=width - 1,
        last=depth - 1,
        integers="\n".join(["integer part;"] * (parts > 1) + ["integer word;"] * (not preset)),
        initial=f'initial $$readmemh("{Path(preset).name}", mem);'
        if preset
        else f"initial for (word = 0; word < {depth}; word = word + 1) mem[word] = 0;",
        write=write,
        read=("if ($re) " if has_enable else "") + "$rdata <= mem[$raddr];",
    ).strip()


def _vhdl_code(width, part_bits, depth, has_enable, preset, style):
    parts = width // part_bits
    if parts == 1:
        write = "if $we = '1' then mem(to_integer($waddr)) <= std_logic_vector($wdata); end if;"
    else:
        part = f"part*{part_bits} + {part_bits - 1} downto part*{part_bits}"
        write = (
            f"for part in 0 to {parts - 1} loop\n"
            f"                if $we(part) = '1' then\n"
            f"                    mem(to_integer($waddr))({part}) <= std_logic_vector($wdata({part}));\n"
            "                end if;\n            end loop;"
        )
    read = "$rdata <= unsigned(mem(to_integer($raddr)));"
    if has_enable:
        read = f"if $re = '1' then {read} end if;"
    attribute = ""
    if style:
        attribute = f'    attribute ram_style: string;\n    attribute ram_style of mem: signal is "{style}";'
    shape = {"top": width - 1, "last": depth - 1}
    loader = _VHDL_LOADER.format(preset=Path(preset).name, padded=4 * -(-width // 4) - 1, **shape) if preset else ""
    initial = "load" if preset else "(others => (others => '0'))"
    return _fill(_VHDL, loader=loader, initial=initial, attribute=attribute, write=write, read=read, **shape)
