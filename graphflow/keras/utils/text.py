"""Text as numbers: a Tokenizer that counts words and numbers them from the most frequent one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.core.errors import StateError, at_line, user_origin

_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def text_to_word_sequence(input_text: str, filters: str = _FILTERS, lower: bool = True, split: str = " ") -> list[str]:
    """A text's words.

    >>> import graphflow as gf
    >>> gf.keras.utils.text_to_word_sequence("Hello, World!")
    ['hello', 'world']
    """
    text = input_text.lower() if lower else input_text
    text = text.translate({ord(c): split for c in filters})
    return [word for word in text.split(split) if word]


class Tokenizer:
    """Words (or characters) by number: 1 is the most frequent one, 0 stays free for padding.

    ``num_words`` keeps the ``num_words - 1`` most frequent ones in what comes out; ``oov_token`` stands for others.

    >>> import graphflow as gf
    >>> tokenizer = gf.keras.utils.Tokenizer(oov_token="?")
    >>> tokenizer.fit_on_texts(["the cat sat", "the dog"])
    >>> tokenizer.texts_to_sequences(["the dog ran"]), tokenizer.word_index["the"]
    ([[2, 5, 1]], 2)
    """

    def __init__(
        self,
        num_words: int | None = None,
        filters: str = _FILTERS,
        lower: bool = True,
        split: str = " ",
        char_level: bool = False,
        oov_token: str | None = None,
        analyzer: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        self.num_words, self.filters, self.lower, self.split = num_words, filters, lower, split
        self.char_level, self.oov_token, self.analyzer = char_level, oov_token, analyzer
        self.word_counts: Counter[str] = Counter()
        self.word_docs: Counter[str] = Counter()
        self.document_count = 0
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}

    def _words(self, text: Any) -> list[str]:
        if isinstance(text, (list, tuple)):
            return [str(w).lower() if self.lower else str(w) for w in text]
        if self.analyzer is not None:
            return list(self.analyzer(text))
        if self.char_level:
            kept = text.lower() if self.lower else text
            return [c for c in kept if c not in self.filters]
        return text_to_word_sequence(text, self.filters, self.lower, self.split)

    def fit_on_texts(self, texts: Iterable[Any]) -> None:
        """Count the words of texts (strings, or lists of words), and number them."""
        if isinstance(texts, str):
            raise TypeError(at_line("fit_on_texts takes a list of texts, got one string", user_origin()))
        for text in texts:
            words = self._words(text)
            self.document_count += 1
            self.word_counts.update(words)
            self.word_docs.update(set(words))
        start = [self.oov_token] if self.oov_token is not None else []
        # Equal counts keep the order in which the words came: the numbers are the same in every run.
        listed = sorted(self.word_counts, key=lambda w: -self.word_counts[w])
        self.word_index = {word: i for i, word in enumerate([*start, *listed], 1)}
        self.index_word = {i: word for word, i in self.word_index.items()}

    def texts_to_sequences(self, texts: Iterable[Any]) -> list[list[int]]:
        """The numbers of the words of each text; unknown words are left out, or become ``oov_token``'s number."""
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts: Iterable[Any]) -> Iterator[list[int]]:
        """The same, one text after the other."""
        if not self.word_index:
            raise StateError(at_line("the Tokenizer knows no words yet: call fit_on_texts first", user_origin()))
        other = self.word_index.get(self.oov_token) if self.oov_token is not None else None
        for text in texts:
            numbers = [self.word_index.get(word) for word in self._words(text)]
            kept = [n if n is not None and (not self.num_words or n < self.num_words) else other for n in numbers]
            yield [n for n in kept if n is not None]

    def sequences_to_texts(self, sequences: Iterable[Sequence[int]]) -> list[str]:
        """Texts from numbers."""
        return [
            self.split.join(self.index_word[n] for n in map(int, sequence) if n in self.index_word)
            for sequence in sequences
        ]

    def texts_to_matrix(self, texts: Iterable[Any], mode: str = "binary") -> np.ndarray[Any, Any]:
        """A row for each text, a column for each word: "binary", "count", "freq" or "tfidf"."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(self, sequences: Sequence[Sequence[int]], mode: str = "binary") -> np.ndarray[Any, Any]:
        """The same for texts that are numbers already."""
        if mode not in ("binary", "count", "freq", "tfidf"):
            raise ValueError(at_line(f"mode is 'binary', 'count', 'freq' or 'tfidf', got {mode!r}", user_origin()))
        width = self.num_words or len(self.word_index) + 1
        out = np.zeros((len(sequences), width))
        for row, sequence in zip(out, sequences):
            for number, count in Counter(n for n in sequence if n < width).items():
                if mode == "count":
                    row[number] = count
                elif mode == "freq":
                    row[number] = count / len(sequence)
                elif mode == "binary":
                    row[number] = 1
                else:
                    texts_with = self.word_docs.get(self.index_word.get(number, ""), 0)
                    row[number] = (1 + np.log(count)) * np.log(1 + self.document_count / (1 + texts_with))
        return out

    def to_json(self) -> str:
        """What it knows, as JSON."""
        settings = ("num_words", "filters", "lower", "split", "char_level", "oov_token", "document_count")
        known = {"word_counts": self.word_counts, "word_docs": self.word_docs, "word_index": self.word_index}
        return json.dumps({**{name: getattr(self, name) for name in settings}, **known})


def tokenizer_from_json(text: str) -> Tokenizer:
    """The Tokenizer of ``to_json``."""
    data = json.loads(text)
    made = Tokenizer(*(data[n] for n in ("num_words", "filters", "lower", "split", "char_level", "oov_token")))
    made.document_count = data["document_count"]
    made.word_counts, made.word_docs = Counter(data["word_counts"]), Counter(data["word_docs"])
    made.word_index = data["word_index"]
    made.index_word = {i: word for word, i in made.word_index.items()}
    return made
