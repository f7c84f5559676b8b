"""How the quantizers of a training learn: estimators of the gradient, learned scales, batch norms. Without torch."""

from __future__ import annotations

from dataclasses import dataclass

from accel.errors import UnsupportedError

ESTIMATORS = ("clipped", "identity")
SIGN_ESTIMATORS = ("parabola", "clipped", "identity")
SCALES = ("log", "step", "lsq", "pact")
SIGN_SCALES = ("learned", "mean", "none")
OPTIMIZERS = ("adam", "sgd")
NORM_ORDERS = ("norm", "pool")


@dataclass(frozen=True)
class Method:
    """Choices of a QatNetwork; the defaults are those of the zoo's multi-bit networks.

    estimator: gradient of rounding to a grid, `clipped` (passes inside the grid's limits) or `identity` (passes
    everywhere; a ReLU still stops it). sign_estimator: gradient of a 1-bit activation on -1..1, `parabola` (2 - 2|x|),
    `clipped` (1) or `identity` (1 everywhere). sign_weights: that of a 1-bit weight, `clipped` or `identity`.
    scales: what is learned of a scale: `log` its logarithm, `step` the step itself, `lsq` the step with the gradient
    scaled as in LSQ (Esser et al., 2020, section 2.2), at every width; `pact` the clip of an activation behind a ReLU
    (Choi et al., 2018, section 3), whose square times pact_decay joins the loss. sign_scales: factor of 1-bit weights,
    `learned`, `mean` (mean of the channel's |w|: XNOR-Net, Rastegari et al., 2016, section 3.1) or `none` (BinaryNet,
    Courbariaux et al., 2016).
    clip_latent: latent weights of signs stay in -1..1 (BinaryNet, section 2.4). norm_order: `norm` puts a pool behind
    the batch norm of 1-bit outputs, `pool` in front of it (BinaryNet), where gamma counts by its absolute value.
    batch_norm: a batch norm behind every hidden layer of 8 to 2 bits too.
    """

    estimator: str = "clipped"
    sign_estimator: str = "parabola"
    sign_weights: str = "clipped"
    scales: str = "log"
    pact_decay: float = 1e-4
    sign_scales: str = "learned"
    clip_latent: bool = False
    norm_order: str = "norm"
    batch_norm: bool = False

    def __post_init__(self) -> None:
        parts = (
            ("estimator", self.estimator, ESTIMATORS),
            ("sign estimator", self.sign_estimator, SIGN_ESTIMATORS),
            ("estimator of sign weights", self.sign_weights, ESTIMATORS),
            ("scales", self.scales, SCALES),
            ("scales of signs", self.sign_scales, SIGN_SCALES),
            ("norm order", self.norm_order, NORM_ORDERS),
        )
        for what, value, allowed in parts:
            if value not in allowed:
                raise UnsupportedError(f"{what} '{value}' is unknown; choose one of {', '.join(allowed)}")
