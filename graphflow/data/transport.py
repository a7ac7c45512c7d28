"""Sending batches from one process to another: the arrays go through shared memory, only what is left is pickled.

The memory has no name: the sender writes an anonymous file, passes its descriptor on, and the system frees it when
both have let go of it. So nothing stays behind, however the processes end.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import weakref
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

_SHARED = hasattr(os, "memfd_create")  # Linux; elsewhere everything goes through the pipe
_SMALL = 1 << 12  # bytes that are not worth an anonymous file
_MAPPED = 1 << 18  # bytes from which mapping the file is cheaper than reading it
_MOST_MAPPED = 64  # each mapping holds a file descriptor for as long as the batch lives
_ALIGNMENT = 64
_mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


class _Pickler(pickle.Pickler):
    """Pickles arrays of every dtype out of band; NumPy does it for its own ones only."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is np.ndarray and value.dtype.kind == "V" and value.dtype.names is None:  # bfloat16, ...
            raw = np.ascontiguousarray(value).reshape(value.shape).view(f"u{value.dtype.itemsize}")
            return _viewed, (raw, value.dtype)
        return NotImplemented


def _viewed(raw: np.ndarray, dtype: Any) -> np.ndarray:
    return raw.view(dtype)


def send(connection: Connection, value: Any) -> None:
    """Send anything that can be pickled."""
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(value)
    parts = [buffer.raw() for buffer in buffers]
    if not _SHARED or sum(part.nbytes for part in parts) < _SMALL:
        connection.send_bytes(pickle.dumps((stream.getvalue(), [bytes(part) for part in parts], 0)))
        return
    places, total = [], 0
    for part in parts:
        places.append((total, part.nbytes))
        total += -(-part.nbytes // _ALIGNMENT) * _ALIGNMENT
    descriptor = os.memfd_create("graphflow-batch")
    try:
        os.ftruncate(descriptor, total)
        for (start, _), part in zip(places, parts):
            written = 0
            while written < part.nbytes:
                written += os.pwrite(descriptor, part[written:], start + written)
        connection.send_bytes(pickle.dumps((stream.getvalue(), places, total)))
        reduction.send_handle(connection, descriptor, 0)
    finally:
        os.close(descriptor)


def receive(connection: Connection) -> Any:
    """What the other end sent; EOFError or OSError if it is gone."""
    body, places, total = pickle.loads(connection.recv_bytes())
    if not total:
        return pickle.loads(body, buffers=[bytearray(part) for part in places])
    descriptor = reduction.recv_handle(connection)
    try:
        memory = _memory(descriptor, total)
    finally:
        os.close(descriptor)
    return pickle.loads(body, buffers=[memory[start : start + size] for start, size in places])


def _memory(descriptor: int, total: int) -> memoryview:
    """The file's content: mapped if it is large, else read."""
    if total >= _MAPPED and len(_mapped) < _MOST_MAPPED:
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
        mapping = mmap.mmap(descriptor, total, flags)
        _mapped.add(mapping)
        return memoryview(mapping)
    view = memoryview(np.empty(total, np.uint8))  # type: ignore[arg-type]  # arrays are buffers
    done = 0
    while done < total:
        count = os.preadv(descriptor, [view[done:]], done)
        if not count:
            raise EOFError("the shared memory of a batch is shorter than announced")
        done += count
    return view
