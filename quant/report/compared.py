"""The networks that a report compares: quantized after training, trained with quantizers, shipped, or given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from accel import model_dir
from accel.errors import ModelError
from quant.data.datasets import ZOO
from quant.frontend.floatnet import has_weights
from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.models.call import in_float32
from quant.models.train import RECIPES, TrainingOptions
from quant.ptq.pipeline import quantize_module
from quant.ptq.quantize import PtqOptions
from quant.qat.export import export
from quant.qat.qat_network import QatNetwork, Widths
from quant.qat.train import QatOptions, Teacher, real_input, train_qat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import torch

    from accel.ir import Graph
    from accel.types import Array, Bytes, Ints, StrPath
    from quant.frontend.prepare import PreparedNetwork
    from quant.models.loop import OnEpoch
    from quant.ptq.pipeline import Normalization
    from quant.report.widths import Width

PTQ, TRAINED, GIVEN = "after training", "trained", "given"
LEARNING_RATES = {"int8": 2e-4, "int6": 2e-4, "int4": 5e-4, "int2": 2e-3, "binary": 5e-3, "mixed": 2e-3}
EDGE_BITS = 8  # of the weights of a binary network's first and last layer


@dataclass(frozen=True, eq=False)
class Source:
    """The float network of a report. module: nn.Module in eval mode; prepared: its PreparedNetwork; model, name: as
    given, and for graphs; normalization: Normalization; class_names: tuple of str, or empty; calibration: images uint8
    [N, H, W, C] for ranges; options: PtqOptions but for the widths."""

    module: torch.nn.Module
    prepared: PreparedNetwork
    model: str
    name: str
    normalization: Normalization
    class_names: tuple[str, ...]
    calibration: Array
    options: PtqOptions = field(default_factory=PtqOptions)

    @property
    def layers(self) -> int:
        """The number of layers with weights."""
        return sum(map(has_weights, self.prepared.network.layers))


@dataclass(frozen=True, eq=False)
class Entry:
    """One network of the report. width: key of WIDTHS, or 'own' for one that the user gives; title: shown to people;
    method: PTQ, TRAINED or GIVEN; how: one phrase about its making."""

    width: str
    title: str
    method: str
    how: str
    graph: Graph

    @property
    def key(self) -> str:
        """Unique within a report whose given networks have different titles."""
        if self.width == "own":
            return f"own-{self.title}"
        return f"{self.width}-{'ptq' if self.method == PTQ else 'trained'}"


def source_of(
    module: torch.nn.Module,
    model: str,
    name: str,
    normalization: Normalization,
    class_names: tuple[str, ...],
    calibration: Array,
    options: PtqOptions | None = None,
) -> Source:
    """The Source of a module over the calibration images. Raises the errors of the front end."""
    module = in_float32(module)
    network = read_module(module, calibration.shape[1:], name)
    prepared = prepare(network, normalization.mean, normalization.std)
    return Source(module, prepared, model, name, normalization, class_names, calibration, options or PtqOptions())


def after_training(
    source: Source,
    width: Width,
    weight_bits: int | tuple[int, ...],
    activation_bits: int | tuple[int, ...],
    advance: Callable[[float], None] = lambda count: None,
    how: str = "",
) -> Entry:
    """The Entry of post-training quantization with these widths (one value, or a tuple with one per layer).

    Signs as weights are those of the float weights, whatever the Source's options say of rounding.
    """
    rounding = "nearest" if weight_bits == 1 else source.options.weight_rounding
    options = replace(
        source.options, weight_bits=weight_bits, activation_bits=activation_bits, weight_rounding=rounding
    )
    graph = quantize_module(
        source.module,
        source.calibration,
        name=f"{source.name}-{width.key}",
        normalization=source.normalization,
        options=options,
        class_names=source.class_names,
        advance=advance,
    )
    return Entry(width.key, width.title, PTQ, how or f"{len(source.calibration):,} calibration images", graph)


def trained(
    source: Source,
    width: Width,
    widths: tuple[tuple[int, ...], tuple[int, ...]],
    images: Bytes,
    labels: Ints,
    epochs: int,
    seed: int,
    on_epoch: OnEpoch | None = None,
) -> Entry:
    """The Entry of quantization-aware training. widths: (weight bits, activation bits), tuples of one or all values.

    images uint8 [N, H, W, C], labels int64 [N]: the training images. Raises the errors of QatNetwork.
    """
    network = QatNetwork(source.prepared, Widths.of(source.layers, *widths))
    recipe = RECIPES.get(source.model, TrainingOptions())
    options = QatOptions(
        epochs=epochs, learning_rate=LEARNING_RATES[width.key], augment=recipe.augment / 2, flip=recipe.flip, seed=seed
    )
    inputs = real_input(source.prepared, images)
    train_qat(network, Teacher(source.module, source.prepared).eval(), inputs, labels, options, on_epoch)
    how = f"{epochs} epoch{'s' * (epochs > 1)} on {len(images):,} images, seed {seed}"
    return Entry(
        width.key,
        width.title,
        TRAINED,
        how,
        export(network, f"{source.name}-{width.key}-trained", class_names=source.class_names),
    )


def training_widths(width: Width, layers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(weight bits, activation bits) that a uniform Width is trained with: signs everywhere in a binary network, but
    for the weights of the first and the last layer."""
    if width.key != "binary" and width.weight_bits is not None and width.activation_bits is not None:
        return (width.weight_bits,), (width.activation_bits,)
    inner = (1,) * (layers - 2)
    return ((EDGE_BITS, *inner, EDGE_BITS) if layers > 1 else (EDGE_BITS,)), (1,)


def shipped(model: str, widths: Iterable[Width]) -> list[Entry]:
    """The zoo's trained networks of a zoo model, one Entry per Width that has one."""
    folders = [(width, f"{model}-{width.zoo}") for width in widths]
    return [
        Entry(width.key, width.title, TRAINED, f"{name} of the zoo", model_dir.load(name))
        for width, name in folders
        if (ZOO / name / "model.json").is_file()
    ]


def given(name: str, folder: StrPath, shape: Sequence[int], classes: int) -> Entry:
    """The Entry of a user's model directory. Raises ModelError where it does not read these images or has other
    classes."""
    graph = model_dir.load(folder)
    if graph.input.shape != tuple(shape) or graph.output.elements != classes:
        raise ModelError(
            f"network {name}: {folder} takes images of (H, W, C)={graph.input.shape} and has "
            f"{graph.output.elements} classes, not {tuple(shape)} and {classes}; give a network for the "
            "same task"
        )
    return Entry("own", name, GIVEN, str(folder), graph)
