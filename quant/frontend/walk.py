"""One pass over a captured graph: each node is handed to the handler of its operator, whatever the graph's shape."""

from __future__ import annotations

import operator as python_operator
from typing import TYPE_CHECKING

import torch
from torch.utils._pytree import tree_flatten, tree_map

from accel.errors import BitloomError, UnsupportedError
from quant.frontend import names
from quant.frontend.capture import PROBE_BATCH, Constant
from quant.frontend.operators import OPERATORS, views
from quant.frontend.reader import Reader
from quant.frontend.refusals import Refusals
from quant.frontend.values import Unknown, Value, network_input

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from torch.fx import Node

    from quant.frontend.capture import Captured
    from quant.frontend.floatnet import Shape

SHAPE_ONLY = ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")
CHECKS = ("_assert_tensor_metadata",)
INLINED = ("wrap_with_set_grad_enabled", "wrap_with_autocast")


class Walk:
    """What each node stands for: a Value, a Constant, a tuple of them, Unknown behind a refused layer, or None.

    captured: Captured. module: the nn.Module that it was captured from. input_shape: (H, W, C). The layers gather in
    `reader`, what is refused in `refusals`.
    """

    def __init__(self, captured: Captured, module: torch.nn.Module, input_shape: Shape) -> None:
        self.reader, self.refusals, self.names = Reader(), Refusals(), names.Names(module)
        image = network_input(input_shape, captured.input.meta["val"].shape[1:])
        self.found: dict[Node, Any] = {**captured.constants, captured.input: image}
        self.roots: dict[Node, Node] = {}

    def run(self, graph: torch.fx.Graph) -> Any:
        """What the graph's output stands for, in its own tuples."""
        graph.eliminate_dead_code()
        self.roots.update({node: node for node in graph.nodes})
        order = {node: place for place, node in enumerate(graph.nodes)}
        for node in graph.nodes:
            if node.op == "get_attr":
                value = getattr(graph.owning_module, node.target)
                self.found[node] = Constant(value, node.target) if isinstance(value, torch.Tensor) else value
            elif node.op == "call_function":
                self.found[node] = self._step(node, order)
            elif node.op == "output":
                return self._look(node.args[0])

    def finish(self, result: object, name: str) -> None:
        """Check what the network returns."""
        try:
            if not isinstance(result, (Value, Unknown)) or not self.reader.layers:
                raise UnsupportedError(f"{name}: holds no layer that computes; give a network with Conv2d or Linear")
            self.reader.label = "the output"
            if isinstance(result, Value) and not self.refusals:
                self.reader.finish(result)
        except BitloomError as error:
            self.refusals.add(name, str(error), type(error))

    def _look(self, argument: Any) -> Any:
        """An argument of a node with what its nodes stand for."""
        return tree_map(lambda item: self.found[item] if isinstance(item, torch.fx.Node) else item, argument)

    def _step(self, node: Node, order: Mapping[Node, int]) -> Any:
        name = names.operator(node)
        if name in CHECKS:
            return None
        if node.target is python_operator.getitem:
            whole, index = self._look(node.args)
            return whole[index] if isinstance(whole, (tuple, list)) else whole
        if name in INLINED:
            return self._inline(node)
        self.reader.label, self.reader.node = self.names.label(node), node
        try:
            arguments = self._arguments(node)
            inputs = [item for item in tree_flatten(arguments)[0] if isinstance(item, (Value, Unknown))]
            if not inputs or name in SHAPE_ONLY:
                return self._constant(node)
            return self._handle(node, name, arguments, inputs, order)
        except BitloomError as error:
            self.refusals.add(self.reader.label, self._reason(node, error), type(error))
            return self._stand_in(node)

    def _handle(
        self, node: Node, name: str, arguments: dict[str, Any], inputs: Sequence[object], order: Mapping[Node, int]
    ) -> Any:
        """The Value that the operator's handler makes."""
        if self.refusals.has(self.reader.label):
            return self._stand_in(node)
        overload = getattr(node.target, "_overloadname", "")
        handler = OPERATORS.get(f"{name}.{overload}", OPERATORS.get(name))
        if handler is None:
            raise UnsupportedError(f"{self.reader.label} is not supported")
        if any(isinstance(item, Unknown) for item in inputs):
            return self._stand_in(node)
        self._check_aliases(node, name, order)
        sources = [item.source for item in arguments.values() if isinstance(item, Constant)]
        self.reader.base = self.names.base(node, next(iter(sources), ""))
        return handler(self.reader, **arguments)

    def _arguments(self, node: Node) -> dict[str, Any]:
        """{name in the operator's schema: what was given, or the default}; `self` and `input` are x."""
        schema = getattr(node.target, "_schema", None)
        if schema is None:
            return {str(place): item for place, item in enumerate(self._look(list(node.args)))}
        given = dict(zip((item.name for item in schema.arguments), node.args, strict=False)) | node.kwargs
        values = {
            item.name: self._look(given[item.name]) if item.name in given else item.default_value
            for item in schema.arguments
            if item.name in given or item.has_default_value()
        }
        return {"x" if key in ("self", "input") else key: value for key, value in values.items()}

    def _constant(self, node: Node) -> Any:
        """The Constant that an operator makes of constants, computed as the network does it, in its own dtype."""
        target: Any = node.target
        if torch.Tag.nondeterministic_seeded in getattr(target, "tags", ()):
            self.reader.refuse("draws random numbers at inference; use a constant")
        sources = []

        def plain(item: Any) -> Any:
            if not isinstance(item, torch.fx.Node):
                return item
            value = self.found[item]
            if isinstance(value, Constant):
                sources.append(value.source)
                return value.tensor
            if isinstance(value, (Value, Unknown)):
                return torch.empty(item.meta["val"].shape, dtype=item.meta["val"].dtype)
            return value

        args, kwargs = tree_map(plain, (list(node.args), dict(node.kwargs)))
        with torch.no_grad():
            result = target(*args, **kwargs)
        source = next(iter(sources), "")
        return tree_map(lambda item: Constant(item, source) if isinstance(item, torch.Tensor) else item, result)

    def _check_aliases(self, node: Node, name: str, order: Mapping[Node, int]) -> None:
        """Refuse a change in place of what another, later read view shows as well."""
        sources = [item for item in node.all_input_nodes if isinstance(self.found[item], Value)]
        if name in views.OPERATORS:
            self.roots[node] = self.roots[sources[0]]
        schema = getattr(node.target, "_schema", None)
        if schema is None or not schema.is_mutable:
            return
        target, place = sources[0], order[node]
        others = [item for item, root in self.roots.items() if root is self.roots[target] and item is not target]
        if any(order.get(user, -1) > place for item in others if item is not node for user in item.users):
            self.reader.refuse(
                "changes a tensor in place that is read again through another view; use the operator "
                "without '_' or inplace=True"
            )
        self.roots[node] = self.roots[target]

    def _inline(self, node: Node) -> Any:
        """What a subgraph of torch.no_grad() or torch.autocast stands for."""
        place, source = next((index, item) for index, item in enumerate(node.args) if isinstance(item, torch.fx.Node))
        body, inputs = self.found[source], self._look(list(node.args[place + 1 :]))
        for item, value in zip(body.graph.find_nodes(op="placeholder"), inputs, strict=True):
            self.found[item] = value
        return self.run(body.graph)

    def _reason(self, node: Node, error: BitloomError) -> str:
        """The sentence for a refusal: of a layer that cannot be read at all (attention) what happens inside is nothing
        to the user."""
        unit = self.names.unit(node)
        if unit is not None and not isinstance(unit[1], names.READABLE):
            return f"{self.reader.label} is not supported"
        return str(error)

    def _stand_in(self, node: Node) -> Any:
        """What to go on with behind a refused layer."""

        def one(tensor: torch.Tensor) -> Value | Unknown:
            dims = tuple(tensor.shape)
            return self.reader.stand_in(dims) if len(dims) in (2, 4) and dims[0] == PROBE_BATCH else Unknown()

        return tree_map(lambda item: one(item) if isinstance(item, torch.Tensor) else item, node.meta.get("val"))
