"""The errors that a user may cause.

Every message is one sentence that names the object, the rule, the actual value and the remedy, for example
``conv2: OC=65 needs 5 output tiles of 16 but the weight bank holds 4; raise weight_depth to
640 or lower rows``.
A command catches `BitloomError` in one place (`accel.cli`), prints it after ``error:`` and exits with code 2.
"""


class BitloomError(Exception):
    """Base of all errors that are the input's fault and not the program's."""


class ModelError(BitloomError):
    """A graph or a model directory is wrong: shape, type, field, file or checksum."""


class UnsupportedError(BitloomError):
    """A layer, attribute or option that is understood but not supported."""


class RangeError(BitloomError):
    """A number is outside its range: overflow, NaN, infinity."""


class FitError(BitloomError):
    """A network does not fit the chosen hardware configuration."""


class DataError(BitloomError):
    """A data set or image file is missing or damaged."""


class TargetError(BitloomError):
    """A target is unknown, or a tool that is needed is missing."""


class OutputError(BitloomError):
    """An output cannot be written."""
