"""Descriptor fields as signals: the RTL's side of the field table."""

from accel.descriptor import FIELDS
from accel.rtl.parts.module import named


def field(layer, name, bits=None):
    """Slice of the descriptor vector `layer` that carries field `name`; only its low `bits` bits if given.

    The converted text has it as a wire of the field's name (layer_qmin).

    Whoever loads the descriptor has compared it with the field's limit, so the bits that are cut off are zero.
    """
    position = FIELDS[name]
    if position.bits == 1:
        return named(layer(position.base), name)
    return named(layer(position.base + min(bits or position.bits, position.bits), position.base), name)


def layer_fields(kind, layer, **bits):
    """The bundle `kind` (of accel.rtl.parts.bundles.fields) of the descriptor vector `layer`.

    bits: {field: number of its low bits}, of fields that a build needs only in part.
    """
    return kind(*[field(layer, name, bits.get(name)) for name in kind.members])
