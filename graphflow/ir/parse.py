"""Reading the text of a graph (ir/text.py has its form). Nothing in it is executed, no file or module is opened."""

from __future__ import annotations

import base64
import difflib
import json
import math
import re
import sys
from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Shape, Size
from graphflow.core.dtypes import BY_NAME, DType
from graphflow.core.errors import GraphError, GraphFlowError, Origin
from graphflow.core.op import get_op
from graphflow.ir.graph import Graph, Node
from graphflow.ir.text import HEADER
from graphflow.ir.verify import Verifier
from graphflow.variable import Variable

MAX_ELEMENTS = 2**31  # a text that asks for a larger array is refused
MAX_NESTING = 50

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"[^"\\]*(?:\\.[^"\\]*)*")
    | (?P<number>-?(?:\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+|\d+)|-?inf\b|nan\b)
    | (?P<word>[A-Za-z_][A-Za-z0-9_.]*)
    | (?P<punct>==|//|[%@&=(){}\[\],:<>*+-])
    )""",
    re.VERBOSE,
)
_ORIGIN = re.compile(r"\s*# (?P<file>.*):(?P<line>\d+) in (?P<function>.*)")
_CONSTANTS = {"True": True, "False": False, "None": None}


class FixedSource:
    """Stands for the Python function that a ``host_scalar`` asks: gives the number that was written down."""

    def __init__(self, value: float) -> None:
        self.value = float(value)

    def __call__(self) -> float:
        return self.value


def parse(text: str, variables: dict[str, Variable]) -> Graph:
    """The last graph of the text. Raises GraphError naming the line that is wrong."""
    reader = _Reader(variables)
    lines = text.splitlines()
    if not lines or lines[0].strip() != HEADER:
        raise GraphError(f"line 1: the text of a graph starts with {HEADER!r}, got {lines[0] if lines else ''!r}")
    number = 1
    try:
        for number, line in enumerate(lines[1:], 2):  # noqa: B007 - the except clause needs it
            if line.strip() and not line.lstrip().startswith("#"):
                reader.line(_Line(line))
        return reader.finish()
    except (GraphFlowError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise GraphError(f"line {number}: {error}\n  {lines[number - 1].strip()[:200]}") from error


class _Line:
    """One line taken apart from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def next(self, text: str) -> bool:
        """Whether the next token is this one; if so it is taken."""
        match = _TOKEN.match(self.text, self.at)
        if match is None or match[match.lastgroup or 0] != text:
            return False
        self.at = match.end()
        return True

    def kind(self, kind: str) -> str | None:
        """The next token if it is of this kind, else None and nothing is taken."""
        match = _TOKEN.match(self.text, self.at)
        if match is None or match.lastgroup != kind:
            return None
        self.at = match.end()
        return match[kind]

    def take(self, text: str, what: str = "") -> None:
        if not self.next(text):
            raise self.expected(what or repr(text))

    def word(self, what: str) -> str:
        word = self.kind("word")
        if word is None:
            raise self.expected(what)
        return word

    def expected(self, what: str) -> GraphError:
        rest = self.text[self.at :].strip()
        return GraphError(f"expected {what}, got {rest[:40] or 'the end of the line'!r}")

    def name(self, sigil: str, what: str) -> str:
        self.take(sigil, what)
        quoted = self.kind("string")
        return str(json.loads(quoted)) if quoted is not None else self.word(what)

    def quoted(self, what: str) -> str:
        string = self.kind("string")
        if string is None:
            raise self.expected(what)
        return str(json.loads(string))

    def items(self, end: str, item: Any) -> list[Any]:
        """Comma-separated items up to ``end``; a trailing comma is allowed."""
        found: list[Any] = []
        while not self.next(end):
            if found:
                self.take(",", f"',' or {end!r}")
                if self.next(end):
                    break
            found.append(item())
        return found

    def origin(self) -> Origin | None:
        match = _ORIGIN.fullmatch(self.text, self.at)
        if match is None:
            return None
        self.at = len(self.text)
        return Origin(str(json.loads(f'"{match["file"]}"')), int(match["line"]), match["function"])

    def end(self) -> None:
        rest = self.text[self.at :].strip()
        if rest and not rest.startswith("#"):
            raise GraphError(f"expected the end of the line, got {rest[:40]!r}")

    # -- shapes and dtypes ------------------------------------------------------------------------------------------
    def size(self) -> Size:
        total = self._product()
        while True:
            if self.next("+"):
                total = total + self._product()
            elif self.next("-"):
                total = total - self._product()
            elif re.match(r"\s*-\d", self.text[self.at : self.at + 8]):  # "n-2": the sign reads as part of the number
                total = total + self._product()
            else:
                return total

    def _product(self) -> Size:
        total = self._factor()
        while self.next("*"):
            total = total * self._factor()
        return total

    def _factor(self) -> Size:
        if (number := self.kind("number")) is not None:
            if not re.fullmatch(r"-?\d+", number):
                raise GraphError(f"expected a size, got {number!r}")
            return int(number)
        if self.next("("):
            dividend = self.size()
            self.take("//")
            divisor = self.size()
            self.take(")")
            return dividend // divisor
        quoted = self.kind("string")
        return Dim(str(json.loads(quoted)) if quoted is not None else self.word("a size"))

    def dtype(self) -> DType:
        name = self.word("a dtype")
        if name not in BY_NAME:
            raise GraphError(f"no dtype {name!r}" + _close(name, BY_NAME))
        return BY_NAME[name]

    def shape(self) -> Shape:
        return tuple(self.items("]", self.size))

    def aval(self) -> AVal:
        dtype = self.dtype()
        self.take("[", "'[' and a shape")
        return AVal(self.shape(), dtype)

    def avals(self) -> Any:
        if not self.next("("):
            return self.aval()
        return tuple(self.items(")", self.aval)) or None


def _close(name: str, names: Any) -> str:
    close = difflib.get_close_matches(name, names, 3)
    return f"; did you mean {', '.join(close)}?" if close else ""


class _Reader:
    """Builds the graphs, line by line."""

    def __init__(self, given: dict[str, Variable]) -> None:
        self.given = given
        self.variables: dict[str, Variable] = {}
        self.created: list[Variable] = []
        self.graphs: dict[str, Graph] = {}
        self.graph: Graph | None = None
        self.verifier: Verifier
        self.nodes: dict[str, Node] = {}
        self.depth = 0

    def line(self, line: _Line) -> None:
        if line.next("variable"):
            self.variable(line)
        elif line.next("graph"):
            self.open(line)
        elif self.graph is None:
            raise GraphError("expected 'variable' or 'graph' before any node")
        elif line.next("assume"):
            a = line.size()
            line.take("==")
            self.graph.assumptions.append((a, line.size()))
        elif line.next("return"):
            self.graph.outputs = self.references(line)
        elif line.next("update"):
            variable = self.lookup(line)
            line.take("=")
            self.graph.updates.append((variable, self.reference(line)))
        else:
            self.node(line)
        line.end()

    def finish(self) -> Graph:
        if self.graph is None:
            raise GraphError("the text holds no graph")
        self.verifier.ends()
        self.graph.created = self.created
        return self.graph

    def open(self, line: _Line) -> None:
        if self.graph is not None:
            self.verifier.ends()
        label = line.name("&", "a label") if line.text[line.at :].lstrip().startswith("&") else ""
        self.graph = self.graphs[label] = Graph(line.quoted("the graph's name in quotes"))
        self.verifier = Verifier(self.graph)
        self.nodes = {}

    def variable(self, line: _Line) -> None:
        name = line.name("@", "a variable's name, @name")
        line.take(":")
        aval = line.aval()
        trainable = line.next("trainable")
        if name in self.variables:
            raise GraphError(f"variable @{name} is declared twice")
        variable = self.given.get(name)
        if variable is None:
            self.check_size(aval)
            variable = Variable(np.zeros(aval.shape, aval.dtype.np), name=name, trainable=trainable)
            self.created.append(variable)
        elif AVal(variable.shape, variable.dtype) != aval:
            have = AVal(variable.shape, variable.dtype).describe()
            raise GraphError(f"variable @{name} is {aval.describe()} here, but the one given is {have}")
        self.variables[name] = variable

    def lookup(self, line: _Line) -> Variable:
        name = line.name("@", "a variable, @name")
        if name not in self.variables:
            raise GraphError(f"variable @{name} is not declared" + _close(name, self.variables))
        return self.variables[name]

    def reference(self, line: _Line) -> Node:
        name = line.name("%", "a node, %name")
        if name not in self.nodes:
            raise GraphError(f"%{name} is not defined above this line" + _close(name, self.nodes))
        return self.nodes[name]

    def references(self, line: _Line) -> list[Node]:
        found = [self.reference(line)]
        while line.next(","):
            found.append(self.reference(line))
        return found

    def node(self, line: _Line) -> None:
        assert self.graph is not None
        name = line.name("%", "'%name = op(...)', 'return', 'update' or 'assume'")
        if name in self.nodes:
            raise GraphError(f"%{name} is defined twice")
        line.take("=")
        op = get_op(line.word("the name of an op"))
        line.take("(")
        inputs = line.items(")", lambda: self.reference(line))
        attrs = dict(line.items("}", lambda: self.attr(line))) if line.next("{") else {}
        control: list[Node] = []
        if line.next("after"):
            line.take("(")
            control = line.items(")", lambda: self.reference(line))
        stop = line.next("stop")
        line.take(":", "':' and what the node gives")
        aval = line.avals()
        node = self.graph.add(op, inputs, attrs, name=name, origin=line.origin(), aval=aval, control=control, stop=stop)
        self.nodes[name] = node
        self.verifier.node(node)

    # -- values of attributes ---------------------------------------------------------------------------------------
    def attr(self, line: _Line) -> tuple[str, Any]:
        key = line.word("an attribute's name")
        line.take("=")
        return key, self.value(line)

    def value(self, line: _Line) -> Any:
        if (number := line.kind("number")) is not None:
            return int(number) if re.fullmatch(r"-?\d+", number) else float(number)
        if (string := line.kind("string")) is not None:
            return json.loads(string)
        if line.next("("):
            return self.nested(line)
        if line.next("<"):
            size = line.size()
            line.take(">")
            return size
        rest = line.text[line.at :].lstrip()
        if rest.startswith("@"):
            return self.lookup(line)
        if rest.startswith("&"):
            label = line.name("&", "a nested graph, &label")
            if label not in self.graphs:
                raise GraphError(f"graph &{label} is not defined above this line")
            return self.graphs[label]
        return self.typed(line)

    def nested(self, line: _Line) -> tuple[Any, ...]:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise GraphError(f"tuples nest deeper than {MAX_NESTING}")
        found = tuple(line.items(")", lambda: self.value(line)))
        self.depth -= 1
        return found

    def typed(self, line: _Line) -> Any:
        """True, False, None, a line of code, a dtype, an abstract value or an array."""
        for word, constant in _CONSTANTS.items():
            if line.next(word):
                return constant
        if line.next("python"):
            line.take("(")
            return FixedSource(*line.items(")", lambda: self.value(line)))
        if line.next("at"):
            line.take("(")
            return Origin(*line.items(")", lambda: self.value(line)))
        dtype = line.dtype()
        if not line.next("["):
            return dtype
        aval = AVal(line.shape(), dtype)
        return self.array(line, aval) if line.next("(") else aval

    def array(self, line: _Line, aval: AVal) -> np.ndarray[Any, Any]:
        self.check_size(aval)
        if (data := line.kind("string")) is not None:
            line.take(")")
            array = np.frombuffer(base64.b64decode(data[1:-1], validate=True), aval.dtype.np)
            array = (array if sys.byteorder == "little" else array.byteswap()).reshape(aval.shape)
        elif line.next("splat"):
            array = np.full(aval.shape, self.value(line), aval.dtype.np)
            line.take(")")
        else:
            values = line.items(")", lambda: self.value(line))
            array = np.array(values, aval.dtype.np).reshape(aval.shape)
        array.flags.writeable = False
        return array

    def check_size(self, aval: AVal) -> None:
        if not aval.is_static:
            raise GraphError(f"{aval.describe()} needs numbers for sizes")
        if math.prod(aval.shape) > MAX_ELEMENTS:
            raise GraphError(f"{aval.describe()} has more than {MAX_ELEMENTS} elements")
