"""Layers with Keras's names, arguments and defaults: channels last.

>>> import graphflow as gf
>>> gf.keras.layers.Dense(10, activation="softmax")(gf.ones((2, 3))).shape
(2, 10)
"""

from __future__ import annotations

from typing import Any

from graphflow.core.elsewhere import KERAS as _KERAS
from graphflow.core.elsewhere import hint as _hint
from graphflow.keras import config
from graphflow.keras.layers.activation import ELU, LeakyReLU, PReLU, ReLU, Softmax
from graphflow.keras.layers.attention import AdditiveAttention, Attention, MultiHeadAttention
from graphflow.keras.layers.base import Layer
from graphflow.keras.layers.cells import GRUCell, LSTMCell, SimpleRNNCell
from graphflow.keras.layers.convolutional import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    Convolution1D,
    Convolution2D,
    Convolution3D,
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
)
from graphflow.keras.layers.core import Activation, Dense, EinsumDense, Embedding, Identity, InputLayer, Masking
from graphflow.keras.layers.merging import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from graphflow.keras.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    Normalization,
    RMSNormalization,
    UnitNormalization,
)
from graphflow.keras.layers.operation import Lambda, Operation
from graphflow.keras.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalAvgPool1D,
    GlobalAvgPool2D,
    GlobalAvgPool3D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GlobalMaxPool3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from graphflow.keras.layers.preprocessing import CategoryEncoding, Rescaling
from graphflow.keras.layers.recurrent import GRU, LSTM, RNN, Bidirectional, SimpleRNN, TimeDistributed
from graphflow.keras.layers.regularization import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from graphflow.keras.layers.reshaping import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Flatten,
    Permute,
    RepeatVector,
    Reshape,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from graphflow.keras.symbolic import Input


def serialize(layer: Any) -> dict[str, Any]:
    """A layer as data."""
    return config.serialize(layer)


def deserialize(data: Any, custom_objects: Any = None) -> Any:
    """A layer from data."""
    return config.deserialize(data, custom_objects)


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_hint(name, globals(), _KERAS)}")
