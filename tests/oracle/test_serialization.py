"""Files against native PyTorch: the same bytes, read both ways, and the same errors for damaged and hostile ones."""

from __future__ import annotations

import collections
import io
import os
import pickle
import re
import struct
import threading
import warnings
import zipfile

import numpy as np
import pytest

import torchlike
from torchlike._tensor.placement import accelerators

DTYPES = (
    "float64", "float32", "float16", "bfloat16", "complex128", "complex64", "int64", "int32", "int16", "int8", "uint8",
    "bool", "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2",
)  # fmt: skip


def saved(lib, obj, **options) -> bytes:
    buffer = io.BytesIO()
    lib.save(obj, buffer, **options)
    return buffer.getvalue()


def loaded(lib, data: bytes, **options):
    return lib.load(io.BytesIO(data), **options)


def outcome(function, *args, **kwargs):
    """What a call returns, or the type and text of what it raises (without native PyTorch's own stack traces)."""
    try:
        return "returned", function(*args, **kwargs)
    except Exception as error:
        text = re.sub(r"\n?Exception raised from.*", '"', str(error), flags=re.DOTALL)
        return "raised", type(error).__name__, re.sub(r"0x[0-9a-f]+", "0x", text)


def tensor_bytes(lib, tensor) -> bytes:
    """The contents of a tensor of any dtype."""
    flat = tensor.detach().contiguous().reshape(-1)
    if lib is torchlike:
        from torchlike._tensor.tensor import host_array

        return host_array(flat).tobytes()
    return bytes(flat.untyped_storage().tolist()[flat.storage_offset() * flat.element_size() :])[: flat.nbytes]


def described(lib, value):
    """A loaded value as plain data that can be compared between the libraries."""
    if isinstance(value, lib.nn.UninitializedParameter):
        return type(value).__name__, value.requires_grad
    if isinstance(value, lib.Tensor):
        return (
            type(value).__name__, str(value.dtype), tuple(value.size()), tuple(value.stride()), value.storage_offset(),
            value.requires_grad, str(value.device), tensor_bytes(lib, value),
        )  # fmt: skip
    if isinstance(value, dict):
        return type(value).__name__, [(k, described(lib, v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [described(lib, v) for v in value]
    if isinstance(value, (lib.dtype, lib.device, lib.layout)):
        return str(value)
    return value


def without_id(data: bytes) -> bytes:
    """An archive without the digits that stand for its contents, and their checksum."""
    found = re.search(rb"(\d{40})PK\x07\x08(....)", data, re.DOTALL)
    assert found is not None
    checksum, rest = found[2], data[found.end() :]
    return data[: found.start()] + (rest.replace(checksum, b"") if any(checksum) else rest)


# What is saved: each entry makes the same object with either library.


def _views(t):
    base = t.arange(24.0)
    grid = base.reshape(2, 3, 4)
    return [base, grid, grid[1], grid[:, 1:, ::2], grid.permute(2, 0, 1), base[5:], base[3], grid.expand(5, 2, 3, 4)]


def _tied(t):
    weight = t.ones(3, 2)
    return collections.OrderedDict([("a", weight), ("b", weight), ("c", weight.t()), ("d", weight[1:])])


def _plain(t):
    return {
        "int": 1, "big": 2**70, "negative": -5, "short": 300, "float": 1.5, "text": "é", "none": None, "yes": True,
        "tuple": (1,), "pair": (1, 2), "many": (1, 2, 3, 4), "list": [1, [2, []]], "set": {1}, "bytes": b"\x00\xff",
        "complex": 1j, "empty": {}, 7: "seven", "counter": collections.Counter("aab"), "bytearray": bytearray(b"ab"),
    }  # fmt: skip


def _with_attribute(t):
    tensor = t.ones(2)
    tensor.note = ["kept"]
    return tensor


OBJECTS = {
    "number": lambda t: 1,
    "plain": _plain,
    "tensor": lambda t: t.arange(6.0).reshape(2, 3),
    "scalar": lambda t: t.tensor(3),
    "empty": lambda t: [t.empty(0), t.empty(0, 3), t.empty(2, 0)],
    "views": _views,
    "tied": _tied,
    "requires_grad": lambda t: t.ones(2, requires_grad=True),
    "parameter": lambda t: t.nn.Parameter(t.ones(2, 2)),
    "frozen parameter": lambda t: t.nn.Parameter(t.ones(2), requires_grad=False),
    "buffer": lambda t: t.nn.Buffer(t.ones(2)),
    "uninitialized parameter": lambda t: t.nn.UninitializedParameter(requires_grad=False),
    "attribute": _with_attribute,
    "state of a module": lambda t: t.nn.BatchNorm1d(3).state_dict(),
    "small types": lambda t: [t.Size([1, 2]), t.device("cpu"), t.device("cuda", 1), t.float32, t.int64, t.bfloat16],
    "layout": lambda t: t.strided,
    **{
        f"dtype {name}": lambda t, name=name: t.tensor([0, 1, 2, 1]).to(getattr(t, name)).reshape(2, 2)
        for name in DTYPES
    },
}


@pytest.mark.parametrize("name", OBJECTS)
def test_archives_are_the_same_bytes(native, name):
    ours, theirs = (saved(lib, OBJECTS[name](lib)) for lib in (torchlike, native))
    assert without_id(ours) == without_id(theirs)


@pytest.mark.parametrize("options", [{}, {"_disable_byteorder_record": True}])
@pytest.mark.parametrize("crc", [True, False])
@pytest.mark.parametrize("alignment", [1, 64, 4096])
def test_archive_options_give_the_same_bytes(native, options, crc, alignment):
    import torch.utils.serialization.config as native_config

    from torchlike._serialization import config

    files = []
    for lib, settings in ((torchlike, config), (native, native_config)):
        lib.serialization.set_crc32_options(crc)
        settings.save.storage_alignment = alignment
        try:
            files.append(saved(lib, {"a": lib.arange(10.0), "b": lib.empty(0), "c": lib.ones(2)}, **options))
        finally:
            lib.serialization.set_crc32_options(True)
            settings.save.storage_alignment = 64
    ours, theirs = map(without_id, files)
    assert ours == theirs


def test_skip_data_leaves_the_same_blank_space(native):
    files = []
    for lib in (torchlike, native):
        with lib.serialization.skip_data():
            files.append(saved(lib, {"a": lib.arange(10.0), "b": lib.empty(0)}))
    assert without_id(files[0]) == without_id(files[1])


@pytest.mark.parametrize(
    "file_name", ["x.pt", "plain", "a.b.c.pt", ".hidden.pt", "sp ace.pt", "né.pt", "x.", "a\\b.pt"]
)
def test_archive_is_named_after_the_file(native, tmp_path, file_name):
    for lib in (torchlike, native):
        os.makedirs(tmp_path / lib.__name__)
        lib.save(lib.ones(2), str(tmp_path / lib.__name__ / file_name))
    ours, theirs = ((tmp_path / lib.__name__ / file_name).read_bytes() for lib in (torchlike, native))
    assert without_id(ours) == without_id(theirs)


class Discard:
    """A file that keeps all but one large part, which is ``gap`` bytes long."""

    def __init__(self):
        self.kept, self.gap = b"", 0

    def write(self, data):
        if len(data) < 1 << 20:
            self.kept += bytes(data)
        else:
            self.gap += len(data)

    def flush(self):
        pass


@pytest.mark.slow
def test_archives_beyond_4_gib_are_the_same_bytes(native):
    files = []
    for lib in (torchlike, native):
        file = Discard()
        lib.save([lib.ones(3), lib.zeros(4_400_000_000, dtype=lib.uint8), lib.ones(2), lib.empty(0)], file)
        assert file.gap == 4_400_000_000
        files.append(without_id(file.kept))
    assert files[0] == files[1]


#: Types that the older format has no storage class for: native PyTorch cannot read its own files of them.
NEW_DTYPES = {f"dtype {name}" for name in DTYPES if name.startswith(("uint16", "uint32", "uint64", "float8"))}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("name", OBJECTS)
def test_each_reads_what_the_other_wrote(native, name, weights_only, legacy):
    options = {"_use_new_zipfile_serialization": not legacy}
    for writer in (torchlike, native):
        data = saved(writer, OBJECTS[name](writer), **options)
        if legacy and name in NEW_DTYPES:
            assert described(torchlike, loaded(torchlike, data)) == described(writer, OBJECTS[name](writer))
            continue
        ours, theirs = (
            outcome(lambda lib: described(lib, loaded(lib, data, weights_only=weights_only)), lib)  # noqa: B023
            for lib in (torchlike, native)
        )
        assert ours == theirs


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("weights_only", [True, False])
def test_pickle_protocols(native, protocol, weights_only):
    for writer in (torchlike, native):
        data = saved(writer, {"t": writer.ones(2), "s": writer.Size([1])}, pickle_protocol=protocol)
        results = []
        for lib in (torchlike, native):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results.append(
                    outcome(lambda lib: described(lib, loaded(lib, data, weights_only=weights_only)), lib)  # noqa: B023
                )
        assert results[0] == results[1]


@pytest.mark.parametrize("legacy", [False, True])
def test_sharing_survives(native, legacy):
    for writer, reader in ((torchlike, native), (native, torchlike), (torchlike, torchlike)):
        data = saved(writer, _tied(writer), _use_new_zipfile_serialization=not legacy)
        back = loaded(reader, data)
        back["a"][1, 0] = 7
        assert back["b"][1, 0] == 7 and back["c"][0, 1] == 7 and back["d"][0, 0] == 7


def test_memory_seen_as_two_types_is_not_saved(native):
    def save(lib):
        t = lib.ones(3)
        saved(lib, [t, t.view(lib.int32)])

    assert outcome(save, torchlike) == outcome(save, native)


def test_big_endian_files(native):
    data = saved(native, {"f": native.arange(4.0), "c": native.tensor([1 + 2j]), "i": native.tensor([1, 2])})
    swapped = _rewritten(data, {"byteorder": b"big"})
    assert described(torchlike, loaded(torchlike, swapped)) == described(native, loaded(native, swapped))


@pytest.mark.parametrize("order", ["NATIVE", "LITTLE", "BIG", None])
def test_default_byte_order(native, order):
    data = _rewritten(saved(native, native.arange(4)), {"byteorder": None})
    results = []
    for lib in (torchlike, native):
        setting = order and getattr(lib.serialization.LoadEndianness, order)
        lib.serialization.set_default_load_endianness(setting)
        try:
            assert lib.serialization.get_default_load_endianness() is setting
            results.append(described(lib, loaded(lib, data)))
        finally:
            lib.serialization.set_default_load_endianness(None)
    assert results[0] == results[1]


# Damage


def _rewritten(data: bytes, changes: dict[str, bytes | None], folder: str = "archive/", compression: int = 0) -> bytes:
    """An archive with some records replaced, or left out (None)."""
    archive, buffer = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as copy:
        for name in archive.namelist():
            record = name.split("/", 1)[1]
            content = changes.get(record, archive.read(name))
            if content is not None:
                copy.writestr(folder + record, content)
    return buffer.getvalue()


def same_outcome(native, data: bytes, **options):
    ours, theirs = (
        outcome(lambda lib: described(lib, loaded(lib, data, **options)), lib) for lib in (torchlike, native)
    )
    assert ours == theirs
    return ours


def test_truncated_archives(native, tmp_path):
    data = saved(native, {"a": native.arange(1000.0)})
    path = tmp_path / "truncated.pt"
    for size in (0, 3, 4, 10, 50, 200, 700, 2000, 4096, 4097, len(data) - 100, len(data) - 22, len(data) - 1):
        same_outcome(native, data[:size])
        path.write_bytes(data[:size])
        assert outcome(torchlike.load, path) == outcome(native.load, path)


def test_truncated_large_archive(native):
    data = saved(native, {"a": native.arange(40_000.0)})
    assert same_outcome(native, data[: len(data) - 50])[1] == "RuntimeError"


def test_truncated_streams(native):
    data = saved(native, {"a": native.arange(5.0)[1:3]}, _use_new_zipfile_serialization=False)
    for size in range(0, len(data), 3):
        same_outcome(native, data[:size])


@pytest.mark.parametrize(
    "content",
    [b"", b"hello world, this is no checkpoint", bytes(range(256)), b"PK\x05\x06" + bytes(18)]
    + [pickle.dumps({"a": 1}, protocol) for protocol in (0, 2, 4)],
)
@pytest.mark.parametrize("weights_only", [True, False])
def test_files_of_other_kinds(native, tmp_path, content, weights_only):
    path = tmp_path / "other.pt"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (outcome(lib.load, path, weights_only=weights_only) for lib in (torchlike, native))
    assert ours == theirs and ours[0] == "raised"


CHANGES = {
    "nothing": {},
    **{
        f"no {name}": {name: None}
        for name in ("data.pkl", "byteorder", "version", "data/0", ".format_version", ".storage_alignment",
                     ".data/serialization_id")
    },
    "short storage": {"data/0": b"abc"},
    "long storage": {"data/0": b"abc" * 900},
    "empty pickle": {"data.pkl": b""},
    "newer version": {"version": b"99\n"},
    "no such version": {"version": b"0\n"},
    "early version": {"version": b"1\n"},
    "version in words": {"version": b"x\n"},
    "odd byte order": {"byteorder": b"pdp"},
    "odd alignment": {".storage_alignment": b"pdp"},
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_changed_records(native, name):
    same_outcome(native, _rewritten(saved(native, {"a": native.arange(10.0)}), CHANGES[name]))


@pytest.mark.parametrize("folder", ["other/", "", "a/b/", "ARCHIVE/"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_archives_of_other_programs(native, folder, compression):
    same_outcome(native, _rewritten(saved(native, {"a": native.arange(10.0)}), {}, folder, compression))


#: (field, offset in the record, layout, value) of changes whose outcome natively does not depend on stray memory.
CENTRAL_FIELDS = [
    ("signature", 0, "<I", 0), ("encrypted", 8, "<H", 0x809), ("patched", 8, "<H", 0x828), ("method", 10, "<H", 9),
    ("checksum", 16, "<I", 1), ("packed size", 20, "<I", 10**6), ("size", 24, "<I", 10**6), ("packed", 20, "<I", 1),
    ("no size", 20, "<I", 0xFFFFFFFF), ("name", 28, "<H", 0), ("long name", 28, "<H", 60000), ("extra", 30, "<H", 5),
    ("comment", 32, "<H", 5), ("disk", 34, "<H", 1), ("place", 42, "<I", 5), ("far", 42, "<I", 10**6),
]  # fmt: skip
END64_FIELDS = [
    ("length", 4, "<Q", 10), ("disk", 16, "<I", 3), ("count", 24, "<Q", 1), ("total", 32, "<Q", 1),
    ("size", 40, "<Q", 10), ("large", 40, "<Q", 10**7), ("place", 48, "<Q", 10), ("far", 48, "<Q", 10**7),
]  # fmt: skip
LOCATOR_FIELDS = [("place", 8, "<Q", 10), ("far", 8, "<Q", 10**9), ("disks", 16, "<I", 3)]
FIELDS = [
    *((b"PK\x01\x02", *f) for f in CENTRAL_FIELDS),
    *((b"PK\x06\x06", *f) for f in END64_FIELDS),
    *((b"PK\x06\x07", *f) for f in LOCATOR_FIELDS),
]


@pytest.mark.parametrize(("magic", "name", "offset", "layout", "value"), FIELDS)
def test_damaged_directories(native, magic, name, offset, layout, value):
    data = bytearray(saved(native, {"a": native.arange(10.0)}))
    struct.pack_into(layout, data, data.find(magic) + offset, value)
    same_outcome(native, bytes(data))


def test_files_inside_files(native):
    data = saved(native, {"a": native.arange(10.0)})
    same_outcome(native, data + b"x" * 60_000)
    same_outcome(native, data + b"x" * 70_000)
    same_outcome(native, b"PK\x03\x04junk" + data)
    buffer = io.BytesIO(b"before" + data)
    buffer.seek(6)
    assert described(torchlike, torchlike.load(buffer)) == described(native, loaded(native, data))


# Hostile pickles


class Id:
    """Stands for a storage in a pickle that is made by hand."""

    def __init__(self, key="0", storage_type="FloatStorage", location="cpu", numel=4, more=()):
        self.key, self.storage_type, self.location, self.numel, self.more = key, storage_type, location, numel, more


class Global:
    """A name in a pickle that is made by hand."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """A call in a pickle that is made by hand."""

    def __init__(self, function, *args):
        self.function, self.args = function, args


class HandPickler(pickle._Pickler):
    """Writes names without looking them up."""

    dispatch = pickle._Pickler.dispatch.copy()

    def persistent_id(self, obj):
        if not isinstance(obj, Id):
            return None
        storage_type = Global("torch", obj.storage_type) if isinstance(obj.storage_type, str) else obj.storage_type
        return ("storage", storage_type, obj.key, obj.location, obj.numel, *obj.more)

    def save_name(self, obj):
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())

    def save_call(self, obj):
        self.save(obj.function)
        self.save(tuple(obj.args))
        self.write(pickle.REDUCE)

    dispatch[Global], dispatch[Call] = save_name, save_call


def hand_pickled(obj) -> bytes:
    buffer = io.BytesIO()
    HandPickler(buffer, 2).dump(obj)
    return buffer.getvalue()


def hand_made(obj, storage=bytes(16)) -> bytes:
    """An archive with this object and one storage."""
    data = saved(torchlike, torchlike.ones(4))
    return _rewritten(data, {"data.pkl": hand_pickled(obj), "data/0": storage})


V2, V3 = Global("torch._utils", "_rebuild_tensor_v2"), Global("torch._utils", "_rebuild_tensor_v3")
HOOKS = Call(Global("collections", "OrderedDict"))


def rebuilt(offset=0, size=(2, 2), stride=(2, 1), requires_grad=False, *more, storage=None):
    return Call(V2, storage or Id(), offset, size, stride, requires_grad, HOOKS, *more)


HOSTILE = {
    "honest": rebuilt(),
    "offset": rebuilt(1),
    "negative offset": rebuilt(-1),
    "far offset": rebuilt(2**63 - 1),
    "no integer's offset": rebuilt(2**70),
    "offset of another type": rebuilt(0.0),
    "stride": rebuilt(0, (2, 2), (100, 1)),
    "negative stride": rebuilt(3, (2, 2), (-2, 1)),
    "negative size": rebuilt(0, (-2, 2)),
    "large": rebuilt(0, (2**40, 2**20), (1, 1)),
    "overflowing": rebuilt(0, (2**62, 2**62), (2**62, 2**62)),
    "no integers' size": rebuilt(0, (2**70, 2)),
    "dimensions that differ": rebuilt(0, (2, 2), (2,)),
    "size of another type": rebuilt(0, "ab", (2,)),
    "floats for sizes": rebuilt(0, (2.0, 2)),
    "booleans for sizes": rebuilt(0, (True, 2)),
    "number for size": rebuilt(0, 4, 1),
    "lists": rebuilt(0, [2, 2], [2, 1]),
    "nothing, far away": rebuilt(100, (0,), (1,)),
    "one element, far away": rebuilt(4, (), ()),
    "requires_grad as text": rebuilt(0, (2, 2), (2, 1), "yes"),
    "requires_grad as number": rebuilt(0, (2, 2), (2, 1), 1),
    "too few arguments": Call(V2, Id(), 0),
    "unknown mark": rebuilt(0, (2, 2), (2, 1), False, {"foo": True}),
    "marks of another type": rebuilt(0, (2, 2), (2, 1), False, "ab"),
    "number for storage": rebuilt(storage=5),
    "list for storage": rebuilt(storage=[1.0, 2.0]),
    "many elements": rebuilt(storage=Id(numel=10**6)),
    "very many elements": rebuilt(storage=Id(numel=2**60)),
    "few elements": rebuilt(storage=Id(numel=2)),
    "missing key": rebuilt(storage=Id(key="7")),
    "path for key": rebuilt(storage=Id(key="../../etc/passwd")),
    "number for key": rebuilt(storage=Id(key=0)),
    "unknown place": rebuilt(storage=Id(location="xyz")),
    "number for place": rebuilt(storage=Id(location=3)),
    "number for type": rebuilt(storage=Id(storage_type=5)),
    "bytes as float": Call(V3, Id(storage_type=Global("torch.storage", "UntypedStorage"), numel=16), 0, (2, 2), (2, 1),
                           False, HOOKS, Global("torch", "float32")),
    "too few bytes": Call(V3, Id(storage_type=Global("torch.storage", "UntypedStorage"), numel=16), 0, (2, 3), (3, 1),
                          False, HOOKS, Global("torch", "float32")),
    "floats as int16": Call(V3, Id(), 0, (2, 2), (2, 1), False, HOOKS, Global("torch", "int16")),
    "text for dtype": Call(V3, Id(), 0, (2, 2), (2, 1), False, HOOKS, "int16"),
    "first form": Call(Global("torch._utils", "_rebuild_tensor"), Id(), 0, (2, 2), (2, 1)),
    "first form, too large": Call(Global("torch._utils", "_rebuild_tensor"), Id(), 0, (2, 3), (3, 1)),
    **{
        f"{module}.{name}": Call(Global(module, name), *args)
        for module, name, *args in [
            ("os", "system", "true"), ("posix", "system", "true"), ("nt", "system", "true"), ("sys", "exit", 1),
            ("builtins", "eval", "1"), ("__builtin__", "eval", "1"), ("builtins", "getattr", 1, "real"),
            ("builtins", "__import__", "os"), ("pickle", "loads", b""), ("torch", "load", "x"), ("torch", "ones", 3),
            ("torch.serialization", "load", "x"), ("torch.nn.modules.linear", "Linear", 1, 1),
            ("subprocess", "Popen", "true"), ("builtins", "bytearray", 5), ("builtins", "bytearray", 2**62),
            ("builtins", "set", [1]), ("__builtin__", "set", [1]), ("builtins", "frozenset", [1]),
            ("__builtin__", "complex", 1.0, 2.0), ("torch", "device", "cuda:3"), ("torch", "Size", (1, 2)),
            ("collections", "OrderedDict", [(1, 2)]), ("collections", "defaultdict",), ("pathlib", "PosixPath", "a"),
            ("numpy", "dtype", "f4"), ("numpy.core.multiarray", "_reconstruct"), ("torch.nn", "Parameter"),
            ("torch._utils", "_import_dotted_name", "os.system"), ("torch.storage", "_load_from_bytes", b""),
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(native, name):
    same_outcome(native, hand_made(HOSTILE[name]))


OPCODES = {
    "persistent id of another kind": b"(X\x05\x00\x00\x00helloK\x01tQ.",
    "text for persistent id": b"X\x05\x00\x00\x00helloQ.",
    "number for persistent id": b"K\x01Q.",
    "append to a dictionary": b"}K\x01a.",
    "extend a dictionary": b"}(K\x01e.",
    "item of a list": b"]K\x01K\x02s.",
    "items of a list": b"](K\x01K\x02u.",
    "build a list": b"]}b.",
    "build a dictionary": b"}}b.",
    "call of a number": b"K\x01)R.",
    "object of a number": b"K\x01)\x81.",
    "instance": b"(iposix\nsystem\n.",
    "object": b"(cposix\nsystem\no.",
    "long number": b"\x8a\x09" + bytes(8) + b"\x01.",
    "text of a length to come": b"X\xff\xff\xff\xffabc.",
    "old string": b"U\x03abc.",
    "memo that is not there": b"h\x05.",
    "empty stack": b".",
    "end of the stack": b"a.",
    "end": b"",
    "mark that is not there": b"t.",
    "protocol 4": b"\x80\x04K\x01.",
    "extension": b"\x82\x01.",
    "global on the stack": b"\x8c\x05posix\x8c\x06system\x93.",
}


@pytest.mark.parametrize("name", OPCODES)
@pytest.mark.parametrize("prefix", [b"", b"\x80\x02"])
def test_hostile_opcodes(native, name, prefix):
    data = _rewritten(saved(torchlike, 1), {"data.pkl": prefix + OPCODES[name]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same_outcome(native, data)


def test_names_in_a_checkpoint(native):
    data = hand_made([rebuilt(), Call(Global("os", "system"), "true"), Global("builtins", "print")])
    ours, theirs = (
        sorted(lib.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))) for lib in (torchlike, native)
    )
    assert ours == theirs == ["builtins.print", "os.system"]


def _stream(obj, keys=("0",), numel=4, storage=bytes(16), magic=0x1950A86A20F9469CFC6C, version=1001) -> bytes:
    parts = [pickle.dumps(part, 2) for part in (magic, version, {"little_endian": True})]
    return b"".join([*parts, hand_pickled(obj), pickle.dumps(list(keys), 2), struct.pack("<q", numel), storage])


def _streamed(view=None, **changes):
    return rebuilt(storage=Id(more=(view,), **changes))


STREAMS = {
    "honest": _stream(_streamed()),
    "too large": _stream(rebuilt(0, (3, 2), storage=Id(more=(None,)))),
    "offset": _stream(rebuilt(5, storage=Id(more=(None,)))),
    "short": _stream(_streamed(), storage=bytes(10)),
    "no bytes": _stream(_streamed(), storage=b""),
    "few": _stream(_streamed(), numel=2),
    "many": _stream(_streamed(), numel=100),
    "negative": _stream(_streamed(), numel=-1),
    "negative number": _stream(_streamed(numel=-4)),
    "other key": _stream(_streamed(), keys=["9"]),
    "other magic": _stream(_streamed(), magic=5),
    "other version": _stream(_streamed(), version=5),
    "view": _stream(_streamed(("v", 0, 4))),
    "part": _stream(rebuilt(0, (2,), (1,), storage=Id(more=(("v", 1, 2),)))),
    "part that is too large": _stream(rebuilt(0, (2,), (1,), storage=Id(more=(("v", 3, 20),)))),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("as_path", [False, True])
def test_hostile_streams(native, tmp_path, name, as_path):
    if not as_path:
        same_outcome(native, STREAMS[name])
        return
    path = tmp_path / "stream.pt"
    path.write_bytes(STREAMS[name])
    ours, theirs = (outcome(lambda lib: described(lib, lib.load(path)), lib) for lib in (torchlike, native))
    assert ours == theirs


# Places


@pytest.mark.parametrize(
    "map_location",
    ["cpu", "cpu:0", "bad", 3, b"cpu", {}, {"cpu": "cpu"}, {"cuda:0": "cpu"}, {"cpu": "bad"}, lambda s, place: None,
     lambda s, place: s, lambda s, place: "cpu", lambda s, place: 1 / 0],
)  # fmt: skip
@pytest.mark.parametrize("location", ["cpu", "cuda:0"])
def test_map_location(native, map_location, location):
    if native.cuda.is_available() or accelerators():
        pytest.skip("the errors are those of a machine without an accelerator")
    data = hand_made(rebuilt(storage=Id(location=location)))
    same_outcome(native, data, map_location=map_location)


def test_map_location_devices(native):
    data = saved(native, {"a": native.ones(2)})
    ours, theirs = (described(lib, loaded(lib, data, map_location=lib.device("cpu"))) for lib in (torchlike, native))
    assert ours == theirs


# Objects


def _model(t):
    return t.nn.Sequential(
        t.nn.Linear(3, 4),
        t.nn.ReLU(),
        t.nn.Conv1d(1, 2, 3),
        t.nn.BatchNorm1d(4),
        t.nn.Dropout(0.3),
        t.nn.Embedding(5, 2),
    )


def test_modules_are_read_by_each_other(native):
    for writer, reader in ((torchlike, native), (native, torchlike), (torchlike, torchlike)):
        model = _model(writer)
        back = loaded(reader, saved(writer, model), weights_only=False)
        assert repr(back) == repr(model)
        assert described(reader, back.state_dict())[1] == described(writer, model.state_dict())[1]
        back.eval()
        assert not back[4].training


def test_module_that_is_not_allowed(native):
    data = saved(native, _model(native))
    same = same_outcome(native, data)
    assert "torch.nn.modules.container.Sequential" in same[2]


def test_optimizers_are_read_by_each_other(native):
    def trained(lib):
        model = lib.nn.Linear(3, 1)
        optimizer = lib.optim.Adam(model.parameters(), lr=0.5)
        model(lib.ones(2, 3)).sum().backward()
        optimizer.step()
        return optimizer

    for writer, reader in ((torchlike, native), (native, torchlike)):
        state = trained(writer).state_dict()
        back = loaded(reader, saved(writer, state))
        assert described(reader, back) == described(writer, state)
        trained(reader).load_state_dict(back)


def test_numpy_values(native):
    value = {"array": np.arange(3.0), "scalar": np.float32(1.5), "tensor": None}
    for writer, reader in ((torchlike, native), (native, torchlike)):
        data = saved(writer, {**value, "tensor": writer.ones(2)})
        same_outcome(native, data)
        back = loaded(reader, data, weights_only=False)
        assert back["array"].tolist() == [0, 1, 2] and type(back["scalar"]) is np.float32


def test_errors_of_what_does_not_pickle(native, tmp_path):
    for value in (lambda: 1, threading.Lock(), {1: [threading.Lock()]}, type("Local", (), {}), type("Local", (), {})()):
        ours, theirs = (outcome(lib.save, value, tmp_path / "x.pt") for lib in (torchlike, native))
        assert ours == theirs


def test_errors_of_places_to_write_to(native, tmp_path):
    class NoWrite:
        write = 3

    class NoFlush:
        def write(self, data):
            return len(data)

    for target in (3, None, b"bytes", NoWrite(), NoFlush(), io.StringIO(), str(tmp_path), str(tmp_path / "no" / "x.pt"),
                   "", str(tmp_path / ".hid")):  # fmt: skip
        ours, theirs = (outcome(lib.save, 1, target) for lib in (torchlike, native))
        assert ours == theirs


def test_errors_of_what_is_read(native, tmp_path):
    class NoSeek:
        def read(self, size=-1):
            return b""

    for source in (5, None, b"bytes", NoSeek(), str(tmp_path), str(tmp_path / "missing.pt"), "x.safetensors"):
        ours, theirs = (outcome(lib.load, source) for lib in (torchlike, native))
        assert ours == theirs


def test_errors_of_arguments(native, tmp_path):
    data = saved(native, 1)
    stream = tmp_path / "stream.pt"
    stream.write_bytes(saved(native, 1, _use_new_zipfile_serialization=False))
    for call in (
        lambda lib: loaded(lib, data, pickle_module=pickle, weights_only=True),
        lambda lib: loaded(lib, data, mmap=True),
        lambda lib: lib.load(str(stream), mmap=True),
        lambda lib: lib.load(stream, mmap=True),
        lambda lib: lib.serialization.set_default_load_endianness("little"),
        lambda lib: lib.serialization.set_default_mmap_options(7),
        lambda lib: lib.serialization.get_unsafe_globals_in_checkpoint(stream),
    ):
        assert outcome(call, torchlike) == outcome(call, native)
