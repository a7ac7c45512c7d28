"""Where older programs look for the Tokenizer and pad_sequences; see ``gf.keras.utils``."""

from __future__ import annotations

from graphflow.keras.preprocessing import sequence, text
