"""Images of object code: what LLVM's linker would do of it, code does the same in an image."""

from __future__ import annotations

import ctypes
import struct

import pytest

from graphflow.codegen import image, llvm
from graphflow.codegen.host import host
from graphflow.codegen.image import link, load

pytestmark = pytest.mark.skipif(link([], []) is None, reason="images are for x86-64 Linux")

CALLER = """
declare i64 @callee(i64)
declare ptr @memcpy(ptr, ptr, i64)
@numbers = internal constant [4 x double] [double 1.5, double 2.5, double -3.5, double 0.25]
define i64 @caller(i64 %x) {
  %y = call i64 @callee(i64 %x)
  %z = mul i64 %y, 3
  ret i64 %z
}
define double @pick(i64 %i) {
  %p = getelementptr [4 x double], ptr @numbers, i64 0, i64 %i
  %v = load double, ptr %p
  %w = fadd double %v, 0x4024333333333333
  ret double %w
}
define ptr @copy(ptr %to, ptr %from, i64 %n) {
  %r = call ptr @memcpy(ptr %to, ptr %from, i64 %n)
  ret ptr %r
}
define ptr @address() {
  ret ptr @memcpy
}
"""
CALLEE = """
define i64 @callee(i64 %x) {
  switch i64 %x, label %other [i64 0, label %a  i64 1, label %b  i64 2, label %c  i64 3, label %d  i64 4, label %e]
a:
  ret i64 10
b:
  ret i64 -7
c:
  ret i64 22
d:
  ret i64 35
e:
  ret i64 1
other:
  ret i64 99
}
"""
STATE = "@count = global i64 0\ndefine ptr @state() {\n ret ptr @count\n}\n"
POINTERS = "@f = external global i8\n@table = constant [2 x ptr] [ptr @f, ptr @f]\n"


@pytest.fixture(scope="module")
def objects() -> list[bytes]:
    machine = llvm.target_machine(host())
    return [llvm.object_code([llvm.Assembly([], [text])], machine) for text in (CALLER, CALLEE)]


def test_calls_constants_jumps_and_c_functions(objects: list[bytes]) -> None:
    linked = link(objects, ["caller", "pick", "copy", "address"])
    assert linked is not None and {name for _, name in linked.outside} == {"memcpy"}
    found = load(linked)
    assert found.keys() == {"caller", "pick", "copy", "address"}
    word = ctypes.c_int64
    caller = ctypes.CFUNCTYPE(word, word)(found["caller"])
    assert [caller(x) for x in range(6)] == [30, -21, 66, 105, 3, 297]
    pick = ctypes.CFUNCTYPE(ctypes.c_double, word)(found["pick"])
    assert [pick(i) for i in range(4)] == pytest.approx([11.6, 12.6, 6.6, 10.35])
    source, target = ctypes.create_string_buffer(b"some text"), ctypes.create_string_buffer(10)
    ctypes.CFUNCTYPE(ctypes.c_void_p, *[ctypes.c_size_t] * 3)(found["copy"])(
        ctypes.addressof(target), ctypes.addressof(source), 9
    )
    assert target.value == b"some text"
    address = ctypes.cast(ctypes.CDLL(None).memcpy, ctypes.c_void_p).value
    assert ctypes.CFUNCTYPE(ctypes.c_void_p)(found["address"])() == address


def test_an_image_may_be_loaded_many_times(objects: list[bytes]) -> None:
    linked = link(objects[1:], ["callee"])
    assert linked is not None
    addresses = {load(linked)["callee"] for _ in range(3)}
    assert len(addresses) == 3
    assert {ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(a)(2) for a in addresses} == {22}


def test_what_it_does_not_know_is_left_to_the_linker(objects: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    machine = llvm.target_machine(host())
    for text in (STATE, POINTERS):
        assert link([llvm.object_code([llvm.Assembly([], [text])], machine)], []) is None
    assert link(objects, ["absent"]) is None
    for damaged in (b"", b"text", objects[0][:100], objects[0][:4] + b"\x01" + objects[0][5:]):
        assert link([damaged], []) is None
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert link(objects, ["caller"]) is None


def test_words_of_the_image_are_moved_with_it() -> None:
    function = b"\x48\x8b\x05\x01\x00\x00\x00\xc3" + bytes(8)  # mov rax, [rip+1]; ret; the word is the last 8 bytes
    found = load(image.Image(function, {"f": 0}, [(8, 3)], []))
    assert ctypes.CFUNCTYPE(ctypes.c_size_t)(found["f"])() == found["f"] + 3


def test_a_c_function_that_this_process_lacks() -> None:
    with pytest.raises(AttributeError, match="no_such_function"):
        load(image.Image(struct.pack("<q", 0), {}, [], [(0, "no_such_function")]))
