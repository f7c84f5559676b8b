"""PyTorch front end: traces an nn.Module with torch.fx and reads it as a chain of float layers.

Accepted: Conv2d, Linear, ReLU, ReLU6, Hardtanh, clamp, MaxPool2d, ZeroPad2d before a convolution, Flatten
and views that flatten, Dropout, Identity, BatchNorm1d/2d (folded; a BatchNorm2d with nothing to fold into
becomes a 1x1 diagonal convolution). Everything else is refused by name, with what to do.
"""

import copy

import torch
from torch import fx

from accel.errors import BitloomError, ModelError, UnsupportedError
from quant.frontend.floatnet import FloatNetwork
from quant.frontend.layers import FUNCTIONS, METHODS, MODULES, Reader, function_name
from quant.frontend.tensors import exact

SUPPORTED = ("Conv2d, Linear, ReLU, ReLU6, Hardtanh, MaxPool2d, ZeroPad2d, Flatten, Dropout, BatchNorm1d, "
             "BatchNorm2d")
PROBE_BATCH = 2
NOT_TENSORS = (int, torch.Size)


class _Values(fx.Interpreter):
    """Runs a traced module once and keeps every node's value."""

    def __init__(self, module):
        super().__init__(module, garbage_collect_values=False)
        self.values = {}

    def run_node(self, n):
        self.values[n] = super().run_node(n)
        return self.values[n]


def read_module(module, input_shape, name="network"):
    """Read a trained module as a FloatNetwork.

    module: nn.Module over float [N, C, H, W]; it is copied, never changed. input_shape: (H, W, C). Raises
    UnsupportedError (layer, attribute or data flow not supported), RangeError (NaN or infinity in a
    parameter), ModelError (the module fails on an input of this shape). Each message names the layer.
    """
    height, width, channels = input_shape
    if module._forward_hooks or module._forward_pre_hooks:
        raise UnsupportedError(f"{name}: {type(module).__name__} has forward hooks, whose effect is not visible; "
                               "remove them before quantizing")
    if type(module) in MODULES:
        module = torch.nn.Sequential(module)
    try:
        clone = copy.deepcopy(module).eval().double()
        traced = fx.symbolic_trace(clone)
    except BitloomError:
        raise
    except Exception as error:  # the user's own forward runs here and may raise anything
        raise UnsupportedError(f"{name}: torch.fx cannot trace {type(module).__name__} "
                               f"({_first_line(error)}); remove control "
                               "flow that depends on data, or give a plain chain of layers") from error
    probe = torch.zeros(PROBE_BATCH, channels, height, width, dtype=torch.float64)
    interpreter = _Values(traced)
    traced.graph.eliminate_dead_code()
    nodes = list(traced.graph.nodes)
    reader = Reader(module, input_shape)
    try:
        with torch.no_grad():
            interpreter.run(probe)
        failure = None
    except Exception as error:
        failure = error
    _walk(nodes, interpreter.values, reader, failure, name)
    if not reader.layers:
        raise UnsupportedError(f"{name}: holds no layer that computes; give a network with Conv2d or Linear")
    reader.finish()
    return FloatNetwork(name, tuple(input_shape), tuple(reader.layers))


def _walk(nodes, values, reader, failure, name):
    inputs = [node for node in nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise UnsupportedError(f"{name}: has {len(inputs)} inputs; give a network with exactly one image "
                               "input")
    current = inputs[0]
    for node in nodes:
        if node.op == "placeholder":
            continue
        if node.op == "output":
            _check_output(node, current, name)
            continue
        handler, label = _handler(node, reader)
        if node.op == "get_attr" or (node.op != "call_module" and isinstance(values.get(node), NOT_TENSORS)):
            continue
        if handler is None:
            raise UnsupportedError(f"{label} is not supported; use {SUPPORTED}")
        if node.op == "call_module":
            for what, tensor in reader.module(node).named_parameters():
                exact(label, what, tensor)
        if node not in values:
            raise ModelError(f"{label}: fails on an input of shape {list(_shape_of(values, current))} "
                             f"({_first_line(failure)}); "
                             "check the layer's sizes or give --input-shape C,H,W") from failure
        _check_chain(node, current, values, label)
        reader.enter(node, label, values[node])
        handler(reader, node)
        current = node


def _handler(node, reader):
    """(function that reads the node, or None; what to call the node in a message)."""
    if node.op == "call_module":
        module = reader.module(node)
        return MODULES.get(type(module)), f"{node.target} ({type(module).__name__})"
    if node.op == "call_method":
        return METHODS.get(node.target), f"{node.name} (method {node.target})"
    if node.op == "call_function":
        return FUNCTIONS.get(node.target), f"{node.name} (function {function_name(node.target)})"
    return None, f"{node.name} ({node.op})"


def _check_chain(node, current, values, label):
    """Only chains: the node's single tensor argument is the layer before it."""
    tensors = [item for item in node.all_input_nodes if isinstance(values.get(item), torch.Tensor)]
    if tensors != [current]:
        names = " and ".join(str(item) for item in tensors) or "nothing"
        raise UnsupportedError(f"{label}: reads {names} where the layer before is {current}; only a chain of "
                               "layers is supported, remove branches and free parameters")


def _check_output(node, current, name):
    if node.args[0] is not current:
        raise UnsupportedError(f"{name}: returns {node.args[0]!r} where the last layer is {current}; return "
                               "the last layer's tensor alone")


def _shape_of(values, node):
    return values[node].shape if node in values else ()


def _first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
