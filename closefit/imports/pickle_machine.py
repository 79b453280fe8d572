"""An interpreter of pickles that runs nothing from the file.

It goes through the opcodes itself. Plain values, containers and what the allowed names make can
come out, nothing else; any other name ends the reading. Steps, nesting and memory are limited.
"""

import codecs
import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from closefit.boundary.files import max_bytes, refuse_size
from closefit.boundary.values import refuse, shown

MAX_STEPS = 20_000_000
"""Opcodes of one file: results for some ten minutes of video have fewer."""

MAX_NESTING = 4
"""Pickles inside pickles, as joblib and PyTorch write them."""


@dataclass(frozen=True)
class Name:
    """What a global name of a pickle stands for.

    Attributes:
        text: The name in the file.
        call: Makes the object, from the interpreter and the arguments in the file; None for a name
            that can only be an argument.
        is_class: Whether `call` without arguments makes an instance that then gets its state.
    """

    text: str
    call: Callable[..., Any] | None = None
    is_class: bool = False


@dataclass(eq=False)
class Unbuilt:
    """An object between its creation and its state, which replaces it in stack and memo.

    Attributes:
        build: Makes the final object from the interpreter and the state in the file.
        places: Where in the memo the object is.
    """

    build: Callable[["Interpreter", Any], Any]
    places: list[int] = field(default_factory=list)


@dataclass
class Budget:
    """What a whole file, with the pickles inside it, may still use."""

    steps: int = MAX_STEPS
    bytes: int = field(default_factory=max_bytes)

    def spend(self, count: int) -> None:
        """Account for memory beyond the content of the file.

        Raises:
            RefusedError: It is too much.
        """
        self.bytes -= count
        if self.bytes < 0:
            refuse_size("its content", max_bytes() - self.bytes)


class Interpreter:
    """One pickle of a file, read from where `stream` stands."""

    def __init__(
        self,
        content: bytes,
        names: dict[tuple[str, str], Name],
        budget: Budget,
        storage: Callable[[str], bytes | None] | None = None,
        nesting: int = 0,
    ) -> None:
        """Prepare to read `content`; `storage` returns the bytes of a tensor outside of it."""
        if nesting > MAX_NESTING:
            refuse("it holds pickles inside pickles inside pickles")
        self.content, self.names, self.budget = content, names, budget
        self.storage, self.nesting = storage, nesting
        self.stream = io.BytesIO(content)
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def inside(
        self, content: bytes, storage: Callable[[str], bytes | None] | None = None
    ) -> "Interpreter":
        """Return an interpreter for a pickle inside this one, with the same budget."""
        return Interpreter(content, self.names, self.budget, storage, self.nesting + 1)

    def run(self) -> Any:
        """Return what the pickle holds.

        Raises:
            RefusedError: It names something that is not allowed, or is too large.
            Exception: One of `UNREADABLE`, when it is damaged.
        """
        self.stack, self.marks, self.memo = [], [], {}
        stream, budget = self.stream, self.budget
        while True:
            budget.steps -= 1
            if budget.steps < 0:
                refuse(f"it has more than {MAX_STEPS} steps")
            code = stream.read(1)
            if not code:
                raise EOFError
            name, read = _OPCODES[code]
            argument = read(stream) if read is not None else None
            if name == "STOP":
                return self.stack.pop()
            action = _ACTIONS.get(name)
            if action is None:
                refuse(f"it uses the pickle opcode `{name}`, which is not supported")
            action(self, argument)

    def pop_to_mark(self) -> list[Any]:
        """Remove and return everything above the last mark."""
        mark = self.marks.pop()
        if mark > len(self.stack):
            raise IndexError
        above = self.stack[mark:]
        del self.stack[mark:]
        return above

    def remember(self, place: int) -> None:
        """Put the top of the stack into the memo."""
        top = self.stack[-1]
        if isinstance(top, Unbuilt):
            top.places.append(place)
        self.memo[place] = top

    def extend(self, items: list[Any]) -> None:
        """Append to the list on top of the stack."""
        self._top(list).extend(items)

    def update(self, items: list[Any]) -> None:
        """Add keys and values in turn to the dictionary on top of the stack."""
        target = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            # The hash of nested tuples can take for ever.
            if not isinstance(key, str | int | float | bool | bytes | None):
                refuse(f"it has a dictionary with a `{type(key).__name__}` as a key")
            target[key] = value

    def call(self, name: Any, arguments: Any) -> None:
        """Push what a name of the file makes of the arguments."""
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            refuse(f"it calls a `{type(name).__name__}`")
        if name.call is None:
            refuse(f"it calls `{name.text}`, which closefit never runs")
        self.stack.append(name.call(self, *arguments))

    def build(self) -> None:
        """Give the object below the top of the stack its state."""
        state = self.stack.pop()
        unbuilt = self._top(Unbuilt)
        built = unbuilt.build(self, state)
        self.stack[-1] = built
        for place in unbuilt.places:
            self.memo[place] = built

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            refuse(f"it changes a `{type(self.stack[-1]).__name__}`")
        return self.stack[-1]

    def find(self, module: str, name: str) -> None:
        """Push what a global name stands for."""
        if (module, name) not in self.names:
            refuse(f"it refers to `{shown(f'{module}.{name}')}`, which closefit never runs")
        self.stack.append(self.names[module, name])

    def find_by_stack(self) -> None:
        """Push what the module and the name on the stack stand for."""
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError
        self.find(module, name)

    def find_storage(self) -> None:
        """Push the values of a tensor, which are outside of the pickle."""
        kind, dtype, key = self.stack.pop()[:3]
        if self.storage is None or kind != "storage" or not isinstance(key, str):
            refuse("it names something outside of itself")
        if not isinstance(dtype, Name) or dtype.call is None or not dtype.text.startswith("torch."):
            refuse("it has a tensor of an unknown type")
        self.stack.append(dtype.call(self, self.storage(key)))


def _text_of_python_2(stream: BinaryIO) -> str:
    """A quoted string, in which Python 2 writes the bytes of arrays too."""
    quoted = pickletools.read_stringnl(stream, decode=False)
    return codecs.escape_decode(quoted)[0].decode("latin1")


def _push_whole(machine: Interpreter, value: int) -> None:
    if not -(2**63) <= value < 2**64:
        refuse("it has a whole number of more than 64 bits")
    machine.stack.append(value)


def _set_item(machine: Interpreter) -> None:
    pair = machine.stack[-2:]
    del machine.stack[-2:]
    machine.update(pair)


def _pop_mark_or_one(machine: Interpreter) -> None:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.stack.pop()


def _tuple_of(count: int) -> Callable[[Interpreter, Any], None]:
    def make(machine: Interpreter, _: Any) -> None:
        if len(machine.stack) < count:
            raise IndexError
        machine.stack[-count:] = [tuple(machine.stack[-count:])]

    return make


def _dict_of(items: list[Any], machine: Interpreter) -> None:
    machine.stack.append({})
    machine.update(items)


def _call(machine: Interpreter) -> None:
    arguments, name = machine.stack.pop(), machine.stack.pop()
    machine.call(name, arguments)


_ACTIONS: dict[str, Callable[[Interpreter, Any], object]] = {
    "PROTO": lambda *_: None,
    "FRAME": lambda *_: None,
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": lambda m, _: _pop_mark_or_one(m),
    "POP_MARK": lambda m, _: m.pop_to_mark(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    "NONE": lambda m, _: m.stack.append(None),
    "NEWTRUE": lambda m, _: m.stack.append(True),
    "NEWFALSE": lambda m, _: m.stack.append(False),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_SET": lambda m, _: m.stack.append([]),  # sets come out as lists
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_to_mark())),
    "LIST": lambda m, _: m.stack.append(m.pop_to_mark()),
    "FROZENSET": lambda m, _: m.stack.append(m.pop_to_mark()),
    "DICT": lambda m, _: _dict_of(m.pop_to_mark(), m),
    "APPEND": lambda m, _: m.extend([m.stack.pop()]),
    "APPENDS": lambda m, _: m.extend(m.pop_to_mark()),
    "ADDITEMS": lambda m, _: m.extend(m.pop_to_mark()),
    "SETITEM": lambda m, _: _set_item(m),
    "SETITEMS": lambda m, _: m.update(m.pop_to_mark()),
    "GLOBAL": lambda m, name: m.find(*name.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.find_by_stack(),
    "REDUCE": lambda m, _: _call(m),
    "NEWOBJ": lambda m, _: _call(m),
    "BUILD": lambda m, _: m.build(),
    "BINPERSID": lambda m, _: m.find_storage(),
}
_ACTIONS |= dict.fromkeys(("INT", "LONG", "LONG1", "LONG4"), _push_whole)
_ACTIONS |= dict.fromkeys(("BININT", "BININT1", "BININT2"), _push_whole)
_ACTIONS |= dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda m, place: m.remember(place))
_ACTIONS |= dict.fromkeys(
    ("GET", "BINGET", "LONG_BINGET"), lambda m, place: m.stack.append(m.memo[place])
)
_ACTIONS |= dict.fromkeys(
    (
        *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE"),
        *("SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    ),
    lambda m, value: m.stack.append(value),
)
_ACTIONS["BYTEARRAY8"] = lambda m, value: m.stack.append(bytes(value))

_OPCODES: dict[bytes, tuple[str, Callable[[BinaryIO], Any] | None]] = {
    opcode.code.encode("latin1"): (opcode.name, opcode.arg.reader if opcode.arg else None)
    for opcode in pickletools.opcodes
}
_OPCODES[b"S"] = ("STRING", _text_of_python_2)
