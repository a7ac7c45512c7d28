"""See ``gf.keras.utils``."""

from __future__ import annotations

from graphflow.keras.utils.text import Tokenizer, text_to_word_sequence, tokenizer_from_json

__all__ = ["Tokenizer", "text_to_word_sequence", "tokenizer_from_json"]
