"""The error of a block that cannot be converted (a fault in the block, not in a user's input)."""


class ConversionError(Exception):
    """A block breaks a rule of conversion. The message names block, object, rule and remedy."""
