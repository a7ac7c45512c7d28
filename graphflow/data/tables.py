"""Tables as numbers, under scikit-learn's names: scaling, one-hot encoding, hashing, filling gaps, splitting.

Each preparation learns from the training rows (``fit``) and is then applied to any rows (``transform``); its
``state_dict`` is plain data for ``gf.save``.

>>> from graphflow.data import tables
>>> scale = tables.StandardScaler()
>>> scale.fit_transform([[1.0], [2.0], [3.0]]).ravel().round(3)
array([-1.225,  0.   ,  1.225], dtype=float32)
>>> scale.transform([[4.0]]).round(3), scale.inverse_transform([[0.0]])
(array([[2.449]], dtype=float32), array([[2.]], dtype=float32))
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.core.errors import ShapeError, StateError
from graphflow.data.sampler import Seed, as_generator, permutation

Array = np.ndarray


class Preparation:
    """Base of what learns from rows and changes rows. Learned attributes end in an underscore."""

    def fit(self, rows: Any) -> Any:
        """Learn from rows; gives itself."""
        raise NotImplementedError(f"{type(self).__name__} does not define fit()")

    def transform(self, rows: Any) -> Array:
        """The rows, changed."""
        raise NotImplementedError(f"{type(self).__name__} does not define transform()")

    def fit_transform(self, rows: Any) -> Array:
        """``fit`` and ``transform``."""
        self.fit(rows)
        return self.transform(rows)

    def state_dict(self) -> dict[str, Any]:
        """What was learned."""
        return {name: value for name, value in self.__dict__.items() if name.endswith("_")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what was learned from ``state_dict()``."""
        for name, value in state.items():
            setattr(self, name, value if isinstance(value, list) else np.asarray(value))

    def _learned(self, name: str) -> Any:
        if name not in self.__dict__:
            raise StateError(f"{type(self).__name__} has not learned anything yet: call fit(rows) first")
        return self.__dict__[name]

    def _numbers(self, rows: Any, columns: int | None = None) -> Array:
        table = np.asarray(rows, np.float64)
        if table.ndim != 2 or (columns is not None and table.shape[1] != columns):
            wanted = "rows of numbers" if columns is None else f"rows of {columns} numbers, as in fit"
            raise ShapeError(f"{type(self).__name__} takes {wanted} (a 2-d array), got shape {table.shape}")
        return table


class StandardScaler(Preparation):
    """Each column with mean 0 and standard deviation 1; constant columns become 0. NaN stays and does not count."""

    def fit(self, rows: Any) -> StandardScaler:
        table = self._numbers(rows)
        self.mean_ = np.nanmean(table, axis=0)
        spread = np.nanstd(table, axis=0)
        self.scale_ = np.where(spread > 10 * np.finfo(float).eps * np.abs(self.mean_), spread, 1.0)
        return self

    def transform(self, rows: Any) -> Array:
        mean = self._learned("mean_")
        return ((self._numbers(rows, len(mean)) - mean) / self.scale_).astype(np.float32)

    def inverse_transform(self, rows: Any) -> Array:
        """Back to the columns' own units."""
        mean = self._learned("mean_")
        return (self._numbers(rows, len(mean)) * self.scale_ + mean).astype(np.float32)


class MinMaxScaler(Preparation):
    """Each column between the two numbers of ``feature_range``; ``clip`` holds later rows there, too.

    >>> MinMaxScaler().fit([[0.0], [4.0]]).transform([[1.0], [6.0]]).tolist()
    [[0.25], [1.5]]
    """

    def __init__(self, feature_range: tuple[float, float] = (0.0, 1.0), clip: bool = False) -> None:
        if feature_range[0] >= feature_range[1]:
            raise ValueError(f"feature_range is (least, greatest), got {feature_range}")
        self.feature_range = feature_range
        self.clip = clip

    def fit(self, rows: Any) -> MinMaxScaler:
        table = self._numbers(rows)
        self.data_min_, self.data_max_ = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
        return self

    def transform(self, rows: Any) -> Array:
        low, (least, greatest) = self._learned("data_min_"), self.feature_range
        share = (self._numbers(rows, len(low)) - low) / self._spread()
        out = share * (greatest - least) + least
        return (np.clip(out, least, greatest) if self.clip else out).astype(np.float32)

    def inverse_transform(self, rows: Any) -> Array:
        """Back to the columns' own units."""
        low, (least, greatest) = self._learned("data_min_"), self.feature_range
        share = (self._numbers(rows, len(low)) - least) / (greatest - least)
        return (share * self._spread() + low).astype(np.float32)

    def _spread(self) -> Array:
        spread = self.data_max_ - self.data_min_
        return np.where(spread == 0, 1.0, spread)


class SimpleImputer(Preparation):
    """NaN in a column becomes its mean, median, or a constant.

    >>> SimpleImputer().fit_transform([[1.0], [np.nan], [3.0]]).ravel().tolist()
    [1.0, 2.0, 3.0]
    """

    def __init__(self, strategy: str = "mean", fill_value: float = 0.0) -> None:
        if strategy not in ("mean", "median", "constant"):
            raise ValueError(f"strategy is 'mean', 'median' or 'constant', got {strategy!r}")
        self.strategy = strategy
        self.fill_value = fill_value

    def fit(self, rows: Any) -> SimpleImputer:
        table = self._numbers(rows)
        if self.strategy == "constant":
            self.statistics_ = np.full(table.shape[1], self.fill_value)
        else:
            middle = np.nanmean if self.strategy == "mean" else np.nanmedian
            self.statistics_ = middle(table, axis=0)
        return self

    def transform(self, rows: Any) -> Array:
        fill = self._learned("statistics_")
        table = self._numbers(rows, len(fill))
        return np.where(np.isnan(table), fill, table).astype(np.float32)


class OneHotEncoder(Preparation):
    """Columns of categories (strings or numbers) as a 0/1 column for each category.

    ``handle_unknown`` "error" raises ValueError for a category that was not there in ``fit``, "ignore" gives zeros.

    >>> encode = OneHotEncoder().fit([["red"], ["blue"]])
    >>> encode.transform([["blue"]]).tolist(), encode.get_feature_names_out(["color"])
    ([[1.0, 0.0]], ['color_blue', 'color_red'])
    """

    def __init__(self, handle_unknown: str = "error") -> None:
        if handle_unknown not in ("error", "ignore"):
            raise ValueError(f"handle_unknown is 'error' or 'ignore', got {handle_unknown!r}")
        self.handle_unknown = handle_unknown

    def fit(self, rows: Any) -> OneHotEncoder:
        self.categories_: list[list[Any]] = [np.unique(column).tolist() for column in _columns(rows)]
        return self

    def transform(self, rows: Any) -> Array:
        categories, columns = self._learned("categories_"), _columns(rows)
        if len(columns) != len(categories):
            raise ShapeError(f"OneHotEncoder learned {len(categories)} columns, got {len(columns)}")
        parts = []
        for number, (known, column) in enumerate(zip(categories, columns)):
            part = column[:, None] == np.asarray(known)[None, :]
            if self.handle_unknown == "error" and not part.any(1).all():
                unknown = column[~part.any(1)][0]
                raise ValueError(f"column {number} has {str(unknown)!r}, which was not there in fit: {known}")
            parts.append(part)
        return np.concatenate(parts, axis=1).astype(np.float32)

    def inverse_transform(self, rows: Any) -> list[list[Any]]:
        """The categories of encoded rows; None where there is none."""
        table, out, start = np.asarray(rows), [], 0
        for known in self._learned("categories_"):
            part = table[:, start : start + len(known)]
            out.append([known[row.argmax()] if row.any() else None for row in part])
            start += len(known)
        return [list(row) for row in zip(*out)]

    def get_feature_names_out(self, names: Sequence[str] | None = None) -> list[str]:
        """A name for each column that comes out."""
        categories = self._learned("categories_")
        owners = names or [f"x{i}" for i in range(len(categories))]
        return [f"{owner}_{category}" for owner, known in zip(owners, categories) for category in known]


class LabelEncoder(Preparation):
    """Categories as numbers 0, 1, ..., in their order.

    >>> encode = LabelEncoder()
    >>> encode.fit_transform(["no", "yes", "no"]).tolist(), encode.inverse_transform([1])
    ([0, 1, 0], ['yes'])
    """

    def fit(self, rows: Any) -> LabelEncoder:
        self.classes_: list[Any] = np.unique(np.asarray(rows)).tolist()
        return self

    def transform(self, rows: Any) -> Array:
        classes = self._learned("classes_")
        found = np.asarray(rows)
        known = np.isin(found, classes)
        if not known.all():
            raise ValueError(f"{str(found[~known][0])!r} was not there in fit: {classes}")
        return np.searchsorted(np.asarray(classes), found).astype(np.int64)

    def inverse_transform(self, numbers: Iterable[int]) -> list[Any]:
        """The categories of numbers."""
        classes = self._learned("classes_")
        return [classes[int(i)] for i in numbers]


def hashed(values: Any, buckets: int, seed: int = 0) -> Array:
    """Each value (string or number) as a number of 0, ..., buckets - 1, for an embedding: no vocabulary is needed.

    The same in every process and on every machine (BLAKE2), unlike Python's ``hash``.

    >>> hashed(["cat", "dog", "cat"], 1000).tolist()
    [440, 314, 440]
    """
    if buckets < 1:
        raise ValueError(f"buckets must be at least 1, got {buckets}")
    array = np.asarray(values)
    known = {value: _bucket(value, buckets, seed) for value in np.unique(array).tolist()}
    return np.array([known[value] for value in array.ravel().tolist()], np.int64).reshape(array.shape)


def _bucket(value: Any, buckets: int, seed: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % buckets


class FeatureHasher(Preparation):
    """Rows of named values (dicts) as vectors of ``n_features`` numbers, names hashed to places (Weinberger, 2009).

    A number adds itself at its name's place, a string s adds 1 at the place of "name=s"; a second hash gives the sign,
    so that collisions cancel on average. Nothing is learned.

    >>> FeatureHasher(8).transform([{"age": 3.0, "city": "Graz"}]).shape
    (1, 8)
    """

    def __init__(self, n_features: int = 1 << 10, alternate_sign: bool = True) -> None:
        if n_features < 1:
            raise ValueError(f"n_features must be at least 1, got {n_features}")
        self.n_features = n_features
        self.alternate_sign = alternate_sign

    def fit(self, rows: Any) -> FeatureHasher:
        return self

    def transform(self, rows: Any) -> Array:
        out = np.zeros((len(rows), self.n_features), np.float32)
        for row, values in zip(out, rows):
            for name, value in values.items():
                key, number = (f"{name}={value}", 1.0) if isinstance(value, str) else (name, float(value))
                sign = 1 - 2 * _bucket(key, 2, seed=1) if self.alternate_sign else 1
                row[_bucket(key, self.n_features, seed=0)] += sign * number
        return out


def _columns(rows: Any) -> list[Array]:
    """The columns of rows that may mix strings and numbers, each with a dtype of its own."""
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        return list(rows.T)
    listed = [list(row) for row in rows]
    if not listed or len({len(row) for row in listed}) != 1:
        raise ShapeError("rows of one length are needed, at least one")
    return [np.array(column) for column in zip(*listed)]


def train_test_split(*arrays: Any, test_size: float = 0.25, generator: Seed = None) -> list[Any]:
    """Each array in two parts, the same random rows of all: [a_train, a_test, b_train, b_test, ...].

    ``test_size`` is a fraction, or a number of rows; ``generator`` a seed or a ``gf.random.Generator``.

    >>> x_train, x_test, y_train, y_test = train_test_split(np.eye(8), np.arange(8), generator=0)
    >>> x_train.shape, x_test.shape, (x_test.argmax(1) == y_test).all().item()
    ((6, 8), (2, 8), True)
    """
    lengths = {len(a) for a in arrays}
    if len(lengths) != 1:
        raise ShapeError(f"arrays of one length are needed, got {sorted(lengths) or 'none'}")
    (total,) = lengths
    test = int(np.ceil(total * test_size)) if isinstance(test_size, float) and test_size < 1 else int(test_size)
    if not 0 < test < total:
        raise ValueError(f"test_size={test_size} leaves no rows in one part of {total}")
    order = permutation(total, as_generator(generator))
    return [np.asarray(a)[part] for a in arrays for part in (order[test:], order[:test])]
