"""Tabular data: a CSV file as one NumPy array per column."""

from __future__ import annotations

import os

import numpy as np


def read_csv(
    path: str | os.PathLike[str],
    *,
    header: bool = True,
    delimiter: str = ",",
    encoding: str = "utf-8-sig",  # plain UTF-8, with or without the byte-order mark that spreadsheets write
) -> dict[str, np.ndarray]:
    """The columns of a CSV file (RFC 4180), by name: int64 where all cells are whole numbers, float64, else str.

    An empty cell of a numeric column is NaN, so such a column is float64. Without a header the names are "0", "1", ....
    Raises ValueError, with the line, for a row that has more or fewer cells than the first, and for a repeated name.

    >>> import pathlib, tempfile
    >>> from graphflow import datasets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "rooms.csv").write_text("rooms,area,city\\n2,51.5,Graz\\n3,,Linz\\n")
    ...     datasets.read_csv(f"{folder}/rooms.csv")
    {'rooms': array([2, 3]), 'area': array([51.5,  nan]), 'city': array(['Graz', 'Linz'], dtype='<U4')}
    """
    import csv  # here, to keep it out of `import graphflow`

    with open(path, encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        rows: list[list[str]] = []
        for row in reader:
            if not row:  # a blank line
                continue
            if rows and len(row) != len(rows[0]):
                where = f"{os.fspath(path)}, line {reader.line_num}"
                raise ValueError(f"{where}: {len(row)} cells where the first row has {len(rows[0])}")
            rows.append(row)
    if not rows:
        return {}
    names = rows.pop(0) if header else [str(i) for i in range(len(rows[0]))]
    if len(set(names)) != len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{os.fspath(path)}: two columns are named {repeated!r}; rename one or pass header=False")
    return {name: _column([row[i] for row in rows]) for i, name in enumerate(names)}


def _column(cells: list[str]) -> np.ndarray:
    """The cells as the narrowest of int64, float64, str that holds every one of them."""
    if any("_" in cell for cell in cells):  # Python reads 12_3 as a number; in a table it is a name
        return np.array(cells, dtype=np.str_)
    try:
        return np.array([int(cell) for cell in cells], dtype=np.int64)
    except (ValueError, OverflowError):
        pass
    try:
        return np.array([float(cell) if cell.strip() else np.nan for cell in cells], dtype=np.float64)
    except ValueError:
        return np.array(cells, dtype=np.str_)
