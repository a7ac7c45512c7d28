"""Layers and functions with settings and inputs, run by GraphFlow or by PyTorch on the same numbers.

``layer_values.json`` beside this file has what PyTorch gave: the results and gradients of each case in float64, each
weighed into one number. Run this file where PyTorch is installed to write it anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

VALUES = Path(__file__).with_name("layer_values.json")


class Library(NamedTuple):
    """What the cases need of a library."""

    nn: Any
    F: Any
    tensor: Callable[[Any], Any]


class Case(NamedTuple):
    """``make(library)`` gives the layer or function; ``inputs`` are shapes (of normal numbers) or arrays.

    Gradients are taken of those given as shapes, and of the first if it is floating-point.
    """

    make: Callable[[Library], Any]
    inputs: tuple[Any, ...]

    def arrays(self, dtype: str) -> list[Any]:
        """The inputs; floating-point ones in ``dtype``."""
        rng = np.random.default_rng(1)
        made = [rng.standard_normal(x) if isinstance(x, tuple) else np.asarray(x) for x in self.inputs]
        return [a.astype(dtype) if a.dtype.kind == "f" else a for a in made]

    @property
    def differentiated(self) -> list[int]:
        """The numbers of the inputs that gradients are taken of."""
        return [
            i for i, x in enumerate(self.inputs) if isinstance(x, tuple) or (i == 0 and np.asarray(x).dtype.kind == "f")
        ]


def layer(kind: str, *args: Any, **settings: Any) -> Callable[[Library], Any]:
    """``nn.kind(*args, **settings)``; arrays among the settings become tensors."""

    def make(library: Library) -> Any:
        given = {k: library.tensor(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
        return getattr(library.nn, kind)(*args, **given)

    return make


def function(kind: str, *args: Any, **settings: Any) -> Callable[[Library], Any]:
    """``F.kind(inputs..., *args, **settings)``."""

    def make(library: Library) -> Any:
        given = {k: library.tensor(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
        return lambda *inputs: getattr(library.F, kind)(*inputs, *args, **given)

    return make


def ctc(**settings: Any) -> Callable[[Library], Any]:
    """The loss of logits: PyTorch's gradients are those of log_softmax and loss together."""

    def make(library: Library) -> Any:
        return lambda x, *others: library.F.ctc_loss(library.F.log_softmax(x, -1), *others, **settings)

    return make


def adaptive(pick: str, **settings: Any) -> Callable[[Library], Any]:
    """The adaptive softmax: one of its results as the layer's."""

    def make(library: Library) -> Any:
        made = library.nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 7], div_value=2.0, **settings)

        class Picked(library.nn.Module):  # type: ignore[name-defined, misc]
            def __init__(self) -> None:
                super().__init__()
                self.layer = made

            def forward(self, *inputs: Any) -> Any:
                return self.layer.log_prob(*inputs) if pick == "log_prob" else getattr(self.layer(*inputs), pick)

        return Picked()

    return make


_rng = np.random.default_rng(7)
X, Y, P = (6, 4), _rng.standard_normal((6, 4)), _rng.uniform(0.1, 0.9, (6, 4))
LABELS = np.array([0, 3, 1, -100, 2, 2])
CLASSES = np.array([0, 3, 1, 3, 2, 2])
SIGNS = np.where(_rng.random((6, 4)) < 0.5, -1.0, 1.0)
BITS, COUNTS = (SIGNS + 1) / 2, np.round(np.abs(3 * Y))
WEIGHTS = np.array([0.5, 1.0, 2.0, 0.1])
ROWS = _rng.integers(0, 7, (3, 4))
OFFSETS = np.array([0, 3, 3, 7])
SETS = np.array([[3, 0, -1, 1], [-1, 0, 0, 0], [0, 1, 2, 3], [2, -1, 2, 2], [1, 3, -1, -1], [0, -1, -1, -1]])
IMAGE = (2, 3, 5, 6)
CTC_LABELS = np.array([[1, 4, 2], [2, 2, 2], [3, 1, 1], [4, 4, 4]])

CASES: dict[str, Case] = {
    # -- products and tables
    "linear": Case(layer("Linear", 4, 3), ((5, 4),)),
    "linear of one sample": Case(layer("Linear", 4, 3), ((4,),)),
    "linear of a sequence": Case(layer("Linear", 4, 3, bias=False), ((2, 5, 4),)),
    "bilinear": Case(layer("Bilinear", 4, 3, 2), ((5, 4), (5, 3))),
    "bilinear of sequences": Case(layer("Bilinear", 4, 3, 2, bias=False), ((2, 5, 4), (2, 5, 3))),
    "embedding": Case(layer("Embedding", 7, 3), (ROWS,)),
    "embedding with padding": Case(layer("Embedding", 7, 3, padding_idx=-2), (ROWS,)),
    "embedding by frequency": Case(layer("Embedding", 7, 3, 1, scale_grad_by_freq=True), (ROWS,)),
    "bag mean": Case(layer("EmbeddingBag", 7, 3), (ROWS,)),
    "bag sum": Case(layer("EmbeddingBag", 7, 3, mode="sum", padding_idx=2), (ROWS,)),
    "bag max": Case(layer("EmbeddingBag", 7, 3, mode="max"), (ROWS,)),
    "bag mean in line": Case(layer("EmbeddingBag", 7, 3, padding_idx=2), (ROWS.ravel(), OFFSETS)),
    "bag sum in line": Case(
        layer("EmbeddingBag", 7, 3, mode="sum", include_last_offset=True), (ROWS.ravel(), np.append(OFFSETS, 12))
    ),
    "bag max in line": Case(layer("EmbeddingBag", 7, 3, mode="max"), (ROWS.ravel(), OFFSETS)),
    "bag weighed": Case(
        lambda library: lambda rows, table, w: library.F.embedding_bag(rows, table, mode="sum", per_sample_weights=w),
        (ROWS, (7, 3), (3, 4)),
    ),
    # -- normalisation
    "layer norm": Case(layer("LayerNorm", 4), ((5, 4),)),
    "layer norm of two axes": Case(layer("LayerNorm", (3, 4), eps=1e-3), ((5, 3, 4),)),
    "layer norm without bias": Case(layer("LayerNorm", 4, bias=False), ((5, 4),)),
    "plain layer norm": Case(layer("LayerNorm", 4, elementwise_affine=False), ((5, 4),)),
    "rms norm": Case(layer("RMSNorm", 4), ((5, 4),)),
    "rms norm with eps": Case(layer("RMSNorm", (3, 4), eps=0.1), ((5, 3, 4),)),
    "group norm": Case(layer("GroupNorm", 2, 6), ((5, 6),)),
    "group norm of images": Case(layer("GroupNorm", 3, 6, eps=0.1), ((2, 6, 4, 5),)),
    "plain group norm": Case(layer("GroupNorm", 2, 6, affine=False), ((5, 6, 3),)),
    "instance norm 1d": Case(layer("InstanceNorm1d", 3), ((2, 3, 5),)),
    "instance norm without batch": Case(layer("InstanceNorm1d", 3, affine=True), ((3, 5),)),
    "instance norm 2d": Case(layer("InstanceNorm2d", 3, affine=True, eps=0.1), (IMAGE,)),
    "instance norm with statistics": Case(layer("InstanceNorm2d", 3, track_running_stats=True), (IMAGE,)),
    "instance norm 3d": Case(layer("InstanceNorm3d", 2), ((2, 2, 3, 2, 3),)),
    "local response norm": Case(layer("LocalResponseNorm", 3, 0.5, 0.6, 2.0), ((2, 5, 3, 2),)),
    "local response norm of four": Case(layer("LocalResponseNorm", 4), ((2, 5, 3),)),
    "normalize": Case(function("normalize", p=3.0, dim=1), ((5, 4),)),
    # -- shape
    "flatten": Case(layer("Flatten"), ((5, 3, 4),)),
    "unflatten": Case(layer("Unflatten", 1, (2, 3)), ((5, 6),)),
    "identity": Case(layer("Identity", 3), ((5, 3),)),
    "pixel shuffle": Case(layer("PixelShuffle", 2), ((2, 8, 3, 4),)),
    "pixel unshuffle": Case(layer("PixelUnshuffle", 2), ((2, 4, 6),)),
    "channel shuffle": Case(layer("ChannelShuffle", 2), ((2, 6, 3, 2),)),
    "unfold": Case(layer("Unfold", (2, 3), 2, 1, (2, 1)), ((2, 3, 7, 8),)),
    "unfold without batch": Case(layer("Unfold", 2), ((3, 4, 5),)),
    "fold": Case(layer("Fold", (7, 8), (2, 3), 2, 1, (2, 1)), ((2, 18, 24),)),
    "fold of tiles": Case(layer("Fold", (4, 6), 2, stride=2), ((8, 6),)),
    "max unpool 1d": Case(layer("MaxUnpool1d", 2), ((2, 2, 3), np.array([[[0, 3, 4], [1, 2, 5]]] * 2))),
    "max unpool 2d": Case(
        layer("MaxUnpool2d", 2, (2, 1)), ((1, 2, 2, 2), np.array([[[[0, 4], [7, 11]], [[1, 2], [6, 10]]]]))
    ),
    "max unpool 3d": Case(layer("MaxUnpool3d", 2), ((2, 1, 1, 2), np.array([[[[3, 8]]]] * 2))),
    "lp pool 1d": Case(layer("LPPool1d", 1, 3, 2), ((2, 3, 8),)),
    "lp pool 2d": Case(layer("LPPool2d", 2, (2, 3), stride=2), (IMAGE,)),
    "lp pool 3d": Case(layer("LPPool3d", 2, 2, ceil_mode=True), ((1, 2, 3, 4, 2),)),
    # -- padding
    "constant pad 1d": Case(layer("ConstantPad1d", (1, 2), 3.5), ((2, 3, 4),)),
    "constant pad 2d": Case(layer("ConstantPad2d", (1, -2, 0, 2), 3.5), (IMAGE,)),
    "constant pad 3d": Case(layer("ConstantPad3d", 1, -1.0), ((2, 2, 2, 3),)),
    "zero pad 1d": Case(layer("ZeroPad1d", 2), ((3, 4),)),
    "zero pad 2d": Case(layer("ZeroPad2d", (1, 0, 2, 1)), (IMAGE,)),
    "zero pad 3d": Case(layer("ZeroPad3d", 1), ((2, 2, 2, 3),)),
    "reflection pad 1d": Case(layer("ReflectionPad1d", (3, 1)), ((2, 3, 4),)),
    "reflection pad 2d": Case(layer("ReflectionPad2d", (1, 2, 0, 3)), (IMAGE,)),
    "reflection pad 3d": Case(layer("ReflectionPad3d", 1), ((2, 2, 2, 3),)),
    "replication pad 1d": Case(layer("ReplicationPad1d", (3, 1)), ((2, 3, 4),)),
    "replication pad 2d": Case(layer("ReplicationPad2d", (1, 2, -1, 7)), (IMAGE,)),
    "replication pad 3d": Case(layer("ReplicationPad3d", 1), ((2, 2, 2, 3),)),
    "circular pad 1d": Case(layer("CircularPad1d", (3, 1)), ((2, 3, 4),)),
    "circular pad 2d": Case(layer("CircularPad2d", (1, 2, 0, 3)), (IMAGE,)),
    "circular pad 3d": Case(layer("CircularPad3d", 1), ((2, 2, 2, 3),)),
    # -- resizing
    "upsample": Case(layer("Upsample", scale_factor=2), (IMAGE,)),
    "upsample to a size": Case(layer("Upsample", (7, 9)), (IMAGE,)),
    "upsample 1d": Case(layer("Upsample", scale_factor=1.7), ((2, 3, 5),)),
    "upsample linear": Case(layer("Upsample", scale_factor=2, mode="linear"), ((2, 3, 5),)),
    "upsample bilinear": Case(layer("Upsample", (7, 9), mode="bilinear"), (IMAGE,)),
    "upsample bilinear aligned": Case(layer("UpsamplingBilinear2d", scale_factor=2), (IMAGE,)),
    "upsample nearest 2d": Case(layer("UpsamplingNearest2d", scale_factor=3), (IMAGE,)),
    "downsample bilinear": Case(layer("Upsample", scale_factor=(0.6, 0.7), mode="bilinear"), (IMAGE,)),
    "upsample trilinear": Case(layer("Upsample", (2, 5, 3), mode="trilinear"), ((1, 2, 3, 2, 4),)),
    "bicubic": Case(function("interpolate", scale_factor=1.5, mode="bicubic"), (IMAGE,)),
    "bicubic aligned": Case(function("interpolate", (3, 9), mode="bicubic", align_corners=True), (IMAGE,)),
    "nearest exact": Case(function("interpolate", (7, 4), mode="nearest-exact"), (IMAGE,)),
    "area": Case(function("interpolate", (2, 4), mode="area"), (IMAGE,)),
    "recomputed scale": Case(
        function("interpolate", scale_factor=1.3, mode="bilinear", recompute_scale_factor=True), (IMAGE,)
    ),
    # -- sampling
    "grid sample": Case(function("grid_sample"), (IMAGE, (2, 4, 3, 2))),
    "grid sample aligned": Case(
        function("grid_sample", padding_mode="reflection", align_corners=True), (IMAGE, (2, 4, 3, 2))
    ),
    "grid sample nearest": Case(function("grid_sample", "nearest", "border"), (IMAGE, (2, 4, 3, 2))),
    "grid sample bicubic": Case(function("grid_sample", "bicubic", "reflection"), (IMAGE, (2, 4, 3, 2))),
    "grid sample bicubic of zeros": Case(function("grid_sample", "bicubic", align_corners=True), (IMAGE, (2, 4, 3, 2))),
    "grid sample 3d": Case(function("grid_sample", "bilinear", "border"), ((1, 2, 3, 2, 4), (1, 2, 3, 2, 3))),
    "affine grid": Case(function("affine_grid", (2, 3, 3, 4)), ((2, 2, 3),)),
    "affine grid 3d": Case(function("affine_grid", (1, 3, 3, 1, 2), align_corners=True), ((1, 3, 4),)),
    # -- activations
    "relu": Case(layer("ReLU"), (X,)),
    "relu6": Case(layer("ReLU6"), (4 * Y,)),
    "leaky relu": Case(layer("LeakyReLU", 0.2), (X,)),
    "prelu": Case(layer("PReLU"), (X,)),
    "prelu of channels": Case(layer("PReLU", 3), ((5, 3, 4),)),
    "rrelu": Case(lambda library: library.nn.RReLU(0.2, 0.4).eval(), (X,)),
    "elu": Case(layer("ELU", 0.7), (X,)),
    "celu": Case(layer("CELU", 0.7), (X,)),
    "selu": Case(layer("SELU"), (X,)),
    "gelu": Case(layer("GELU"), (X,)),
    "gelu by tanh": Case(layer("GELU", "tanh"), (X,)),
    "silu": Case(layer("SiLU"), (X,)),
    "mish": Case(layer("Mish"), (X,)),
    "sigmoid": Case(layer("Sigmoid"), (X,)),
    "log sigmoid": Case(layer("LogSigmoid"), (X,)),
    "hardsigmoid": Case(layer("Hardsigmoid"), (3 * Y,)),
    "hardswish": Case(layer("Hardswish"), (3 * Y,)),
    "tanh": Case(layer("Tanh"), (X,)),
    "hardtanh": Case(layer("Hardtanh", -0.5, 0.7), (X,)),
    "softplus": Case(layer("Softplus", 2.0), (X,)),
    "softsign": Case(layer("Softsign"), (X,)),
    "tanhshrink": Case(layer("Tanhshrink"), (X,)),
    "hardshrink": Case(layer("Hardshrink"), (X,)),
    "softshrink": Case(layer("Softshrink", 0.3), (X,)),
    "threshold": Case(layer("Threshold", 0.1, 0.2), (X,)),
    "glu": Case(layer("GLU"), (X,)),
    "softmax": Case(layer("Softmax", dim=1), (X,)),
    "softmax of images": Case(layer("Softmax2d"), (IMAGE,)),
    "log softmax": Case(layer("LogSoftmax", dim=0), (X,)),
    "softmin": Case(layer("Softmin", dim=1), (X,)),
    # -- distances
    "cosine similarity": Case(layer("CosineSimilarity"), ((5, 3), (5, 3))),
    "pairwise distance": Case(layer("PairwiseDistance", 1.0), ((5, 3), (5, 3))),
    "pairwise distance kept": Case(layer("PairwiseDistance", keepdim=True), ((5, 3), (5, 3))),
    # -- losses
    "mse": Case(layer("MSELoss"), (X, X)),
    "mse sum": Case(layer("MSELoss", reduction="sum"), (X, Y)),
    "l1": Case(layer("L1Loss"), (X, Y)),
    "smooth l1": Case(layer("SmoothL1Loss", beta=0.5), (X, Y)),
    "huber": Case(layer("HuberLoss", delta=0.5, reduction="none"), (X, Y)),
    "cross entropy": Case(layer("CrossEntropyLoss"), (X, LABELS)),
    "cross entropy smoothed": Case(layer("CrossEntropyLoss", weight=WEIGHTS, label_smoothing=0.1), (X, LABELS)),
    "cross entropy ignoring": Case(layer("CrossEntropyLoss", ignore_index=2, reduction="sum"), (X, CLASSES)),
    "cross entropy of images": Case(layer("CrossEntropyLoss", reduction="none"), (IMAGE, np.ones((2, 5, 6), int))),
    "cross entropy of chances": Case(layer("CrossEntropyLoss", weight=WEIGHTS), (X, P / P.sum(1, keepdims=True))),
    "nll": Case(layer("NLLLoss", weight=WEIGHTS), (np.log(P), LABELS)),
    "bce": Case(layer("BCELoss"), (P, BITS)),
    "bce weighed": Case(layer("BCELoss", weight=WEIGHTS, reduction="none"), (P, BITS)),
    "bce with logits": Case(layer("BCEWithLogitsLoss"), (X, BITS)),
    "bce with weights": Case(layer("BCEWithLogitsLoss", pos_weight=WEIGHTS, weight=WEIGHTS), (X, BITS)),
    "kl": Case(layer("KLDivLoss", reduction="batchmean"), (np.log(P), P)),
    "kl of logs": Case(layer("KLDivLoss", reduction="sum", log_target=True), (np.log(P), np.log(P) - 0.1)),
    "poisson": Case(layer("PoissonNLLLoss", full=True), (X, COUNTS)),
    "poisson of rates": Case(layer("PoissonNLLLoss", log_input=False), (P, COUNTS)),
    "gaussian": Case(layer("GaussianNLLLoss", full=True), (X, Y, P)),
    "hinge embedding": Case(layer("HingeEmbeddingLoss", 0.5), (X, SIGNS)),
    "soft margin": Case(layer("SoftMarginLoss"), (X, SIGNS)),
    "multilabel soft margin": Case(layer("MultiLabelSoftMarginLoss", weight=WEIGHTS), (X, BITS)),
    "margin ranking": Case(layer("MarginRankingLoss", 0.2), (X, X, SIGNS)),
    "cosine embedding": Case(layer("CosineEmbeddingLoss", 0.2), (X, X, SIGNS[:, 0])),
    "triplet": Case(layer("TripletMarginLoss"), (X, X, X)),
    "triplet swapped": Case(layer("TripletMarginLoss", swap=True, p=1.0), (X, X, X)),
    "triplet with distance": Case(layer("TripletMarginWithDistanceLoss", margin=0.5, swap=True), (X, X, X)),
    "multi margin": Case(layer("MultiMarginLoss", margin=0.7), (X, CLASSES)),
    "multi margin squared": Case(layer("MultiMarginLoss", 2, 1.0, weight=WEIGHTS, reduction="sum"), (X, CLASSES)),
    "ctc": Case(ctc(reduction="none"), ((9, 4, 5), CTC_LABELS, np.array([9, 7, 5, 2]), np.array([3, 3, 2, 1]))),
    "ctc in line": Case(ctc(blank=4), ((5, 2, 5), np.array([0, 0, 2, 3, 1]), np.array([5, 4]), np.array([3, 2]))),
    "ctc that cannot fit": Case(
        ctc(zero_infinity=True), ((9, 4, 5), CTC_LABELS, np.array([9, 2, 5, 2]), np.array([3, 3, 0, 1]))
    ),
    "multilabel margin": Case(layer("MultiLabelMarginLoss", reduction="none"), (X, SETS)),
    "adaptive softmax": Case(adaptive("output"), ((5, 8), np.array([0, 11, 3, 6, 2]))),
    "adaptive softmax's loss": Case(adaptive("loss", head_bias=True), ((5, 8), np.array([1, 2, 3, 9, 7]))),
    "adaptive softmax of all": Case(adaptive("log_prob"), ((5, 8),)),
    "adaptive softmax of one sample": Case(adaptive("output"), ((8,), np.array(9))),
}


def parameter_values(shape: tuple[int, ...], number: int, dtype: str) -> Any:
    """The values of a layer's parameter, by its place in ``parameters()``."""
    return np.random.default_rng(100 + number).standard_normal(shape).astype(dtype)


def weights_of(shape: tuple[int, ...], dtype: str) -> Any:
    """What the results are weighed with before gradients are taken."""
    return np.random.default_rng(2).standard_normal(shape).astype(dtype)


def by_pytorch(case: Case, dtype: str) -> list[Any]:
    """The result, and the gradients of inputs and parameters, as arrays."""
    import torch

    tensors = [torch.tensor(a) for a in case.arrays(dtype)]
    chosen = [tensors[i].requires_grad_() for i in case.differentiated]
    made = case.make(Library(torch.nn, torch.nn.functional, lambda a: torch.tensor(a.astype(dtype))))
    parameters = []
    if isinstance(made, torch.nn.Module):
        made.to(getattr(torch, dtype))
        parameters = list(made.parameters())
        with torch.no_grad():
            for number, p in enumerate(parameters):
                p.copy_(torch.tensor(parameter_values(tuple(p.shape), number, dtype)))
    out = made(*tensors)
    wanted = chosen + parameters
    total = (out * torch.tensor(weights_of(tuple(out.shape), dtype))).sum()
    slopes = torch.autograd.grad(total, wanted, allow_unused=True)
    return [out.detach().numpy(), *(np.zeros(w.shape) if s is None else s.numpy() for w, s in zip(wanted, slopes))]


def number_of(array: Any) -> float:
    """An array weighed into one number that hardly any mistake leaves as it is."""
    return float((np.asarray(array, np.float64) * weights_of(np.shape(array), "float64")).sum())


if __name__ == "__main__":
    values = {name: [number_of(a) for a in by_pytorch(case, "float64")] for name, case in CASES.items()}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in values.items())
    VALUES.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
