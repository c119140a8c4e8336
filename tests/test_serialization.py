"""``torch.save`` and ``torch.load`` by themselves: files replaced safely, torch's names, memory that stays shared."""

from __future__ import annotations

import collections
import copy
import io
import os
import pickle
import pickletools
import stat
import sys
import types
import zipfile

import numpy as np
import pytest

import torchlike as torch
from torchlike._serialization import config
from torchlike._serialization.names import global_name, resolve


def saved(obj, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(obj, buffer, **options)
    return buffer.getvalue()


def loaded(data: bytes, **options):
    return torch.load(io.BytesIO(data), **options)


def round_trip(obj, **options):
    return loaded(saved(obj), **options)


def names_in(data: bytes) -> set[str]:
    """The globals that the pickle of an archive refers to."""
    pickled = zipfile.ZipFile(io.BytesIO(data)).read("archive/data.pkl")
    return {argument for opcode, argument, _ in pickletools.genops(pickled) if opcode.name == "GLOBAL"}


class Box:
    """Something of the user's own."""

    def __init__(self, content):
        self.content = content


class Unpicklable:
    def __reduce__(self):
        raise ValueError("no")


# Files


def test_archive_layout(tmp_path):
    path = tmp_path / "model.ckpt.pt"
    torch.save([torch.arange(3), torch.ones(2)], path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        records = ("data.pkl", ".format_version", ".storage_alignment", "byteorder", "data/0", "data/1", "version")
        assert archive.namelist() == [f"model.ckpt/{name}" for name in (*records, ".data/serialization_id")]
        assert archive.read("model.ckpt/byteorder").decode() == sys.byteorder
        assert archive.read("model.ckpt/version") == b"3\n"
        assert np.frombuffer(archive.read("model.ckpt/data/0"), np.int64).tolist() == [0, 1, 2]
        data = path.read_bytes()
        for entry in archive.infolist():
            name_size, extra_size = np.frombuffer(data, "<u2", 2, entry.header_offset + 26)
            assert entry.compress_type == zipfile.ZIP_STORED
            assert (entry.header_offset + 30 + int(name_size) + int(extra_size)) % 64 == 0


def test_the_same_object_gives_the_same_file():
    assert saved({"a": torch.ones(3)}) == saved({"a": torch.ones(3)})
    assert saved(torch.ones(3)) != saved(torch.zeros(3))


def test_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.pt"
    for legacy in (False, True):
        torch.save(torch.ones(2), path)
        before = path.read_bytes()
        with pytest.raises(ValueError, match="no"):
            torch.save([torch.zeros(2), Unpicklable()], path, _use_new_zipfile_serialization=not legacy)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["model.pt"]


def test_failed_save_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="no"):
        torch.save(Unpicklable(), tmp_path / "model.pt")
    assert os.listdir(tmp_path) == []


def test_interrupted_save_leaves_the_old_file(tmp_path):
    class Interrupted:
        def __reduce__(self):
            raise KeyboardInterrupt

    path = tmp_path / "model.pt"
    torch.save(1, path)
    with pytest.raises(KeyboardInterrupt):
        torch.save(Interrupted(), path)
    assert torch.load(path) == 1
    assert os.listdir(tmp_path) == ["model.pt"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions(tmp_path):
    path = tmp_path / "model.pt"
    mask = os.umask(0o027)
    try:
        torch.save(1, path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    torch.save(2, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    if os.getuid() != 0:
        path.chmod(0o444)
        with pytest.raises(RuntimeError, match="open file failed with strerror: Permission denied"):
            torch.save(3, path)
    assert torch.load(path) == 2


@pytest.mark.skipif(os.name != "posix", reason="links and devices of POSIX")
def test_links_and_devices_stay_what_they_are(tmp_path):
    target, link = tmp_path / "target.pt", tmp_path / "link.pt"
    torch.save(1, target)
    link.symlink_to(target)
    torch.save(2, link)
    assert link.is_symlink() and torch.load(target) == 2
    torch.save(torch.ones(1000), os.devnull)
    assert not os.path.isfile(os.devnull)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk():
    with pytest.raises(RuntimeError, match=r"\[enforce fail at inline_container.cc:672\] \. unexpected pos") as caught:
        torch.save(torch.ones(100_000), "/dev/full")
    assert isinstance(caught.value.__cause__, OSError)


def test_path_objects_and_open_files(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(1, path)
    assert torch.load(str(path)) == torch.load(path) == 1
    with open(path, "wb") as file:
        torch.save(2, file)
    with open(path, "rb") as file:
        assert torch.load(file) == 2
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist()[0] == "archive/data.pkl"


def test_several_saves_into_one_stream():
    buffer = io.BytesIO()
    for value in (1, [2], "three"):
        torch.save(value, buffer, _use_new_zipfile_serialization=False)
    buffer.seek(0)
    assert [torch.load(buffer) for _ in range(3)] == [1, [2], "three"]


def test_files_without_readinto():
    class Plain:
        def __init__(self, data):
            self._file = io.BytesIO(data)

        def __getattr__(self, name):
            if name == "readinto":
                raise AttributeError(name)
            return getattr(self._file, name)

    for legacy in (False, True):
        data = saved(torch.arange(5), _use_new_zipfile_serialization=not legacy)
        assert torch.load(Plain(data)).tolist() == [0, 1, 2, 3, 4]


def test_memory_mapped_files(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.arange(4.0), "b": torch.tensor([1, 2])}, path)
    back = torch.load(path, mmap=True)
    assert back["a"].tolist() == [0, 1, 2, 3]
    back["a"][0] = 7
    assert back["a"].tolist() == [7, 1, 2, 3]
    assert torch.load(path)["a"].tolist() == [0, 1, 2, 3]


@pytest.mark.skipif(sys.platform == "win32", reason="not there on Windows")
def test_memory_mapped_files_that_are_written_to(tmp_path):
    import mmap

    path = tmp_path / "model.pt"
    torch.save({"a": torch.arange(4.0)}, path)
    with torch.serialization.set_default_mmap_options(mmap.MAP_SHARED):
        torch.load(path, mmap=True)["a"][0] = 7
    assert torch.serialization.get_default_mmap_options() == mmap.MAP_PRIVATE
    assert torch.load(path)["a"].tolist() == [7, 1, 2, 3]


def test_mmap_by_default(tmp_path):
    torch.save(torch.ones(2), tmp_path / "model.pt")
    with config.patch("load.mmap", True), pytest.raises(ValueError, match="f must be a file path"):
        loaded(saved(1))
    assert config.load.mmap is False
    with pytest.raises(AttributeError, match="does not exist"):
        config.load.nonsense = 1


# Names


def test_names_are_those_of_torch():
    data = saved([torch.ones(2), torch.nn.Parameter(torch.ones(1)), torch.Size([1]), torch.device("cpu"), torch.half])
    assert names_in(data) == {
        "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch FloatStorage", "torch Size",
        "torch device", "torch float16", "collections OrderedDict",
    }  # fmt: skip


def test_names_of_subclasses_and_attributes():
    tensor = torch.ones(2)
    tensor.note = "kept"
    data = saved(tensor)
    assert "torch._tensor _rebuild_from_type_v2" in names_in(data) and "torch Tensor" in names_in(data)
    assert loaded(data).note == "kept"
    assert not hasattr(round_trip(torch.ones(2)), "note")
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.note = "kept"
    assert round_trip(parameter).note == "kept"


@pytest.mark.parametrize(
    ("module", "name", "found"),
    [
        ("torch", "FloatStorage", lambda: torch.storage.FloatStorage),
        ("torch.storage", "UntypedStorage", lambda: torch.storage.UntypedStorage),
        ("torch._utils", "_rebuild_tensor_v2", lambda: torch._utils._rebuild_tensor_v2),
        ("torch._C", "TensorBase", lambda: torch.Tensor),
        ("torch._C", "_VariableFunctionsClass", lambda: torch),
        ("torch._tensor", "_rebuild_from_type_v2", lambda: torch._utils._rebuild_from_type_v2),
        ("torch.nn.parameter", "Parameter", lambda: torch.nn.Parameter),
    ],
)
def test_names_that_files_use(module, name, found):
    assert resolve(module, name) is found()


def test_names_that_do_not_exist():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'torch\.nonsense'"):
        resolve("torch.nonsense.deep", "Name")
    with pytest.raises(AttributeError, match=r"Can't get attribute 'nonsense' on <module 'torch\.nn'>"):
        resolve("torch.nn", "nonsense")
    assert global_name(Box) is None
    assert global_name(torch.nn.Parameter) == ("torch.nn.parameter", "Parameter")


ALONE = """
import io, pickle, sys
{first}
import torchlike as torch
buffer = io.BytesIO()
value = {{"t": torch.ones(2), "p": torch.nn.Parameter(torch.ones(1)), "s": torch.Size([1]), "d": torch.float32}}
torch.save(value, buffer)
names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(buffer.getvalue()))
for weights_only in (True, False):
    back = torch.load(io.BytesIO(buffer.getvalue()), weights_only=weights_only)
    assert back["t"].tolist() == [1, 1] and type(back["p"]) is torch.nn.Parameter and back["d"] is torch.float32
assert pickle.loads(pickle.dumps(torch.ones(2))).tolist() == [1, 1]
print(names, sys.modules.get("torch") is {torch})
"""


@pytest.mark.parametrize(
    ("first", "module"), [("", "None"), ("import torchlike; torchlike.install()", "sys.modules['torchlike']")]
)
def test_names_do_not_depend_on_the_alias(run_python, first, module):
    result = run_python("-c", ALONE.format(first=first, torch=module))
    assert (result.stdout, result.stderr) == ("[] True\n", "")


def test_picklers_of_others():
    class Module(types.ModuleType):
        class Pickler(pickle.Pickler):
            pass

        class Unpickler(pickle.Unpickler):
            def find_class(self, module, name):
                seen.append(module)
                return super().find_class(module, name)

        load, dump = staticmethod(pickle.load), staticmethod(pickle.dump)

    seen: list[str] = []
    module = Module("theirs")
    value = {"t": torch.ones(2), "s": torch.Size([1]), "d": torch.device("cpu")}
    data = saved(value, pickle_module=module)
    assert not any("torchlike" in name for name in names_in(data))
    back = loaded(data, pickle_module=module)
    assert back["t"].tolist() == [1, 1] and back["s"] == (1,)
    assert seen and not any("torchlike" in name for name in seen)


def test_cloudpickle():
    cloudpickle = pytest.importorskip("cloudpickle")
    data = saved({"t": torch.ones(2), "f": lambda x: x + 1}, pickle_module=cloudpickle)
    back = loaded(data, pickle_module=pickle)
    assert back["t"].tolist() == [1, 1] and back["f"](1) == 2


def test_deep_objects():
    deep: list = []
    for _ in range(600):
        deep = [deep]
    assert saved(deep) and loaded(saved(deep)) == deep


# Values


def test_shared_memory_stays_shared():
    base = torch.arange(6.0)
    back = round_trip({"base": base, "view": base[2:4], "again": base, "grid": base.reshape(2, 3).t()})
    assert back["again"] is back["base"]
    back["base"][2] = 9
    assert back["view"].tolist() == [9, 3]
    assert back["grid"].tolist() == [[0, 3], [1, 4], [9, 5]]
    back["view"][1] = 8
    assert back["base"].tolist() == [0, 1, 9, 8, 4, 5]
    assert (back["view"].storage_offset(), back["grid"].stride()) == (2, (1, 3))


def test_layouts():
    base = torch.arange(24.0)
    for view in (
        base.reshape(2, 3, 4).permute(2, 0, 1), base.reshape(4, 6)[1:, ::2], base[3], base[5:5],
        base[7:].reshape(17, 1), base.reshape(2, 12)[:, 3:7].t(), base[4].expand(3, 2),
        base.reshape(6, 4)[:, 1].expand(2, 6), torch.as_strided(base, (3, 3), (2, 3), 1),
    ):  # fmt: skip
        back = round_trip(view)
        assert (back.size(), back.stride(), back.storage_offset()) == (
            view.size(), view.stride(), view.storage_offset()
        )  # fmt: skip
        assert back.tolist() == view.tolist()
        written = (back + 1).tolist()
        if not view.numel() or 0 in view.stride():
            continue
        back.add_(1)
        assert back.tolist() == written


def test_only_what_is_shown_of_a_copy_is_saved():
    big = torch.zeros(100_000)
    assert len(saved(big[:2])) > 400_000
    assert len(saved(big[:2].clone())) < 4_000


def test_hooks_are_left_behind():
    tensor = torch.ones(2, requires_grad=True)
    tensor.register_hook(print)
    with pytest.warns(UserWarning, match="backward hook <built-in function print> on tensor will not be serialized"):
        data = saved(tensor)
    assert loaded(data).requires_grad


def test_conjugated_files():
    storage = torch.storage.untyped_storage(torch.tensor([1 + 2j]))
    typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.complex64, _internal=True)
    rebuilt = torch._utils._rebuild_tensor_v2(typed, 0, (1,), (1,), False, collections.OrderedDict(), {"conj": True})
    assert rebuilt.tolist() == [1 - 2j]


def test_weights_only_and_the_users_classes():
    data = saved(Box(torch.ones(2)))
    with pytest.raises(pickle.UnpicklingError, match=r"Unsupported global: GLOBAL .*Box was not an allowed global"):
        loaded(data)
    name = f"{Box.__module__}.Box"
    assert torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == [name]
    with torch.serialization.safe_globals([Box]):
        assert torch.serialization.get_safe_globals() == [Box]
        assert loaded(data).content.tolist() == [1, 1]
        assert torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == []
    assert torch.serialization.get_safe_globals() == []
    torch.serialization.add_safe_globals([(Box, name)])
    try:
        assert loaded(data).content.tolist() == [1, 1]
    finally:
        torch.serialization.clear_safe_globals()
    assert loaded(data, weights_only=False).content.tolist() == [1, 1]


def test_blocked_modules_cannot_be_allowed():
    pickled = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
    blocked = pytest.raises(pickle.UnpicklingError, match=r"GLOBAL posix\.system whose module posix is blocked")
    with torch.serialization.safe_globals([(os.system, "posix.system")]), blocked:
        loaded(buffer.getvalue())


def test_environment_decides(monkeypatch):
    data = saved(Box(1))
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(pickle.UnpicklingError):
        loaded(data, weights_only=False)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "yes")
    with pytest.raises(RuntimeError, match="Only one of `TORCH_FORCE_WEIGHTS_ONLY_LOAD`"):
        loaded(data)
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    with pytest.warns(UserWarning, match="forcing weights_only=False"):
        assert loaded(data).content == 1
    with pytest.raises(pickle.UnpicklingError):
        loaded(data, weights_only=True)


def test_arguments_of_the_unpickler():
    pickled = b"\x80\x02U\x02\xe9a."  # a string of Python 2
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
    assert loaded(buffer.getvalue(), weights_only=False, encoding="latin1") == "éa"
    assert loaded(buffer.getvalue(), weights_only=False, encoding="bytes") == b"\xe9a"
    with pytest.raises(UnicodeDecodeError):
        loaded(buffer.getvalue(), weights_only=False)
    with pytest.warns(UserWarning, match="pickle_load_args only works if `weights_only=False`"):
        assert loaded(buffer.getvalue(), encoding="latin1") == "éa"


def test_map_location_function():
    seen = []

    def place(storage, location):
        seen.append((type(storage), storage.nbytes(), location))
        return storage

    back = loaded(saved({"a": torch.ones(2), "b": torch.zeros(3, dtype=torch.int64)}), map_location=place)
    assert back["a"].tolist() == [1, 1]
    assert seen == [(torch.storage.UntypedStorage, 8, "cpu"), (torch.storage.UntypedStorage, 24, "cpu")]


def test_packages():
    before = list(torch._serialization.storages.registry)
    try:
        torch.serialization.register_package(
            5, lambda storage: "attic", lambda storage, location: storage if location == "attic" else None
        )
        data = saved(torch.ones(2))
        assert b"attic" in data
        assert loaded(data).tolist() == [1, 1]
    finally:
        torch._serialization.storages.registry[:] = before
    with pytest.raises(RuntimeError, match=r"don't know how to restore data location of torch.storage.UntypedStorage"):
        loaded(data)


def test_skip_data():
    with torch.serialization.skip_data():
        data = saved({"a": torch.ones(3)})
        assert loaded(data)["a"].size() == (3,)
    assert loaded(data)["a"].tolist() == [0, 0, 0]


def test_damaged_file_changes_nothing():
    with pytest.raises(RuntimeError):
        loaded(saved({"a": torch.ones(3)})[:200], map_location="cpu")
    assert config.local.map_location is None


def test_tar_files(tmp_path):
    import struct
    import tarfile

    parts = {
        "storages": pickle.dumps(1, 2) + _named(pickle.dumps((5, "cpu", "?"), 2), "FloatStorage")
        + struct.pack("<q4f", 4, 0, 1, 2, 3) + pickle.dumps([], 2),
        "tensors": pickle.dumps(1, 2) + _named(pickle.dumps((7, 5, "?"), 2), "FloatStorage")
        + struct.pack("<i4x5q", 2, 2, 2, 2, 1, 0),
        "pickle": b"\x80\x02X\x01\x00\x00\x007Q.",
    }  # fmt: skip
    path = tmp_path / "old.pt"
    with tarfile.open(path, "w") as tar:
        for name, content in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    assert torch.load(path, weights_only=False).tolist() == [[0, 1], [2, 3]]
    with pytest.raises(RuntimeError, match="Cannot use ``weights_only=True`` with files"):
        torch.load(path)


def _named(pickled: bytes, name: str) -> bytes:
    """A pickle in which a name of torch takes the place of the text ``?``."""
    mark = b"X\x01\x00\x00\x00?"
    assert pickled.count(mark) == 1
    return pickled.replace(mark, f"ctorch\n{name}\n".encode())


# Copies and plain pickles


def test_plain_pickle():
    base = torch.arange(4.0, requires_grad=True)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        back = pickle.loads(pickle.dumps({"a": base, "p": torch.nn.Parameter(torch.ones(2))}, protocol))
        assert back["a"].tolist() == [0, 1, 2, 3] and back["a"].requires_grad
        assert type(back["p"]) is torch.nn.Parameter
    unusual = torch.tensor([1, 2]).to(torch.uint16)
    assert pickle.loads(pickle.dumps(unusual)).tolist() == [1, 2]


def test_deepcopy():
    base = torch.arange(4.0)
    base.note = ["kept"]
    copies = copy.deepcopy({"base": base, "view": base[1:3], "again": base})
    assert copies["again"] is copies["base"] and copies["base"].note == ["kept"]
    assert copies["base"].note is not base.note
    copies["base"][1] = 9
    assert copies["view"].tolist() == [9, 2] and base.tolist() == [0, 1, 2, 3]


def test_deepcopy_keeps_gradients():
    leaf = torch.ones(2, requires_grad=True)
    (leaf * 3).sum().backward()
    copied = copy.deepcopy(leaf)
    assert copied.requires_grad and copied.grad.tolist() == [3, 3]
    copied.grad.zero_()
    assert leaf.grad.tolist() == [3, 3]
    with pytest.raises(RuntimeError, match="Only Tensors created explicitly by the user"):
        copy.deepcopy(leaf * 2)


# Storages


def test_untyped_storage():
    tensor = torch.arange(3, dtype=torch.int16)
    storage = tensor.untyped_storage()
    assert storage is tensor.untyped_storage() and storage.tolist() == [0, 0, 1, 0, 2, 0]
    storage[0] = 5
    assert tensor.tolist() == [5, 1, 2]
    tensor[1] = 6
    assert storage[2] == 6
    assert storage.clone().tolist() == storage.tolist() and storage.clone() != storage
    part = torch.UntypedStorage([1, 2, 3, 4])[1:3]
    part[0] = 9
    assert part.tolist() == [9, 3]


def test_slices_of_storages_share_memory():
    tensor = torch.arange(4, dtype=torch.uint8)
    part = tensor.untyped_storage()[1:3]
    part[0] = 9
    assert tensor.tolist() == [0, 9, 2, 3]
    tensor[2] = 7
    assert part.tolist() == [9, 7]


def test_storages_with_tensors_do_not_grow():
    tensor = torch.ones(2)
    storage = tensor.untyped_storage()
    with pytest.raises(RuntimeError, match="Trying to resize storage that is not resizable"):
        storage.resize_(100)
    storage.resize_(0)
    assert storage.nbytes() == tensor.untyped_storage().nbytes() == 0
    storage.resize_(8)
    assert tensor.tolist() == [1, 1]
    free = torch.UntypedStorage([1, 2])
    free.resize_(3)
    assert free.tolist()[:2] == [1, 2]


def test_typed_storage():
    tensor = torch.arange(3.0)
    with pytest.warns(UserWarning, match="TypedStorage is deprecated") if not _warned() else _no_warning():
        storage = tensor.storage()
    assert isinstance(storage, torch.storage.FloatStorage) and not isinstance(storage, torch.storage.LongStorage)
    assert storage.tolist() == [0, 1, 2] and storage.size() == 3 and storage.nbytes() == 12
    storage[0] = 5
    assert tensor.tolist() == [5, 1, 2]
    assert storage.int().tolist() == [5, 1, 2] and storage.int().dtype is torch.int32
    assert round_trip(storage).tolist() == [5, 1, 2]
    assert pickle.loads(pickle.dumps(storage)).tolist() == [5, 1, 2]


def _warned():
    return torch._storage.typed._warned


def _no_warning():
    import contextlib

    return contextlib.nullcontext()


def test_files_as_storages(tmp_path):
    path = tmp_path / "numbers"
    shared = torch.UntypedStorage.from_file(str(path), True, 4)
    shared[1] = 5
    assert path.read_bytes() == b"\x00\x05\x00\x00" and shared.filename == str(path)
    private = torch.UntypedStorage.from_file(str(path), False, 4)
    private[0] = 9
    assert path.read_bytes() == b"\x00\x05\x00\x00" and private.filename is None
