"""Object code of many kernels as one image, which another process runs without loading LLVM.

LLVM emits object files: sections, symbols, and *relocations*, the places where an address or a distance is still to be
filled in. ``link`` does of a linker's work what kernels need. It lays the sections one behind the other and fills in
the distances between them; code is position-independent, so what is left are a few whole addresses: of C functions,
and of places in the image itself. ``load`` copies an image into memory, enters these, and makes it executable.

Only for x86-64 Linux (ELF). Elsewhere, and for what it does not know, ``link`` gives None: LLVM's linker does it all.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_SECTION = struct.Struct("<IIQQQQIIQQ")  # name, type, flags, address, offset, size, link, info, alignment, entry size
_SYMBOL = struct.Struct("<IBBHQQ")  # name, info, other, section, value, size
_RELOCATION = struct.Struct("<QQq")  # place, symbol << 32 | kind, addend
_SYMBOLS, _RELOCATIONS, _NO_BITS = 2, 4, 8  # types of sections
_WRITTEN, _IN_MEMORY = 1, 2  # flags of sections
_ABSOLUTE = 1  # kinds of relocations: a whole address,
_DISTANCES = (2, 4)  # how far it is to a symbol,
_TABLE = (9, 41, 42)  # how far it is to a word that holds a symbol's address
_JUMP = b"\xff\x25"  # jmp *distance(%rip): to the address in a word


class Image(NamedTuple):
    """Code, where the wanted symbols are in it, and the words of it that are addresses."""

    code: bytes
    symbols: dict[str, int]
    own: list[tuple[int, int]]  # word, place in the image
    outside: list[tuple[int, str]]  # word, function


class _Unknown(Exception):
    """Something that only a real linker knows."""


def link(objects: Iterable[bytes], symbols: Iterable[str]) -> Image | None:
    """An image with these symbols; None where this is not the linker for it."""
    if not (sys.platform == "linux" and platform.machine() == "x86_64"):
        return None
    linker = _Linker()
    try:
        for each in objects:
            linker.add(each)
        return linker.image(symbols)
    except (_Unknown, KeyError, IndexError, ValueError, struct.error):
        return None


class _Linker:
    def __init__(self) -> None:
        self.code = bytearray()
        self.symbols: dict[str, int] = {}
        self.open: list[tuple[int, int, int | str, int]] = []  # place, kind, symbol, addend
        self.words: dict[int | str, int] = {}  # of addresses in the image, or of C functions

    def add(self, data: bytes) -> None:
        """Lay out an object's sections; note its symbols and relocations."""
        if data[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<HH", data, 16) != (1, 62):
            raise _Unknown
        (table,) = struct.unpack_from("<Q", data, 0x28)
        (count,) = struct.unpack_from("<H", data, 0x3C)
        sections = [_SECTION.unpack_from(data, table + i * _SECTION.size) for i in range(count)]
        start = {i: self._lay(data, s) for i, s in enumerate(sections) if s[2] & _IN_MEMORY and s[1] in (1, _NO_BITS)}
        places: list[int | str] = []
        for symtab in (s for s in sections if s[1] == _SYMBOLS):
            names = sections[symtab[6]][4]
            for name, info, _, section, value, _ in _SYMBOL.iter_unpack(data[symtab[4] : symtab[4] + symtab[5]]):
                text = data[names + name : data.index(b"\0", names + name)].decode()
                place: int | str = start[section] + value if section in start else text
                places.append(place)
                if info >> 4 and isinstance(place, int):  # not local
                    self.symbols[text] = place
        for s in sections:
            if s[1] == _RELOCATIONS and s[7] in start:
                for offset, what, addend in _RELOCATION.iter_unpack(data[s[4] : s[4] + s[5]]):
                    self.open.append((start[s[7]] + offset, what & 0xFFFFFFFF, places[what >> 32], addend))

    def _lay(self, data: bytes, section: tuple[int, ...]) -> int:
        _, kind, flags, _, offset, size, _, _, alignment, _ = section
        if flags & _WRITTEN:
            raise _Unknown  # kernels have no variables
        self._align(alignment)
        start = len(self.code)
        self.code += bytes(size) if kind == _NO_BITS else data[offset : offset + size]
        return start

    def _align(self, alignment: int) -> None:
        self.code += bytes(-len(self.code) % max(alignment, 1))

    def _word(self, symbol: int | str) -> int:
        """A word for an address."""
        if symbol not in self.words:
            self._align(8)
            self.words[symbol] = len(self.code)
            self.code += bytes(8)
        return self.words[symbol]

    def image(self, wanted: Iterable[str]) -> Image:
        jumps: dict[str, int] = {}
        own: list[tuple[int, int]] = []
        for place, kind, symbol, addend in self.open:
            if isinstance(symbol, str):
                symbol = self.symbols.get(symbol, symbol)
            if kind == _ABSOLUTE and isinstance(symbol, int):
                own.append((place, symbol + addend))
                continue
            if kind in _TABLE:
                target = self._word(symbol)
            elif kind not in _DISTANCES:
                raise _Unknown
            elif isinstance(symbol, int):
                target = symbol
            else:
                if symbol not in jumps:  # a C function may be too far away for a distance
                    word = self._word(symbol)
                    jumps[symbol] = len(self.code)
                    self.code += _JUMP + struct.pack("<i", word - len(self.code) - 6)
                target = jumps[symbol]
            struct.pack_into("<i", self.code, place, target + addend - place)
        own += [(word, place) for place, word in self.words.items() if isinstance(place, int)]
        outside = [(word, name) for name, word in self.words.items() if isinstance(name, str)]
        return Image(bytes(self.code), {name: self.symbols[name] for name in wanted}, own, outside)


def load(image: Image, known: Mapping[str, int] | None = None) -> dict[str, int]:
    """The addresses of an image's symbols; ``known`` are those of functions outside that are not C functions.

    Raises OSError or AttributeError where this process cannot have it.
    """
    process = ctypes.CDLL(None)
    memory = mmap.mmap(-1, len(image.code))
    memory[: len(image.code)] = image.code
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for word, place in image.own:
        struct.pack_into("<Q", memory, word, base + place)
    for word, name in image.outside:
        address = (known or {}).get(name) or ctypes.cast(getattr(process, name), ctypes.c_void_p).value
        struct.pack_into("<Q", memory, word, address)
    size = -(-len(image.code) // mmap.PAGESIZE) * mmap.PAGESIZE
    if process.mprotect(ctypes.c_void_p(base), ctypes.c_size_t(size), mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError("memory cannot be made executable")
    # For ever, also while Python takes its modules apart at the end: threads of the gang may still be in there.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
    return {name: base + place for name, place in image.symbols.items()}
