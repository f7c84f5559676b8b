"""PyTorch's own capture of a module: torch.export runs its forward once and writes down every operator.

Whatever Python decides by shapes has been decided then; names of layers and parameters survive in the nodes' metadata.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.export.graph_signature import InputKind

from accel.errors import BitloomError, ModelError, UnsupportedError
from quant.frontend import names
from quant.frontend.refusals import SUPPORTED
from quant.frontend.tensors import FLOAT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from torch import fx

PROBE_BATCH = 2
OUR_FILES = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that does not depend on the input. source: dotted name of the parameter it comes from, or ''."""

    tensor: torch.Tensor
    source: str = ""


@dataclass(frozen=True, eq=False)
class Captured:
    """graph: torch.fx.Graph of operators. constants: {placeholder node: Constant}. input: the placeholder of the
    images. output: what forward returned, as nodes in its own tuples and dictionaries."""

    graph: fx.Graph
    constants: dict[fx.Node, Constant]
    input: fx.Node
    output: Any


def capture(module: torch.nn.Module, shapes: Iterable[Sequence[int]], name: str) -> Captured:
    """The Captured graph of a module in eval mode on the CPU, over PROBE_BATCH images of zeros.

    shapes: the input's shapes without the batch to try, best first. Every floating dtype of the parameters is tried
    with them. Raises ModelError where forward fails, UnsupportedError where it decides by values.
    """
    _check_inputs(module, name)
    failure: tuple[torch.Tensor, Exception] | None = None
    for shape in shapes:
        for dtype in probe_types(module):
            probe = torch.zeros(PROBE_BATCH, *shape, dtype=dtype)
            try:
                with _quiet():
                    return _captured(torch.export.export(module, (probe,), strict=False))
            except BitloomError:
                raise
            except Exception as error:  # the user's own forward runs here and may raise anything
                failure = failure or (probe, error)
    if failure is None:
        raise ModelError(f"{name}: no shape of an input is given; give (H, W, C)")
    raise _explain(module, *failure, name) from failure[1]


def probe_types(module: torch.nn.Module) -> list[torch.dtype]:
    """The floating dtypes that the module's parameters and buffers have, the most frequent first; float32 is one."""
    found = [tensor.dtype for tensor in (*module.parameters(), *module.buffers()) if tensor.dtype in FLOAT_TYPES]
    return sorted({*found, torch.float32}, key=lambda dtype: -found.count(dtype))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the log lines and warnings of the tracer: what matters of them becomes our own message."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            torch.no_grad(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _captured(program: torch.export.ExportedProgram) -> Captured:
    graph, signature = program.graph_module.graph, program.graph_signature
    nodes = {node.name: node for node in graph.nodes if node.op == "placeholder"}
    constants: dict[fx.Node, Constant] = {}
    images: fx.Node | None = None
    for spec in signature.input_specs:
        node = nodes.get(getattr(spec.arg, "name", ""))
        if spec.kind == InputKind.USER_INPUT:
            images = images or node
        elif node is not None:
            store = program.constants if spec.target in program.constants else program.state_dict
            constants[node] = Constant(store[spec.target], spec.target)
    output = next(node for node in graph.nodes if node.op == "output").args[0]
    count = len(signature.user_outputs)
    if images is None:
        raise ModelError("the captured graph has no input; give a network that reads an image")
    spec = program.call_spec.out_spec
    return Captured(graph, constants, images, torch.utils._pytree.tree_unflatten(list(output)[-count:], spec))


def _check_inputs(module: torch.nn.Module, name: str) -> None:
    """Exactly one argument of forward must be needed."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):  # a callable without a signature
        return
    needed = [
        item.name
        for item in parameters
        if item.default is item.empty and item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)
    ]
    if len(needed) > 1 or not any(item.kind != item.KEYWORD_ONLY for item in parameters):
        raise UnsupportedError(
            f"{name}: forward has {len(needed)} inputs ({', '.join(needed)}); give a network with "
            "exactly one image input"
        )


def _explain(module: torch.nn.Module, probe: torch.Tensor, error: Exception, name: str) -> BitloomError:
    """The BitloomError for a failed capture: the module is run once more, without the tracer, to see who fails."""
    entered, paths = [], {id(item): path for path, item in module.named_modules()}

    def enter(item: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        shape = next((list(value.shape) for value in inputs if isinstance(value, torch.Tensor)), [])
        entered.append((item, shape))

    def leave(item: torch.nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        entered.pop()

    handles = [
        torch.nn.modules.module.register_module_forward_pre_hook(enter),
        torch.nn.modules.module.register_module_forward_hook(leave),
    ]
    try:
        with _quiet():
            module(probe)
    except Exception as failed:  # the user's own forward runs here and may raise anything
        item, shape = entered[-1] if entered else (module, list(probe.shape))
        unreadable = next(
            (part for part, _ in entered if names.is_torch_layer(part) and not isinstance(part, names.READABLE)), None
        )
        if unreadable is not None:
            path = paths.get(id(unreadable), name)
            return UnsupportedError(f"{path} ({type(unreadable).__name__}) is not supported; use {SUPPORTED}")
        path = paths.get(id(item)) or name
        return ModelError(
            f"{path} ({type(item).__name__}): fails on an input of shape {shape} ({first_line(failed)})"
            f"{_place(failed)}; check the layer's sizes, or give images of another size"
        )
    finally:
        for handle in handles:
            handle.remove()
    kind = type(module).__name__
    if "data-dependent" in str(error):
        return UnsupportedError(
            f"{name}: {kind} decides by the values of a tensor{_place(error)}; only shapes may "
            "decide what runs, remove that control flow"
        )
    return UnsupportedError(
        f"{name}: torch.export cannot trace {kind}{_place(error)} ({first_line(error)}); give a "
        "network whose forward only calls torch on tensors"
    )


def _place(error: BaseException) -> str:
    """' at file:line, `code`' of the user's own line that failed, or nothing."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(OUR_FILES) and Path(frame.filename).is_file()
    ]
    if not frames:
        return ""
    return (
        f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}, `{' '.join((frames[-1].line or '').split())[:60]}`"
    )


def first_line(error: BaseException) -> str:
    """The first line of an error's text, shortened."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
