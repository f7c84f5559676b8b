"""All that is refused in one network, as one error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.errors import UnsupportedError

if TYPE_CHECKING:
    from accel.errors import BitloomError

SUPPORTED = "Conv2d, Linear, ReLU, ReLU6, Hardtanh, MaxPool2d, ZeroPad2d, Flatten, Dropout, BatchNorm1d, BatchNorm2d"
PLAIN = " is not supported"
SHOWN = 10


class Refusals:
    """Refused layers in the order of the network: one sentence each, which begins with the layer's name."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, type[BitloomError]]] = {}

    def add(self, label: str, text: str, kind: type[BitloomError]) -> None:
        """Keep the sentence of a layer; only the first one of each layer counts. kind: class of the error."""
        self._found.setdefault(label, (text, kind))

    def has(self, label: str) -> bool:
        """True where the layer is refused already."""
        return label in self._found

    def check(self, name: str) -> None:
        """Raise one error with every refusal of the network `name`, at most SHOWN of them in words."""
        if not self._found:
            return
        texts, kinds = zip(*self._found.values(), strict=True)
        if len(texts) == 1:
            raise kinds[0](texts[0] + (f"; use {SUPPORTED}" if texts[0].endswith(PLAIN) else ""))
        kind = kinds[0] if len(set(kinds)) == 1 else UnsupportedError
        shown = self._grouped()
        if len(texts) > SHOWN:
            shown.append(f"and {len(texts) - SHOWN} more")
        remedy = f"; use {SUPPORTED}" if any(text.endswith(PLAIN) for text in texts) else ""
        raise kind(f"{name}: cannot be read for {len(texts)} reasons: {'; '.join(shown)}{remedy}")

    def _grouped(self) -> list[str]:
        """The first SHOWN refusals, layers with the same reason in one sentence."""
        groups: dict[str, list[str]] = {}
        for label, (text, _) in list(self._found.items())[:SHOWN]:
            start = label if text.startswith(label) else ""
            groups.setdefault(text.removeprefix(start), []).append(start)
        return [
            f"{', '.join(labels)}{' are not supported' if reason == PLAIN and len(labels) > 1 else reason}"
            for reason, labels in groups.items()
        ]

    def __bool__(self) -> bool:
        return bool(self._found)
