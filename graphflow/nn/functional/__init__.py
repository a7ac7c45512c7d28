"""Layers as functions (``import graphflow.nn.functional as F``): activations, losses, normalisation, dropout.

Those that are no more than ops are defined with the ops and only named here; names and arguments are PyTorch's.

>>> import graphflow as gf
>>> import graphflow.nn.functional as F
>>> F.relu(gf.tensor([-1.0, 2.0])).tolist()
[0.0, 2.0]
"""

from __future__ import annotations

from graphflow.nn.functional.activation import (
    celu,
    elu,
    gumbel_softmax,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    mish,
    relu,
    relu6,
    rrelu,
    selu,
    silu,
    threshold,
)
from graphflow.nn.functional.adaptive import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from graphflow.nn.functional.convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from graphflow.nn.functional.ctc import ctc_loss
from graphflow.nn.functional.distance import (
    cosine_embedding_loss,
    cosine_similarity,
    multilabel_soft_margin_loss,
    normalize,
    pairwise_distance,
    triplet_margin_loss,
)
from graphflow.nn.functional.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from graphflow.nn.functional.instance import instance_norm, local_response_norm
from graphflow.nn.functional.margins import (
    multi_margin_loss,
    multilabel_margin_loss,
    sigmoid_focal_loss,
    triplet_margin_with_distance_loss,
)
from graphflow.nn.functional.normalization import batch_norm, group_norm, layer_norm, rms_norm
from graphflow.nn.functional.padding import pad
from graphflow.nn.functional.pooling import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from graphflow.nn.functional.resize import interpolate, upsample, upsample_bilinear, upsample_nearest
from graphflow.nn.functional.sampling import affine_grid, grid_sample
from graphflow.nn.functional.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from graphflow.nn.functional.tables import bilinear, embedding, embedding_bag
from graphflow.nn.functional.unpooling import (
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from graphflow.nn.functional.windows import fold, unfold
from graphflow.ops.attention import scaled_dot_product_attention
from graphflow.ops.composite import (
    gelu,
    glu,
    hardshrink,
    log_softmax,
    logsigmoid,
    prelu,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
)
from graphflow.ops.linalg import linear
from graphflow.ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_nll_loss,
    hinge_embedding_loss,
    hinge_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    nll_loss,
    one_hot,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
)
from graphflow.ops.mathematical import sigmoid, tanh
from graphflow.ops.statistics import pdist
