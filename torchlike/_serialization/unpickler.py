"""The unpickler of ``weights_only`` loading: it builds plain values, tensors and allowed classes, and nothing else.

It reads the opcodes that pickle protocol 2 writes for such values, one rule each, and looks no name up: a global is one
of the allowed objects or an error.
"""

from __future__ import annotations

import functools
import pickle
import warnings
from _codecs import encode
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from struct import unpack
from sys import maxsize
from typing import Any

import torchlike as torch

#: Nothing out of these modules is ever allowed, not even by the user.
BLOCKED_MODULES = ("sys", "os", "posix", "nt")

#: Python 2's names of modules and of globals, as far as pickles of protocol 2 use them.
_MODULES_OF_PYTHON_2 = {
    "__builtin__": "builtins", "copy_reg": "copyreg", "Queue": "queue", "repr": "reprlib", "_abcoll": "collections.abc",
    "UserDict": "collections", "UserList": "collections", "UserString": "collections", "whichdb": "dbm",
    "StringIO": "io", "cStringIO": "io",
}  # fmt: skip
_GLOBALS_OF_PYTHON_2 = {
    ("__builtin__", "xrange"): ("builtins", "range"),
    ("__builtin__", "reduce"): ("functools", "reduce"),
    ("__builtin__", "intern"): ("sys", "intern"),
    ("__builtin__", "unichr"): ("builtins", "chr"),
    ("__builtin__", "unicode"): ("builtins", "str"),
    ("__builtin__", "long"): ("builtins", "int"),
    ("__builtin__", "basestring"): ("builtins", "str"),
    ("itertools", "izip"): ("builtins", "zip"),
    ("itertools", "imap"): ("builtins", "map"),
    ("itertools", "ifilter"): ("builtins", "filter"),
    ("itertools", "ifilterfalse"): ("itertools", "filterfalse"),
    ("itertools", "izip_longest"): ("itertools", "zip_longest"),
    ("UserDict", "IterableUserDict"): ("collections", "UserDict"),
    ("UserDict", "UserDict"): ("collections", "UserDict"),
    ("UserList", "UserList"): ("collections", "UserList"),
    ("UserString", "UserString"): ("collections", "UserString"),
    ("exceptions", "StandardError"): ("builtins", "Exception"),
}

_REBUILD_FUNCTIONS = (
    "_rebuild_parameter", "_rebuild_parameter_with_state", "_rebuild_qtensor", "_rebuild_tensor", "_rebuild_tensor_v2",
    "_rebuild_tensor_v3", "_rebuild_sparse_tensor", "_rebuild_meta_tensor_no_storage", "_rebuild_nested_tensor",
    "_rebuild_wrapper_subclass", "_rebuild_device_tensor_from_numpy", "_rebuild_device_tensor_from_cpu_tensor",
)  # fmt: skip

_NEEDS_NESTED = {
    "torch.nested._internal.nested_tensor.NestedTensor",
    "torch.nested._internal.nested_tensor._rebuild_njt",
    "torch._dynamo.decorators._DimRange",
}
_NEEDS_DTENSOR = {
    "torch.distributed.device_mesh.DeviceMesh",
    "torch.distributed.tensor._dtensor_spec.DTensorSpec",
    "torch.distributed.tensor._dtensor_spec.TensorMeta",
    "torch.distributed.tensor.DTensor",
    "torch.distributed.tensor.placement_types.Partial",
    "torch.distributed.tensor.placement_types.Replicate",
    "torch.distributed.tensor.placement_types.Shard",
}

# What is allowed

_user_globals: set[Any] = set()


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Allow each of a list of classes and functions, or of pairs of one and the name it goes by in the file."""
    global _user_globals
    _user_globals = _user_globals | set(safe_globals)


def remove_safe_globals(safe_globals: list[Any]) -> None:
    """Take back what `add_safe_globals` allowed."""
    global _user_globals
    _user_globals = _user_globals - set(safe_globals)


def get_safe_globals() -> list[Any]:
    """What the user has allowed."""
    return list(_user_globals)


def clear_safe_globals() -> None:
    """Allow nothing any more but what is allowed by default."""
    global _user_globals
    _user_globals = set()


def user_globals() -> dict[str, Any]:
    """What the user has allowed, by the full name it goes by in files."""
    from torchlike._serialization.names import global_name

    allowed: dict[str, Any] = {}
    for item in _user_globals:
        if not isinstance(item, tuple):
            name = global_name(item) or (item.__module__, item.__qualname__)
            allowed[".".join(name)] = item
            continue
        if len(item) != 2:
            raise ValueError(
                f"Expected tuple of length 2 (global, str of callable full path), but got tuple of length: {len(item)}"
            )
        if type(item[1]) is not str:
            raise TypeError(f"Expected second item in tuple to be str of callable full path, but got: {type(item[1])}")
        allowed[item[1]] = item[0]
    return allowed


@functools.lru_cache(maxsize=1)
def default_globals() -> dict[str, Any]:
    """What is allowed always, by the full name it goes by in files."""
    from torchlike import _utils
    from torchlike._storage.typed import CPU_CLASSES, CUDA_CLASSES, TypedStorage
    from torchlike._storage.untyped import UntypedStorage
    from torchlike._tensor import dtypes
    from torchlike.serialization import StorageType, _get_layout

    allowed: dict[str, Any] = {
        "collections.OrderedDict": OrderedDict,
        "collections.Counter": Counter,
        "torch.nn.parameter.Parameter": torch.nn.Parameter,
        "torch.serialization._get_layout": _get_layout,
        "torch.Size": torch.Size,
        "torch.Tensor": torch.Tensor,
        "torch.device": torch.device,
        "_codecs.encode": encode,
        "builtins.bytearray": bytearray,
        "builtins.set": set,
        "builtins.complex": complex,
        "torch.storage.TypedStorage": TypedStorage,
        "torch.storage.UntypedStorage": UntypedStorage,
        "torch._tensor._rebuild_from_type_v2": _utils._rebuild_from_type_v2,
    }
    allowed.update((str(dtype), dtype) for dtype in dtypes.ALL)
    for cls in (*CPU_CLASSES.values(), *CUDA_CLASSES.values()):
        allowed[f"{cls.__module__}.{cls.__name__}"] = StorageType(cls.__name__)
    for cls in tensor_classes():
        allowed[f"{cls.__module__}.{cls.__name__}"] = cls
    for name in _REBUILD_FUNCTIONS:
        allowed[f"torch._utils.{name}"] = getattr(_utils, name)
    return allowed


def tensor_classes() -> list[Any]:
    """The classes such as ``torch.FloatTensor`` that old files call to make tensors."""
    from torchlike._tensor.legacy_types import CPU_TYPES, CUDA_TYPES

    return [*CPU_TYPES.values(), *CUDA_TYPES.values()]


@functools.lru_cache(maxsize=1)
def _default_identities() -> frozenset[int]:
    return frozenset(map(id, default_globals().values()))


def _is_allowed(obj: Any) -> bool:
    return id(obj) in _default_identities() or any(obj is allowed for allowed in user_globals().values())


def _read_global(readline: Callable[[], bytes]) -> tuple[str, str]:
    name = readline()[:-1].decode("utf-8"), readline()[:-1].decode("utf-8")
    if name in _GLOBALS_OF_PYTHON_2:
        return _GLOBALS_OF_PYTHON_2[name]
    return _MODULES_OF_PYTHON_2.get(name[0], name[0]), name[1]


def _allowed_global(module: str, name: str) -> Any:
    """The allowed object of this name; an UnpicklingError where there is none."""
    path = f"{module}.{name}"
    if module in BLOCKED_MODULES:
        raise UnpicklingError(f"Trying to load unsupported GLOBAL {path} whose module {module} is blocked.")
    defaults = default_globals()
    if path in defaults:
        return defaults[path]
    allowed = user_globals()
    if path in allowed:
        return allowed[path]
    if path in _NEEDS_NESTED:
        raise UnpicklingError(
            "``torch.nested`` and ``torch._dynamo`` must be imported to load nested jagged tensors (NJTs)"
        )
    if path in _NEEDS_DTENSOR:
        raise UnpicklingError("``torch.distributed.tensor`` must be imported to load DTensors")
    path = path.removeprefix("builtins.")
    raise UnpicklingError(
        f"Unsupported global: GLOBAL {path} was not an allowed global by default. Please use "
        f"`torch.serialization.add_safe_globals([{path}])` or the `torch.serialization.safe_globals([{path}])` context "
        "manager to allowlist this global if you trust this class/function."
    )


# The machine


class Unpickler:
    """Rebuilds the value that a pickle describes; `persistent_load` is to be replaced by the caller.

    Args:
        file: a file of bytes, with ``read`` and ``readline``.
        encoding: how Python 2's strings are decoded; ``"bytes"`` leaves them as they are.
    """

    def __init__(self, file: Any, *, encoding: str = "bytes"):
        self.encoding = encoding
        self.readline = file.readline
        self.read = file.read
        self.memo: dict[int, Any] = {}
        self.stack: list[Any] = []
        self.metastack: list[list[Any]] = []

    def load(self) -> Any:
        """The value. EOFError where the file ends first, UnpicklingError where it asks for what is not allowed."""
        self.stack, self.metastack = [], []
        read, rules = self.read, _RULES
        while True:
            key = read(1)
            if not key:
                raise EOFError
            if not isinstance(key, (bytes, bytearray)):
                raise AssertionError(f"Expected bytes, got {type(key).__name__}")
            if key == pickle.STOP:
                return self.stack.pop()
            rule = rules.get(key[0])
            if rule is None:
                raise UnpicklingError(f"Unsupported operand {key[0]}")
            rule(self)

    def persistent_load(self, pid: Any) -> Any:
        """The object that ``pid`` stands for."""
        raise UnpicklingError("unsupported persistent id encountered")

    def pop_mark(self) -> list[Any]:
        """Everything that was pushed since the last mark."""
        items = self.stack
        self.stack = self.metastack.pop()
        return items

    def push_mark(self) -> None:
        """Begin a new run of items."""
        self.metastack.append(self.stack)
        self.stack = []


Rule = Callable[[Unpickler], None]
_RULES: dict[int, Rule] = {pickle.MARK[0]: Unpickler.push_mark}


def _rule(opcode: bytes) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        _RULES[opcode[0]] = rule
        return rule

    return register


def _push(opcode: bytes, make: Callable[[Unpickler], Any]) -> None:
    def rule(machine: Unpickler) -> None:
        value = make(machine)  # may replace the stack
        machine.stack.append(value)

    _RULES[opcode[0]] = rule


def _unpacked(machine: Unpickler, layout: str, size: int) -> Any:
    return unpack(layout, machine.read(size))[0]


_push(pickle.NONE, lambda machine: None)
_push(pickle.NEWTRUE, lambda machine: True)
_push(pickle.NEWFALSE, lambda machine: False)
_push(pickle.EMPTY_TUPLE, lambda machine: ())
_push(pickle.EMPTY_LIST, lambda machine: [])
_push(pickle.EMPTY_DICT, lambda machine: {})
_push(pickle.EMPTY_SET, lambda machine: set())
_push(pickle.BININT, lambda machine: _unpacked(machine, "<i", 4))
_push(pickle.BININT1, lambda machine: machine.read(1)[0])
_push(pickle.BININT2, lambda machine: _unpacked(machine, "<H", 2))
_push(pickle.LONG1, lambda machine: pickle.decode_long(machine.read(machine.read(1)[0])))
_push(pickle.BINFLOAT, lambda machine: _unpacked(machine, ">d", 8))
_push(pickle.TUPLE, lambda machine: tuple(machine.pop_mark()))
_push(pickle.GLOBAL, lambda machine: _allowed_global(*_read_global(machine.readline)))
_push(pickle.BINGET, lambda machine: machine.memo[machine.read(1)[0]])
_push(pickle.LONG_BINGET, lambda machine: machine.memo[_unpacked(machine, "<I", 4)])


@_rule(pickle.BINUNICODE)
def _unicode(machine: Unpickler) -> None:
    size = _unpacked(machine, "<I", 4)
    if size > maxsize:
        raise UnpicklingError("String is too long")
    machine.stack.append(str(machine.read(size), "utf-8", "surrogatepass"))


@_rule(pickle.SHORT_BINSTRING)
def _string_of_python_2(machine: Unpickler) -> None:
    data = machine.read(machine.read(1)[0])
    machine.stack.append(data if machine.encoding == "bytes" else data.decode(machine.encoding, "strict"))


@_rule(pickle.TUPLE1)
def _tuple1(machine: Unpickler) -> None:
    machine.stack[-1] = (machine.stack[-1],)


@_rule(pickle.TUPLE2)
def _tuple2(machine: Unpickler) -> None:
    machine.stack[-2:] = [(machine.stack[-2], machine.stack[-1])]


@_rule(pickle.TUPLE3)
def _tuple3(machine: Unpickler) -> None:
    machine.stack[-3:] = [(machine.stack[-3], machine.stack[-2], machine.stack[-1])]


@_rule(pickle.BINPUT)
def _put(machine: Unpickler) -> None:
    machine.memo[machine.read(1)[0]] = machine.stack[-1]


@_rule(pickle.LONG_BINPUT)
def _long_put(machine: Unpickler) -> None:
    machine.memo[_unpacked(machine, "<I", 4)] = machine.stack[-1]


def _list_on_top(machine: Unpickler, verb: str) -> list[Any]:
    target = machine.stack[-1]
    if type(target) is not list:
        raise UnpicklingError(f"Can only {verb} lists, but got {type(target)}")
    return target


@_rule(pickle.APPEND)
def _append(machine: Unpickler) -> None:
    item = machine.stack.pop()
    _list_on_top(machine, "append to").append(item)


@_rule(pickle.APPENDS)
def _appends(machine: Unpickler) -> None:
    items = machine.pop_mark()
    _list_on_top(machine, "extend").extend(items)


def _dict_on_top(machine: Unpickler, opcode: str) -> dict[Any, Any]:
    target = machine.stack[-1]
    if type(target) not in (dict, OrderedDict, Counter):
        raise UnpicklingError(
            f"Can only {opcode} for dict, collections.OrderedDict, collections.Counter, but got {type(target)}"
        )
    return target


@_rule(pickle.SETITEM)
def _set_item(machine: Unpickler) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _dict_on_top(machine, "SETITEM")[key] = value


@_rule(pickle.SETITEMS)
def _set_items(machine: Unpickler) -> None:
    items = machine.pop_mark()
    target = _dict_on_top(machine, "SETITEMS")
    for i in range(0, len(items), 2):
        target[items[i]] = items[i + 1]


def _note_sparse(cls: Any, made: Any) -> None:
    """Have a sparse tensor validated once everything is loaded."""
    if "sparse" in getattr(cls, "__module__", "") and any(cls is c for c in tensor_classes()):
        from torchlike import _utils

        _utils._sparse_tensors_to_validate.append(made)


@_rule(pickle.NEWOBJ)
def _new_object(machine: Unpickler) -> None:
    args, cls = machine.stack.pop(), machine.stack.pop()
    if cls is torch.nn.Parameter:
        machine.stack.append(torch.nn.Parameter(*args))
    elif _is_allowed(cls):
        made = cls.__new__(cls, *args)
        _note_sparse(cls, made)
        machine.stack.append(made)
    else:
        raise UnpicklingError(
            f"Can only create new object for nn.Parameter or classes allowlisted via `add_safe_globals` but got {cls}"
        )


@_rule(pickle.REDUCE)
def _reduce(machine: Unpickler) -> None:
    args, function = machine.stack.pop(), machine.stack[-1]
    if not _is_allowed(function):
        message = f"Trying to call reduce for unrecognized function {function}"
        if hasattr(function, "__self__"):
            message += f" which belongs to {function.__self__}"
        raise UnpicklingError(message)
    machine.stack[-1] = made = function(*args)
    _note_sparse(function, made)


@_rule(pickle.BUILD)
def _build(machine: Unpickler) -> None:
    state, target = machine.stack.pop(), machine.stack[-1]
    kind = type(target)
    if kind is torch.Tensor:
        target.set_(*state)
    elif kind is torch.nn.Parameter:
        target.__setstate__(state)
    elif kind is OrderedDict:
        target.__dict__.update(state)
    elif _is_allowed(kind):
        _set_state(target, state)
    else:
        raise UnpicklingError(
            f"Can only build Tensor, Parameter, OrderedDict or types allowlisted via `add_safe_globals`, but got {kind}"
        )


def _set_state(target: Any, state: Any) -> None:
    """Give an object the state that a pickle holds for it, as Python's own unpickler does."""
    if hasattr(target, "__setstate__"):
        target.__setstate__(state)
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    if state:
        target.__dict__.update(state)
    for name, value in (slots or {}).items():
        setattr(target, name, value)


@_rule(pickle.BINPERSID)
def _persistent(machine: Unpickler) -> None:
    pid = machine.stack.pop()
    if type(pid) is not tuple and type(pid) is not int:
        raise UnpicklingError(f"persistent_load id must be tuple or int, but got {type(pid)}")
    if type(pid) is tuple and pid:
        kind = pid[0].decode("ascii") if isinstance(pid[0], bytes) else pid[0]
        if kind != "storage":
            raise UnpicklingError(f"Only persistent_load of storage is allowed, but got {type(pid[0])}")
    machine.stack.append(machine.persistent_load(pid))


@_rule(pickle.PROTO)
def _protocol(machine: Unpickler) -> None:
    protocol = machine.read(1)[0]
    if protocol != 2:
        warnings.warn(
            f"Detected pickle protocol {protocol} in the checkpoint, which was "
            "not the default pickle protocol used by `torch.load` (2). The weights_only "
            "Unpickler might not support all instructions implemented by this protocol, "
            "please file an issue for adding support if you encounter this.",
            stacklevel=3,
        )


def load(file: Any, *, encoding: str = "ASCII") -> Any:
    """The value that the next pickle of ``file`` describes."""
    return Unpickler(file, encoding=encoding).load()


#: Bytes that follow each opcode, for those where it is a fixed number.
_FIXED = {
    **{opcode[0]: 0 for opcode in (
        pickle.NEWOBJ, pickle.REDUCE, pickle.BUILD, pickle.APPEND, pickle.APPENDS, pickle.SETITEM, pickle.SETITEMS,
        pickle.MARK, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.NONE, pickle.NEWFALSE,
        pickle.NEWTRUE, pickle.EMPTY_TUPLE, pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.EMPTY_SET, pickle.BINPERSID,
    )},
    **{opcode[0]: 1 for opcode in (pickle.BININT1, pickle.BINGET, pickle.BINPUT, pickle.PROTO)},
    **{opcode[0]: 4 for opcode in (pickle.BININT, pickle.LONG_BINGET, pickle.LONG_BINPUT)},
    pickle.BININT2[0]: 2,
    pickle.BINFLOAT[0]: 8,
}  # fmt: skip


def globals_of(file: Any) -> set[str]:
    """The full names of all globals that a pickle refers to, read off without running it."""
    names: set[str] = set()
    while True:
        key = file.read(1)
        if not key:
            raise EOFError
        opcode = key[0]
        if key == pickle.STOP:
            return names
        if key == pickle.GLOBAL:
            names.add(".".join(_read_global(file.readline)))
        elif opcode in _FIXED:
            file.read(_FIXED[opcode])
        elif key == pickle.BINUNICODE:
            file.read(unpack("<I", file.read(4))[0])
        elif key in (pickle.SHORT_BINSTRING, pickle.LONG1):
            file.read(file.read(1)[0])
        else:
            raise UnpicklingError(f"Unsupported operand {opcode}")
