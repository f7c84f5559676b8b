"""A block diagram of a design: boxes are its blocks, arrows are checked against its wiring."""

from dataclasses import dataclass

from scripts.pictures.svg import Drawing
from scripts.pictures.wiring import PictureError, Wiring, blocks, find, kind, signal_named

WORD = 32  # bits from which on a connection counts as a stream of data


@dataclass(frozen=True)
class Box:
    """Where a block stands in the picture."""

    x: float
    y: float
    width: float
    height: float

    def side(self, letter, share=0.5):
        """The point on the left, right, top or bottom side (l, r, t, b), at this share of its length."""
        if letter in "lr":
            return self.x + self.width * (letter == "r"), self.y + self.height * share
        return self.x + self.width * share, self.y + self.height * (letter == "b")


def elbows(start, leaves, end, enters, turn=None):
    """Points of a line of right angles; turn: where the part in the middle lies, for sides of one direction."""
    (x1, y1), (x2, y2) = start, end
    if leaves in "lr" and enters in "lr":
        turn = (x1 + x2) / 2 if turn is None else turn
        return [start, end] if y1 == y2 else [start, (turn, y1), (turn, y2), end]
    if leaves in "tb" and enters in "tb":
        turn = (y1 + y2) / 2 if turn is None else turn
        return [start, end] if x1 == x2 else [start, (x1, turn), (x2, turn), end]
    return [start, (x2, y1) if leaves in "lr" else (x1, y2), end]


class Scene:
    """A picture of the blocks of `top`. Blocks are placed and connected by name; draw() looks whether that is true.

    plain: a build without options; blocks whose kind it lacks get a dashed border. whole: all blocks of `top` itself
    must be there, and every stream of data between those that are.
    """

    def __init__(self, width, height, title, top, plain, whole=False):
        self.drawing = Drawing(width, height, title)
        self.title, self.top = title, top
        self.plain = {kind(block) for block in _all_blocks(plain)}
        self.whole, self.frames = whole, [top] if whole else []
        self.boxes, self.blocks, self.arrows = {}, {}, []

    def frame(self, path, x, y, width, height):
        """A block that is drawn as a frame around its own blocks."""
        self.frames.append(find(self.top, path))
        self.drawing.group(x, y, width, height, path.split("/")[-1])

    def unframed(self, path):
        """A block that is drawn by its own blocks alone."""
        self.frames.append(find(self.top, path))

    def block(self, path, x, y, width, height, *notes, name="", style="block", also=()):
        """A block as a box. name: what it is called here and in the picture; also: kinds of other builds."""
        block = find(self.top, path)
        name = name or kind(block)
        optional = not self.plain & {kind(block), *also}
        self.boxes[name], self.blocks[name] = Box(x, y, width, height), block
        self.drawing.box(x, y, width, height, f"{style} option" if optional else style, name, *notes)

    def stream(self, source, target, sides="rl", shares=(0.5, 0.5), turn=None, at=None, port=""):
        """A connection that carries data; its label is the width of its widest Signal, or of a port of the target."""
        self.arrows.append(("stream", source, target, sides, shares, turn, (port, at)))

    def wire(self, source, target, sides="rl", shares=(0.5, 0.5), turn=None, label="", at=None):
        """A connection that steers: addresses, flags."""
        self.arrows.append(("wire", source, target, sides, shares, turn, (label, at)))

    def from_afar(self, source, target, side, share=0.5, length=26):
        """A connection from a block at the other end of the picture: a short arrow with that block's name."""
        self.arrows.append(("far", source, target, side, share, length, None))

    def wiring(self):
        """What drives what among the blocks placed so far."""
        return Wiring(self.top, self.blocks)

    def draw(self, ignored=()):
        """The SVG. ignored: blocks whose wide Signals are no streams of data (registers, descriptors).

        Raises PictureError where a block of a frame, or of the design itself, is missing or an arrow is not true.
        """
        self.check_blocks()
        wiring = self.wiring()
        drawn = {(source, target) for style, source, target, *_ in self.arrows if style == "stream"}
        missing = self.whole and {pair for pair in wiring.pairs(WORD) if not set(pair) & {*ignored}} - drawn
        if missing:
            raise PictureError(f"{self.title}: add the stream {' -> '.join(min(missing))} in scripts/pictures")
        for style, source, target, *rest in self.arrows:
            bits = wiring.width(source, target, WORD if style == "stream" and self.whole else 1)
            if not bits:
                raise PictureError(f"{self.title}: {source} drives nothing that {target} reads; remove the arrow")
            self.draw_arrow(style, source, target, bits, *rest)
        return str(self.drawing)

    def check_blocks(self):
        known = {id(block) for block in (*self.blocks.values(), *self.frames)}
        for frame in self.frames:
            for block in blocks(frame):
                if id(block) not in known:
                    raise PictureError(
                        f"{self.title}: {kind(frame)} has a block {kind(block)}; place it in scripts/pictures"
                    )

    def draw_arrow(self, style, source, target, bits, sides, shares, turn, extra):
        if style == "far":
            x, y = self.boxes[target].side(sides, shares)
            dx, dy = {"l": (-1, 0), "r": (1, 0), "t": (0, -1), "b": (0, 1)}[sides]
            start = (x + dx * turn, y + dy * turn)
            self.drawing.arrow([start, (x, y)], "wire")
            self.drawing.text(start[0] + 4 * dx, start[1] + 9 * dy, source, "small")
            return
        start = self.boxes[source].side(sides[0], shares[0])
        end = self.boxes[target].side(sides[1], shares[1])
        points = elbows(start, sides[0], end, sides[1], turn)
        if style == "stream":
            port, at = extra
            bits = len(signal_named(self.blocks[target], port)) if port else bits
            self.drawing.arrow(points, "stream", str(bits), at)
        else:
            self.drawing.arrow(points, "wire", *extra)


def _all_blocks(block):
    yield block
    for child in blocks(block):
        yield from _all_blocks(child)
