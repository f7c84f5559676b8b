"""The types that annotations share: what a function takes and gives. Nothing here runs."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]  # what the arithmetic and the integer graph compute with
Reals: TypeAlias = NDArray[np.float64]
Floats: TypeAlias = NDArray[np.float32]
Flags: TypeAlias = NDArray[np.bool_]
Bytes: TypeAlias = NDArray[np.uint8]
Array: TypeAlias = NDArray[np.generic]  # of an element type that is looked at before it is used
StrPath: TypeAlias = str | os.PathLike[str]
Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"  # to write
Notes: TypeAlias = dict[str, Any]  # as read: plain JSON values, whose readers know the keys
