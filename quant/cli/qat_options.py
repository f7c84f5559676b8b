"""Options of `python -m quant qat` that choose how the quantizers learn."""

import click

from accel.options import Function, option
from quant.cli.options import COUNT
from quant.qat import method

OPTIONS = (
    click.option(
        "--estimator",
        type=click.Choice(method.ESTIMATORS),
        default=None,
        help="Gradient of rounding to 8, 6, 4 or 2 bits: clipped passes inside the range, identity everywhere."
        "  [default: clipped]",
    ),
    option(
        "--scale-learning",
        "scales",
        old="--scales",
        type=click.Choice(method.SCALES),
        default=None,
        help="What is learned of a scale: its logarithm, the step, the step with LSQ's gradient (both at "
        "every width), or the clip of the activations (PACT).  [default: log]",
    ),
    click.option(
        "--pact-decay",
        type=click.FloatRange(min=0),
        default=None,
        help="Weight of PACT's squared clips in the loss.  [default: 0.0001]",
    ),
    click.option(
        "--sign-estimator",
        type=click.Choice(method.SIGN_ESTIMATORS),
        default=None,
        help="Gradient of a 1-bit activation.  [default: parabola]",
    ),
    click.option(
        "--sign-weights",
        type=click.Choice(method.ESTIMATORS),
        default=None,
        help="Gradient of a 1-bit weight.  [default: clipped]",
    ),
    click.option(
        "--sign-scales",
        type=click.Choice(method.SIGN_SCALES),
        default=None,
        help="Factor of 1-bit weights: learned, the channel's mean |w| (XNOR-Net), or none (BinaryNet).  "
        "[default: learned]",
    ),
    click.option(
        "--clip-latent/--no-clip-latent", default=None, help="Keep the latent weights of signs in -1..1.  [default: no]"
    ),
    click.option(
        "--norm-order",
        type=click.Choice(method.NORM_ORDERS),
        default=None,
        help="Which comes first behind a layer: the batch norm or the pool.  [default: norm]",
    ),
    click.option(
        "--batch-norm/--no-batch-norm",
        default=None,
        help="Train a batch norm behind every hidden layer of 8 to 2 bits too; folded on export.  [default: no]",
    ),
    click.option(
        "--freeze-norm",
        type=COUNT,
        default=None,
        help="Epochs after which the batch norms keep their statistics.  [default: never]",
    ),
    click.option(
        "--optimizer",
        type=click.Choice(method.OPTIMIZERS),
        default=None,
        help="adam (AdamW), or sgd with momentum 0.9, as LSQ was published.  [default: adam]",
    ),
)


def method_options(function: Function) -> Function:
    """The options in front of a command's function."""
    for decorate in reversed(OPTIONS):
        function = decorate(function)
    return function
