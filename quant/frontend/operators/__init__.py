"""What the front end does with each operator: a table from its plain name to a handler.

A handler takes the Reader and the operator's arguments by the names of its schema (`self` and `input` are x):
activations as Values, parameters as Constants. It returns the Value of the result, or a tuple of them.
"""

from quant.frontend.operators import activations, affine, ends, layers, pools, views
from quant.frontend.values import Handler

OPERATORS: dict[str, Handler] = {
    **layers.OPERATORS,
    **affine.OPERATORS,
    **activations.OPERATORS,
    **pools.OPERATORS,
    **views.OPERATORS,
    **ends.OPERATORS,
}
