"""Helpers around training: one-hot rows, sequences, texts, pictures of models, saved objects."""

from __future__ import annotations

from graphflow.keras.backend import clear_session
from graphflow.keras.config import (
    custom_object_scope,
    register_keras_serializable,
)
from graphflow.keras.config import deserialize as deserialize_keras_object
from graphflow.keras.config import serialize as serialize_keras_object
from graphflow.keras.models.batches import pack as pack_x_y_sample_weight
from graphflow.keras.models.batches import unpack as unpack_x_y_sample_weight
from graphflow.keras.utils.arrays import PyDataset, normalize, pad_sequences, set_random_seed, to_categorical
from graphflow.keras.utils.picture import model_to_dot, plot_model
from graphflow.keras.utils.series import timeseries_dataset_from_array
from graphflow.keras.utils.text import Tokenizer, text_to_word_sequence, tokenizer_from_json

Sequence = PyDataset
CustomObjectScope = custom_object_scope
