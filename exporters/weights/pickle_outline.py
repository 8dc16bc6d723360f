"""The outline of a pickle that torch wrote: its tensors' shapes and places. Nothing of it is run or imported.

Python's own unpickler calls what a pickle names. This reader follows the few instructions that torch uses, on a stack
of plain values. It counts them, so that no pickle takes long or much memory. After PyTorch's documentation of its
formats and the descriptions of the instructions in Python's `pickletools`.
"""

import pickletools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import BinaryIO, TypeAlias

from exporters.errors import WrongFileError

_MOST_INSTRUCTIONS = 400_000
"""A checkpoint of 600 tensors needs 30 000."""
_PROTOCOL = 2
"""What torch.save writes unless told otherwise, and all that `torch.load(weights_only=True)` reads."""
_MOST_BYTES = 1 << 16
"""Longest text or number in a pickle."""
_DTYPES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "DoubleStorage": ("float64", 8),
        "FloatStorage": ("float32", 4),
        "HalfStorage": ("float16", 2),
        "BFloat16Storage": ("bfloat16", 2),
        "LongStorage": ("int64", 8),
        "IntStorage": ("int32", 4),
        "ShortStorage": ("int16", 2),
        "CharStorage": ("int8", 1),
        "ByteStorage": ("uint8", 1),
        "BoolStorage": ("bool", 1),
    }
)
"""By storage class: element type, and bytes of an element."""
_REBUILDERS = {"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"}
_HARMLESS = {"torch.Size", "torch.device"}
_EMPTY = {"collections.OrderedDict"}
_WRAPPED = {"torch._utils._rebuild_parameter"}
_SYSTEM = {
    *("os", "posix", "nt", "subprocess", "builtins", "__builtin__", "sys", "shutil", "socket", "runpy", "importlib"),
    *(
        "webbrowser",
        "pty",
        "commands",
        "ctypes",
        "code",
        "pickle",
        "_pickle",
        "operator",
        "functools",
        "types",
        "urllib",
    ),
    *("http", "pathlib", "tempfile", "asyncio", "multiprocessing", "threading", "pip", "platform", "pdb", "timeit"),
}
"""Modules of Python itself that a checkpoint has no use for."""


@dataclass(frozen=True)
class Storage:
    """The memory that tensors share: `count` elements of `size` bytes."""

    key: str
    dtype: str
    size: int
    count: int

    @property
    def bytes(self) -> int:
        """Its length in the file."""
        return self.count * self.size


@dataclass(frozen=True)
class TensorOutline:
    """One tensor without its values."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class _Name:
    """A class or function that the pickle names."""

    name: str


@dataclass(frozen=True)
class _Opaque:
    """A value that says nothing about tensors."""


Plain: TypeAlias = bool | int | float | str | bytes | None
Value: TypeAlias = (
    Plain | tuple["Value", ...] | list["Value"] | dict["Value", "Value"] | Storage | TensorOutline | _Name | _Opaque
)
_OPAQUE = _Opaque()
_MARK = _Name("(")


def outline(file: BinaryIO, storages: dict[str, Storage], names: set[str] | None = None) -> Value:
    """The value of the pickle at `file`'s place, and the storages that it names.

    With `names`, every class and function is accepted and noted there. Raises WrongFileError.
    """
    reader = _Reader(storages, names)
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(file)):
            if count > _MOST_INSTRUCTIONS:
                raise WrongFileError("a pickle with far more in it than a checkpoint has")
            if instruction.name == "STOP":
                return reader.stack.pop()
            reader.step(instruction.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise WrongFileError(f"a pickle that is damaged or cut short ({error})") from error
    raise WrongFileError("a pickle that is cut short")


@dataclass
class _Reader:
    """The machine that the instructions work on."""

    storages: dict[str, Storage]
    names: set[str] | None
    stack: list[Value] = field(default_factory=list)
    memo: dict[int, Value] = field(default_factory=dict)

    def step(self, name: str, argument: object) -> None:
        """Follow one instruction. Raises WrongFileError for one that torch does not use."""
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            self.stack.append(_literal(argument))
        elif name in _MAKERS:
            self.stack.append(_MAKERS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in _IGNORED:
            raise WrongFileError(f"a pickle with the instruction {name}, which no checkpoint needs")

    def marked(self) -> list[Value]:
        """What lies above the last mark."""
        values = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def tuple_of(self, count: int) -> None:
        """Join the last values."""
        values = [self.stack.pop() for _ in range(count)]
        self.stack.append(tuple(values[::-1]))

    def named(self, name: str) -> None:
        """Name a class or function. Raises WrongFileError if a checkpoint has no use for it."""
        if self.names is not None:
            self.names.add(name)
        elif not _is_known(name):
            raise WrongFileError(_described(name))
        self.stack.append(_Name(name))

    def stored(self) -> None:
        """A storage: its class, key and count stand in its identity."""
        identity = self.stack.pop()
        if not isinstance(identity, tuple):
            raise TypeError("a storage without identity")
        _, kind, key, _, count, *_ = identity
        if not isinstance(kind, _Name) or not isinstance(count, int) or count < 0:
            raise TypeError("a storage without class or size")
        if not isinstance(key, str):
            raise TypeError("a storage without key")
        dtype, size = _DTYPES[kind.name.rpartition(".")[2]]
        self.storages[key] = Storage(key, dtype, size, count)
        self.stack.append(self.storages[key])

    def called(self) -> None:
        """What a call would make, if it makes a tensor or an empty dictionary."""
        arguments, what = self.stack.pop(), self.stack.pop()
        name = what.name if isinstance(what, _Name) else ""
        if name in _REBUILDERS and isinstance(arguments, tuple):
            self.stack.append(_tensor(arguments))
        elif name in _WRAPPED and isinstance(arguments, tuple):
            self.stack.append(arguments[0])
        else:
            self.stack.append({} if name in _EMPTY else _OPAQUE)

    def set_items(self, values: Sequence[Value]) -> None:
        """Give the dictionary below its entries."""
        target, keys = self.stack[-1], values[::2]
        if not all(isinstance(key, str | int) for key in keys):  # others could be nested too deeply to be hashed
            raise TypeError("a key that is neither text nor number")
        if isinstance(target, dict):
            target.update(zip(keys, values[1::2], strict=True))

    def extend(self, values: Sequence[Value]) -> None:
        """Give the list below its values."""
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)


def _is_known(name: str) -> bool:
    if name in _REBUILDERS | _HARMLESS | _EMPTY | _WRAPPED:
        return True
    module, _, attribute = name.rpartition(".")
    return module in {"torch", "torch.cuda", "torch.storage"} and attribute in {*_DTYPES, "UntypedStorage"}


def _described(name: str) -> str:
    module = name.partition(".")[0]
    if module in {"ultralytics", "models", "yolov5", "yolo"}:
        return f"a whole model of Ultralytics or YOLOv5 ({name}), whose classes would have to run"
    if module in _SYSTEM:
        return f"a pickle with code in it ({name}), of which nothing was run"
    return f"a pickle with more than weights in it ({name}): save them alone, as model.state_dict() gives them"


def _literal(argument: object) -> Value:
    if isinstance(argument, str | bytes) and len(argument) > _MOST_BYTES:
        raise ValueError("a long text")
    if isinstance(argument, Plain):
        return argument
    return _OPAQUE


def _tensor(arguments: Sequence[Value]) -> TensorOutline:
    """Of storage, first element, shape, strides. Raises ValueError if it reaches out of its storage."""
    storage, offset, shape, strides, *_ = arguments
    if not isinstance(storage, Storage) or not isinstance(offset, int):
        raise TypeError("a tensor without storage")
    sides, steps = _numbers(shape), _numbers(strides)
    last = offset + sum((side - 1) * step for side, step in zip(sides, steps, strict=True))
    if all(sides) and last >= storage.count:
        raise ValueError("a tensor that is larger than its storage")
    return TensorOutline(sides, storage.dtype)


def _numbers(values: Value) -> tuple[int, ...]:
    if not isinstance(values, tuple) or not all(isinstance(value, int) and value >= 0 for value in values):
        raise TypeError("a tensor without shape")
    return tuple(value for value in values if isinstance(value, int))


def _global(reader: _Reader, argument: object) -> None:
    reader.named(str(argument).replace(" ", "."))


def _protocol(reader: _Reader, argument: object) -> None:
    """Raise WrongFileError for a protocol that torch reads only where it may run what the pickle names."""
    if reader.names is None and int(str(argument)) > _PROTOCOL:
        raise WrongFileError(
            f"a file of torch.save with pickle protocol {argument}, which cannot be read without running it: save it "
            f"again without pickle_protocol"
        )


def _stack_global(reader: _Reader, _: object) -> None:
    attribute, module = reader.stack.pop(), reader.stack.pop()
    if not isinstance(attribute, str) or not isinstance(module, str):
        raise TypeError("a class without name")
    reader.named(f"{module}.{attribute}")


def _remember(reader: _Reader, argument: object) -> None:
    reader.memo[int(str(argument))] = reader.stack[-1]


def _drop(reader: _Reader, _: object) -> None:
    """Leave out a value, such as the state that an object would get."""
    reader.stack.pop()


def _drop_marked(reader: _Reader, _: object) -> None:
    """Leave out the values above the last mark."""
    reader.marked()


_IGNORED = {"FRAME"}
_CONSTANTS: Mapping[str, Value] = MappingProxyType(
    {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": _MARK}
)
_MAKERS: Mapping[str, Callable[[], Value]] = MappingProxyType(
    {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": _Opaque}
)
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "INT", "LONG", "BINFLOAT", "FLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
}
_STEPS: Mapping[str, Callable[[_Reader, object], None]] = MappingProxyType(
    {
        "PROTO": _protocol,
        "TUPLE": lambda reader, _: reader.stack.append(tuple(reader.marked())),
        "TUPLE1": lambda reader, _: reader.tuple_of(1),
        "TUPLE2": lambda reader, _: reader.tuple_of(2),
        "TUPLE3": lambda reader, _: reader.tuple_of(3),
        "GLOBAL": _global,
        "STACK_GLOBAL": _stack_global,
        "BINPERSID": lambda reader, _: reader.stored(),
        "REDUCE": lambda reader, _: reader.called(),
        "NEWOBJ": lambda reader, _: reader.called(),
        "BUILD": _drop,
        "POP": _drop,
        "POP_MARK": _drop_marked,
        "ADDITEMS": _drop_marked,
        "SETITEM": lambda reader, _: reader.set_items([*reversed([reader.stack.pop(), reader.stack.pop()])]),
        "SETITEMS": lambda reader, _: reader.set_items(reader.marked()),
        "APPEND": lambda reader, _: reader.extend([reader.stack.pop()]),
        "APPENDS": lambda reader, _: reader.extend(reader.marked()),
        "BINPUT": _remember,
        "LONG_BINPUT": _remember,
        "MEMOIZE": lambda reader, _: reader.memo.update({len(reader.memo): reader.stack[-1]}),
        "BINGET": lambda reader, argument: reader.stack.append(reader.memo[int(str(argument))]),
        "LONG_BINGET": lambda reader, argument: reader.stack.append(reader.memo[int(str(argument))]),
    }
)
