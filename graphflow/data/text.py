"""Text as numbers: tokenizers, vocabularies, and sequences padded to one length.

>>> from graphflow.data import text
>>> split = text.get_tokenizer("basic_english")
>>> words = text.build_vocab_from_iterator(map(split, ["The cat sat.", "The dog!"]), specials=["<pad>", "<unk>"])
>>> words.set_default_index(words["<unk>"])
>>> words(split("the cow sat")), words.lookup_tokens([2])
([2, 1, 7], ['the'])
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.core.errors import ShapeError
from graphflow.tensor import Tensor

Tokenizer = Callable[[str], list[str]]

_ENGLISH = [  # the rules of torchtext's "basic_english"
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\'", " '  "),
        (r"\"", ""),
        (r"\.", " . "),
        (r"<br \/>", " "),
        (r",", " , "),
        (r"\(", " ( "),
        (r"\)", " ) "),
        (r"\!", " ! "),
        (r"\?", " ? "),
        (r"\;", " "),
        (r"\:", " "),
        (r"\s+", " "),
    )
]


def basic_english(line: str) -> list[str]:
    """Lower-case words and punctuation marks.

    >>> basic_english("It's fine, really!")
    ['it', "'", 's', 'fine', ',', 'really', '!']
    """
    line = line.lower()
    for pattern, replacement in _ENGLISH:
        line = pattern.sub(replacement, line)
    return line.split()


def ngrams(tokens: Sequence[str], n: int) -> Iterator[str]:
    """The tokens, and all sequences of up to ``n`` of them, joined by spaces.

    >>> list(ngrams(["a", "b", "c"], 2))
    ['a', 'b', 'c', 'a b', 'b c']
    """
    for length in range(1, n + 1):
        for start in range(len(tokens) - length + 1):
            yield " ".join(tokens[start : start + length])


def get_tokenizer(tokenizer: str | Tokenizer | None) -> Tokenizer:
    """A function from a text to its tokens: "basic_english", "split" (at white space; None too), "characters".

    A function is given back as it is. Raises ValueError for another name.
    """
    known: dict[str | None, Tokenizer] = {
        "basic_english": basic_english,
        "split": str.split,
        None: str.split,
        "characters": list,
    }
    if callable(tokenizer):
        return tokenizer
    if tokenizer not in known:
        raise ValueError(f"tokenizer is a function or one of basic_english, split, characters; got {tokenizer!r}")
    return known[tokenizer]


class Vocab:
    """Tokens and their numbers, both ways. (torchtext's Vocab.)

    ``vocab[token]`` is its number, ``vocab(tokens)`` a list of them; what is not in it has the ``default_index``, or
    raises KeyError where there is none.
    """

    def __init__(self, tokens: Iterable[str], default_index: int | None = None) -> None:
        self._tokens = list(tokens)
        self._numbers = {token: i for i, token in enumerate(self._tokens)}
        if len(self._numbers) != len(self._tokens):
            repeated = next(token for token, n in Counter(self._tokens).items() if n > 1)
            raise ValueError(f"the vocabulary has {repeated!r} twice")
        self._default = default_index

    def __len__(self) -> int:
        return len(self._tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._numbers

    def __getitem__(self, token: str) -> int:
        number = self._numbers.get(token, self._default)
        if number is None:
            raise KeyError(f"{token!r} is not in the vocabulary; set_default_index(...) gives such tokens a number")
        return number

    def __call__(self, tokens: Iterable[str]) -> list[int]:
        return [self[token] for token in tokens]

    lookup_indices = __call__

    def set_default_index(self, index: int | None) -> None:
        """The number of tokens that are not in the vocabulary; None makes them an error."""
        self._default = index

    def get_default_index(self) -> int | None:
        return self._default

    def lookup_token(self, index: int) -> str:
        """The token of a number. IndexError if there is none."""
        if not 0 <= index < len(self):
            raise IndexError(f"token {index} is out of range for a vocabulary of {len(self)}")
        return self._tokens[index]

    def lookup_tokens(self, indices: Iterable[int]) -> list[str]:
        return [self.lookup_token(int(i)) for i in indices]

    def append_token(self, token: str) -> None:
        """Add a token at the end. ValueError if it is there."""
        if token in self._numbers:
            raise ValueError(f"the vocabulary has {token!r} already")
        self._numbers[token] = len(self._tokens)
        self._tokens.append(token)

    def get_itos(self) -> list[str]:
        """All tokens, in the order of their numbers."""
        return list(self._tokens)

    def get_stoi(self) -> dict[str, int]:
        """The numbers of all tokens."""
        return dict(self._numbers)

    def state_dict(self) -> dict[str, Any]:
        """The tokens and the default, as plain data for ``gf.save``."""
        return {"tokens": self.get_itos(), "default_index": self._default}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Vocab:
        """A vocabulary from its ``state_dict``."""
        return cls(state["tokens"], state["default_index"])

    def __repr__(self) -> str:
        return f"Vocab({len(self)} tokens: {', '.join(map(repr, self._tokens[:5]))}{', ...' if len(self) > 5 else ''})"


def vocab(
    ordered_dict: Mapping[str, int],
    min_freq: int = 1,
    specials: Sequence[str] | None = None,
    special_first: bool = True,
) -> Vocab:
    """A vocabulary of the tokens that come at least ``min_freq`` times, in the order of the mapping."""
    extra = list(specials or ())
    tokens = [token for token, count in ordered_dict.items() if count >= min_freq and token not in extra]
    return Vocab(extra + tokens if special_first else tokens + extra)


def build_vocab_from_iterator(
    iterator: Iterable[Iterable[str]],
    min_freq: int = 1,
    specials: Sequence[str] | None = None,
    special_first: bool = True,
    max_tokens: int | None = None,
) -> Vocab:
    """A vocabulary of the tokens of many texts, the most frequent first (equal ones in alphabetical order).

    ``max_tokens`` limits its size, ``specials`` included.
    """
    counts: Counter[str] = Counter()
    for tokens in iterator:
        counts.update(tokens)
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    for special in specials or ():
        ordered.pop(special, None)
    if max_tokens is not None:
        room = max_tokens - len(specials or ())
        if room < 0:
            raise ValueError(f"max_tokens {max_tokens} is less than the {len(specials or ())} specials")
        ordered = dict(list(ordered.items())[:room])
    return vocab(ordered, min_freq, specials, special_first)


def pad_sequence(
    sequences: Sequence[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (length_i, ...) as one tensor (longest, batch, ...), or (batch, longest, ...) with ``batch_first``.

    Raises ShapeError where the sizes behind the first differ, ValueError for no sequence. (In NumPy, as data is made;
    ``nn.utils.rnn.pad_sequence`` is for tensors with gradients.)

    >>> pad_sequence([[1, 2, 3], [4]], batch_first=True).tolist()
    [[1, 2, 3], [4, 0, 0]]
    """
    arrays = [np.asarray(s) for s in sequences]
    if not arrays:
        raise ValueError("pad_sequence needs at least one sequence")
    if padding_side not in ("left", "right"):
        raise ValueError(f"padding_side is 'left' or 'right', got {padding_side!r}")
    if any(a.ndim == 0 or a.shape[1:] != arrays[0].shape[1:] for a in arrays):
        shapes = ", ".join(sorted({str(a.shape) for a in arrays}))
        raise ShapeError(f"sequences may differ in their first size only, got shapes {shapes}")
    longest = max(len(a) for a in arrays)
    dtype = np.result_type(*arrays)
    dtype = np.dtype(np.float32) if dtype == np.float64 and not isinstance(sequences[0], np.ndarray) else dtype
    out = np.full((len(arrays), longest, *arrays[0].shape[1:]), padding_value, dtype)
    for row, a in zip(out, arrays):
        start = longest - len(a) if padding_side == "left" else 0
        row[start : start + len(a)] = a
    return Tensor(out if batch_first else np.ascontiguousarray(out.swapaxes(0, 1)))


class PadCollate:
    """A ``collate_fn`` for samples (sequence, label, ...): sequences are padded, their lengths are put behind them.

    Gives (sequences (batch, longest), lengths (batch,), labels, ...); longer sequences are cut at ``max_length``.

    >>> from graphflow import data
    >>> from graphflow.data import text
    >>> samples = [([1, 2, 3], 0), ([4], 1)]
    >>> [t.tolist() for t in next(iter(data.DataLoader(samples, 2, collate_fn=text.PadCollate())))]
    [[[1, 2, 3], [4, 0, 0]], [3, 1], [0, 1]]
    """

    def __init__(self, padding_value: float = 0, max_length: int | None = None, padding_side: str = "right") -> None:
        self.padding_value = padding_value
        self.max_length = max_length
        self.padding_side = padding_side

    def __call__(self, batch: Sequence[Any]) -> tuple[Any, ...]:
        from graphflow.data.collate import default_collate

        sequences = [np.asarray(sample[0])[: self.max_length] for sample in batch]
        padded = pad_sequence(sequences, True, self.padding_value, self.padding_side)
        lengths = Tensor(np.array([len(s) for s in sequences], np.int64))
        rest = zip(*(sample[1:] for sample in batch))
        return (padded, lengths, *(default_collate(list(part)) for part in rest))
