"""Lets Triton's python stub work with numpy 2.

The stub of Triton 2.51 is built with a pybind11 that knows the memory layout of numpy 1 only. Where numpy 1 keeps the
size of an item, numpy 2 keeps flags, which are 0 for numbers. So the stub takes every item for 0 bytes long: each input
would hold its first element alone, repeated, and each output would be empty, without an error. Three corrections, none
of which touches what other modules see of numpy:

- inputs: the stub gets its own copy of numpy's function table, in which the function that makes arrays sets strides of
  0 right (numpy computes them where none are given);
- outputs of numbers go through DLPack, which the stub reads without numpy;
- outputs of bytes are handed over as an array whose flags are 1, which the stub takes for the size of a byte.

`triton_wheel.py` lets the stub import this with the backend's utilities, before it looks at numpy. Layouts: numpy's
`ndarraytypes.h` of 1.26 and 2.0; numbers in the table: `numpy_api.py` of the same, unchanged since numpy 1.7.
"""

import ctypes
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

_FIRST_NEW = 2
"""The major version of numpy that the stub does not know."""
_NEW_FROM_DESCR = 94
_TABLE_LENGTH = 283
"""Where PyArray_NewFromDescr is in numpy's function table, and how much of it pybind11 reads."""
_NUMBERS = "biuf"
_TAKEN = b"used_dltensor"
"""What DLPack wants a capsule to be called once it was taken; the stub writes another name, numpy complains of it."""
_AS_ONE_BYTE = (3, "|", None, None, None, -1, -1, 1)
"""The state of an unpickled uint8 dtype, its flags 1."""

_SIZES = ctypes.POINTER(ctypes.c_ssize_t)
_POINTER = ctypes.c_void_p
_MAKE_ARRAY = ctypes.PYFUNCTYPE(
    _POINTER, _POINTER, _POINTER, ctypes.c_int, _SIZES, _SIZES, _POINTER, ctypes.c_int, _POINTER
)


class _Utilities(Protocol):
    serialize_byte_tensor: Callable[[NDArray[np.generic]], object]


class _Unpickled(Protocol):
    def __setstate__(self, state: tuple[object, ...]) -> None: ...


def bridge(utilities: _Utilities, stub: ModuleType) -> None:
    """Correct the stub's view of numpy, if numpy is newer. Raises RuntimeError if that had no effect.

    `utilities` is the module triton_python_backend_utils, `stub` the stub's own c_python_backend_utils.
    """
    if int(np.__version__.split(".")[0]) < _FIRST_NEW:
        return
    _replace_table()
    _replace_constructor(stub)
    serialize = cast("Callable[[NDArray[np.generic]], bytes]", utilities.serialize_byte_tensor)
    utilities.serialize_byte_tensor = lambda tensor: one_byte_items(serialize(tensor)) if tensor.size else b""
    _check(stub)


def one_byte_items(content: bytes) -> NDArray[np.uint8]:
    """The bytes as an array whose size the stub reads correctly: its dtype's flags are 1.

    That flag claims references, so nothing may copy the array or assign to it. The stub only takes its address.
    """
    dtype = np.dtype(np.uint8, align=False, copy=True)
    items = np.frombuffer(content, dtype)
    cast("_Unpickled", dtype).__setstate__(_AS_ONE_BYTE)
    if items.dtype.flags != 1:
        raise RuntimeError(f"the dtypes of numpy {np.__version__} cannot be marked for Triton's python stub")
    return items


def _replace_table() -> None:
    """Once, replace the table in which pybind11 looks for numpy's functions by a copy with our function."""
    import numpy.core.multiarray as where_stubs_look  # noqa: PLC0415 - exists for such modules only

    address = ctypes.pythonapi.PyCapsule_GetPointer
    address.argtypes, address.restype = [ctypes.py_object, ctypes.c_char_p], _POINTER
    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.argtypes, capsule.restype = [_POINTER, ctypes.c_char_p, _POINTER], ctypes.py_object
    names = vars(where_stubs_look)
    table = (_POINTER * _TABLE_LENGTH).from_address(address(names["_ARRAY_API"], None))
    changed = (_POINTER * _TABLE_LENGTH)(*table)
    function = _with_strides(table[_NEW_FROM_DESCR])
    changed[_NEW_FROM_DESCR] = ctypes.cast(function, _POINTER).value
    names |= {"_ARRAY_API": capsule(ctypes.addressof(changed), None, None), "_kept_alive": (changed, function)}


def _with_strides(address: int | None) -> "ctypes._CFunctionType":
    """PyArray_NewFromDescr at that address, except that numpy computes the strides if all of them are 0."""
    make = _MAKE_ARRAY(address or 0)

    def make_with_strides(  # noqa: PLR0913, PLR0917 - the function's own arguments
        kind: int, dtype: int, ndim: int, shape: Sequence[int], strides: Sequence[int], data: int, flags: int, base: int
    ) -> int | None:
        given = strides if strides and any(strides[:ndim]) else None
        made: int | None = make(kind, dtype, ndim, shape, given, data, flags, base)
        return made

    return _MAKE_ARRAY(make_with_strides)


def _replace_constructor(stub: ModuleType) -> None:
    """Let `Tensor(name, array)` pass numbers through DLPack. The stub ignores a second initialisation.

    Empty arrays use the old way: the stub does not expect DLPack's strides for them, and their 0 bytes are right.
    """
    tensor = stub.Tensor
    make = tensor.__new__
    rename = ctypes.pythonapi.PyCapsule_SetName
    rename.argtypes = [ctypes.py_object, ctypes.c_char_p]

    def new(cls: type, name: str, array: NDArray[np.generic]) -> object:
        given = np.asarray(array)
        if given.dtype.kind not in _NUMBERS or given.size == 0:
            return make(cls)
        capsule: object = _exportable(given).__dlpack__()
        made: object = tensor.from_dlpack(name, capsule)
        rename(capsule, _TAKEN)
        return made

    tensor.__new__ = staticmethod(new)


def _exportable(array: NDArray[np.generic]) -> "NDArray[np.number[Any]]":
    """The array as DLPack accepts it: in C order and writable."""
    whole = array.flags.c_contiguous and array.flags.writeable
    return cast("NDArray[np.number[Any]]", array if whole else array.copy(order="C"))


def _check(stub: ModuleType) -> None:
    """A wrong number would not be noticed, so one is sent through the stub and back."""
    sent = np.arange(6, dtype=np.float32).reshape(2, 3)
    received = stub.Tensor("check", sent).as_numpy()
    if not np.array_equal(sent, received):
        raise RuntimeError(f"Triton's python stub misreads the arrays of numpy {np.__version__}; install numpy 1.26")
