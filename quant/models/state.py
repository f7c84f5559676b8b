"""Which tensors of a file are a network's: its state dictionary under wrappers and prefixes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "weights",
    "module",
    "net",
    "network",
    "ema",
    "model_ema",
    "ema_state_dict",
)
MAX_DEPTH = 3
MAX_PREFIXES = 8
MAX_CANDIDATES = 64
OPTIONAL = "num_batches_tracked"  # counts training steps; nothing reads it afterwards
_INSIDE = re.compile(r"(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")


@dataclass(frozen=True)
class Fit:
    """How the tensors of one dictionary of a file meet a network's names.

    place: the wrappers around the dictionary, '' for none; prefix: what the file's names have in front, own_prefix:
    what the network's have. tensors: the dictionary. names: {network's name: file's name}; missing, extra: sorted names
    that the file lacks and that the network lacks.
    """

    place: str
    prefix: str
    own_prefix: str
    tensors: dict[str, torch.Tensor]
    names: dict[str, str]
    missing: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def faults(self) -> int:
        return len(self.missing) + len(self.extra)


def find(content: object, wanted: Mapping[str, torch.Tensor]) -> Fit | None:
    """The Fit of the first dictionary in a file's content that has exactly the wanted names, else of the nearest one.

    content: whatever the file holds; wanted: {name: tensor} of the network, in which equal tensors are tied. None where
    the content has no dictionary of named tensors.
    """
    best = None
    for place, tensors in _candidates(content):
        for fit in _fits(place, tensors, wanted):
            if not fit.faults:
                return fit
            if best is None or fit.faults < best.faults:
                best = fit
    return best


def _candidates(content: object) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """(place, {name: tensor}) of the dictionaries of named tensors, the outermost first and known wrappers before
    others."""
    pending: list[tuple[str, object]] = [("", content)]
    seen: set[int] = set()
    while pending and len(seen) < MAX_CANDIDATES:
        place, found = pending.pop(0)
        if not isinstance(found, dict) or id(found) in seen:
            continue
        seen.add(id(found))
        tensors = {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}
        if tensors and all(isinstance(name, str) for name in tensors):
            yield place, tensors
        if place.count(".") < MAX_DEPTH - 1:
            inner = sorted(
                (name for name, value in found.items() if isinstance(name, str) and isinstance(value, dict)),
                key=lambda name: WRAPPERS.index(name) if name in WRAPPERS else len(WRAPPERS),
            )
            pending += [(f"{place}.{name}" if place else name, found[name]) for name in inner]


def _fits(place: str, tensors: dict[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> Iterator[Fit]:
    """Fits of one dictionary, with every prefix that all names of the file or of the network share."""
    theirs = {_INSIDE.sub(r"\1", name): name for name in tensors}
    own = {_INSIDE.sub(r"\1", name): name for name in wanted}
    can_fit = len(theirs) <= 2 * len(own)
    for prefix in _prefixes(theirs) if can_fit else [""]:
        for own_prefix in _prefixes(own) if can_fit else [""]:
            left = {name[len(prefix) :]: full for name, full in theirs.items()}
            names = {full: left.pop(name[len(own_prefix) :], None) for name, full in own.items()}
            names = _tied(names, wanted)
            missing = sorted(name for name, full in names.items() if full is None and not name.endswith(OPTIONAL))
            extra = sorted(full for full in left.values() if not full.endswith(OPTIONAL))
            found = {name: full for name, full in names.items() if full is not None}
            yield Fit(place, prefix, own_prefix, tensors, found, tuple(missing), tuple(extra))


def _prefixes(names: Iterable[str]) -> list[str]:
    """'' and what all names have in front, up to each dot."""
    shared = os.path.commonprefix(list(names))
    dots = [place + 1 for place, char in enumerate(shared) if char == "."]
    return ["", *(shared[:place] for place in dots[:MAX_PREFIXES])]


def _tied(names: dict[str, str | None], wanted: Mapping[str, torch.Tensor]) -> dict[str, str | None]:
    """The same names, where one that the file lacks takes the tensor of the name that it is tied to."""
    known = {id(wanted[name]): full for name, full in names.items() if full is not None}
    return {name: full or known.get(id(wanted[name])) for name, full in names.items()}
