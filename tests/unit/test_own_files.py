"""Every kind of file of our own under every damage that applies to it: refused by name, with what is wrong and what to do."""

import hashlib
import json
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from own_files import KINDS, PRINT, TENSORS, WIDTH, Kind, comparable, place_of, state
from pyarrow import parquet

from ich_seq import distrust, tensors
from ich_seq.errors import IchSeqError
from ich_seq.hdf5 import write_texts
from ich_seq.training.checkpoint import save_checkpoint

FLIPS = 20
WAY_OUT = re.compile(r"again|remove|another|make one")


@pytest.fixture(scope="session", params=KINDS)
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Kind, Path]:
    folder = tmp_path_factory.mktemp("sound")
    KINDS[request.param].write(folder)
    return KINDS[request.param], folder


@pytest.fixture
def copy(sound: tuple[Kind, Path], tmp_path: Path) -> tuple[Kind, Path]:
    shutil.copytree(sound[1], tmp_path / "copy")
    return sound[0], tmp_path / "copy"


def refused(kind: Kind, folder: Path, path: Path) -> str:
    """The one sentence that is said of the file, which names it and the way out."""
    with pytest.raises(kind.error) as caught:
        kind.read(folder)
    said = caught.value.message
    assert path.name in said
    assert "\n" not in said
    assert WAY_OUT.search(said), said
    return said


def answer_of(kind: Kind, folder: Path) -> object:
    """What is read, or the error that is raised."""
    try:
        return kind.read(folder)
    except IchSeqError as error:
        return error


class Payload:
    """What a pickle could do: make a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.marker,)  # type: ignore[return-value]


def test_a_sound_file_is_read(copy: tuple[Kind, Path]) -> None:
    assert comparable(copy[0].read(copy[1])) == comparable(copy[0].read(copy[1]))


def test_a_pickle_under_its_name_is_refused_and_not_run(copy: tuple[Kind, Path], tmp_path: Path) -> None:
    kind, folder = copy
    path = place_of(kind, folder)
    for content in (pickle.dumps(Payload(tmp_path / "ran")), b"PK\3\4" + pickle.dumps(Payload(tmp_path / "ran"), 2)):
        path.write_bytes(content)
        refused(kind, folder, path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"\xff" * 4096], ids=["empty", "zeros", "ones"])
def test_a_file_without_content_is_refused(copy: tuple[Kind, Path], content: bytes) -> None:
    kind, folder = copy
    path = place_of(kind, folder)
    path.write_bytes(content)
    refused(kind, folder, path)


def test_a_file_cut_short_anywhere_is_refused(copy: tuple[Kind, Path]) -> None:
    kind, folder = copy
    path = place_of(kind, folder)
    whole = path.read_bytes()
    for share in (0.02, 0.3, 0.5, 0.9, 0.999):
        path.write_bytes(whole[: int(share * len(whole)) - 1])
        refused(kind, folder, path)


def test_a_link_a_folder_or_a_pipe_in_its_place_is_not_followed(copy: tuple[Kind, Path], tmp_path: Path) -> None:
    kind, folder = copy
    path = place_of(kind, folder)
    path.rename(tmp_path / "elsewhere")
    for make in (lambda: path.symlink_to(tmp_path / "elsewhere"), path.mkdir, lambda: os.mkfifo(path)):
        make()
        if "*" in kind.path:  # parts of tiles are looked for, and a link is none
            with pytest.raises(kind.error):
                kind.read(folder)
        else:
            refused(kind, folder, path)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_a_flipped_bit_that_changes_what_is_read_is_refused(copy: tuple[Kind, Path]) -> None:
    """Fifty places from a seed; a bit that belongs to nothing, such as padding, may pass if what is read is the same."""
    kind, folder = copy
    path = place_of(kind, folder)
    whole, wanted = path.read_bytes(), comparable(kind.read(folder))
    generator, caught = np.random.default_rng(7), 0
    for place in generator.choice(8 * len(whole), FLIPS, replace=False).tolist():
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        found = answer_of(kind, folder)
        if isinstance(found, IchSeqError):
            names = (path.name, path.parent.name, folder.name)
            assert (isinstance(found, kind.error), any(name in found.message for name in names)) == (True, True), found
            caught += 1
        else:
            assert comparable(found) == wanted, f"bit {place} of {path.name} changed what is read"
    assert caught > FLIPS / 5


JSON = [name for name, kind in KINDS.items() if kind.path.endswith(".json")]


def resealed(content: dict[str, Any]) -> str:
    """As a hostile author would seal it."""
    for name in ("model_json_sha256", "sha256"):
        if name in content:
            return json.dumps(distrust.sealed(content, name))
    raise AssertionError("no seal")


JSON_DAMAGE: dict[str, Callable[[str], str]] = {
    "nested": lambda text: "[" * 100_000,
    "nested objects": lambda text: '{"a":' * 100_000,
    "key twice": lambda text: text.rstrip()[:-1] + "," + text.strip()[1:],
    "huge number": lambda text: '{"format": ' + "9" * 10_000 + "}",
    "NaN": lambda text: text.replace("{", '{"x": NaN,', 1),
    "list": lambda text: "[1]",
    "not UTF-8": lambda text: "\udcff" + text,
    "unknown key": lambda text: resealed(json.loads(text) | {"surprise": 1}),
}


@pytest.mark.parametrize("damage", JSON_DAMAGE)
@pytest.mark.parametrize("name", JSON)
def test_json_that_is_not_ours_is_refused(name: str, damage: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    kind.write(tmp_path)
    path = place_of(kind, tmp_path)
    path.write_text(JSON_DAMAGE[damage](path.read_text()), encoding="utf-8", errors="surrogateescape")
    refused(kind, tmp_path, path)


@pytest.mark.parametrize("name", JSON)
def test_json_larger_than_any_is_not_even_read(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    kind.write(tmp_path)
    os.truncate(place_of(kind, tmp_path), 70_000_000)
    assert "larger than any of its kind" in refused(kind, tmp_path, place_of(kind, tmp_path))


@pytest.mark.parametrize("identity", ["../" + "0" * 61, "/etc/passwd", "0" * 63 + "\0", "A" * 64])
def test_a_path_in_an_index_or_a_ledger_is_refused(identity: str, tmp_path: Path) -> None:
    from ich_seq.embeddings.ledger import Done, Ledger, read_done

    kind = KINDS["index"]
    kind.write(tmp_path)
    content = json.loads((tmp_path / "index.json").read_text())
    content["parts"][0]["identity"] = identity
    (tmp_path / "index.json").write_text(resealed(content))
    refused(kind, tmp_path, tmp_path / "index.json")
    Ledger(tmp_path, "0-of-1").add("s", Done(identity, ()))
    assert read_done(tmp_path) == {}


@pytest.mark.parametrize("change", [{"first_row": 1}, {"rows": 4}, "twice"])
def test_an_index_whose_parts_are_not_one_array_is_refused(change: Any, tmp_path: Path) -> None:
    kind = KINDS["index"]
    kind.write(tmp_path)
    content = json.loads((tmp_path / "index.json").read_text())
    if change == "twice":
        content["parts"][1] |= {"identity": content["parts"][0]["identity"]}
    else:
        content["parts"][0] |= change
    (tmp_path / "index.json").write_text(resealed(content))
    refused(kind, tmp_path, tmp_path / "index.json")


HDF5 = ("part of the cache", "reduced", "part of the tiles")
COLUMN = {"part of the cache": "logits", "reduced": "logits-00000", "part of the tiles": "slice_index"}
TEXTS = {
    "part of the cache": "sop_instance_uid",
    "reduced": "sop_instance_uid-00000",
    "part of the tiles": "sop_instance_uid",
}
Damage = Callable[[h5py.File, str, Path], object]


def replaced(make: Damage) -> Damage:
    def damage(file: h5py.File, name: str, elsewhere: Path) -> None:
        before = file[name][...]
        del file[name]
        file.attrs["kept"] = 0
        del file.attrs["kept"]
        elsewhere.write_bytes(before.tobytes())
        make(file, name, elsewhere)

    return damage


def virtual(file: h5py.File, name: str, elsewhere: Path) -> None:
    layout = h5py.VirtualLayout((5, 6), np.float32)
    layout[:] = h5py.VirtualSource(str(elsewhere), "logits", (5, 6))
    file.create_virtual_dataset(name, layout)


HDF5_DAMAGE: dict[str, tuple[Damage, str]] = {
    "soft link": (replaced(lambda file, name, _: file.__setitem__(name, h5py.SoftLink("/reduced"))), "link"),
    "external link": (
        replaced(lambda file, name, other: file.__setitem__(name, h5py.ExternalLink(str(other), "x"))),
        "link",
    ),
    "external storage": (
        replaced(
            lambda file, name, other: file.create_dataset(name, (5, 6), np.float32, external=[(str(other), 0, 120)])
        ),
        "not stored in this file",
    ),
    "virtual": (replaced(virtual), "not stored in this file"),
    "group": (replaced(lambda file, name, _: file.create_group(name)), "not stored in this file"),
    "absent": (replaced(lambda file, name, _: None), "absent|lacks"),
    "texts": (
        replaced(lambda file, name, _: file.create_dataset(name, data=["a"] * 6, dtype=h5py.string_dtype())),
        "not",
    ),
    "lists": (replaced(lambda file, name, _: file.create_dataset(name, (6,), h5py.vlen_dtype(np.float32))), "not"),
    "references": (replaced(lambda file, name, _: file.create_dataset(name, (6,), h5py.ref_dtype)), "not"),
    "type": (replaced(lambda file, name, _: file.create_dataset(name, data=np.zeros((6, 6)))), "not float32|not int64"),
    "shape": (replaced(lambda file, name, _: file.create_dataset(name, data=blank(name, (2, 3, 4)))), "has shape"),
    "10^12 elements": (
        replaced(lambda file, name, _: file.create_dataset(name, huge(name), blank(name).dtype, chunks=True)),
        "declares|has shape",
    ),
    "unknown member": (lambda file, name, _: file.create_dataset("surprise", data=[1]), "unknown data sets"),
    "unknown attribute": (lambda file, name, _: file.attrs.__setitem__("surprise", 1), "unknown attributes"),
    "digest of numbers": (
        lambda file, _, __: file.attrs.__setitem__(digest_in(file), np.zeros(9)),
        "no text|does not fit",
    ),
    "digest of variable length": (
        lambda file, _, __: file.attrs.__setitem__(digest_in(file), "0" * 64),
        "no text of one",
    ),
    "no digest": (lambda file, _, __: file.attrs.__delitem__(digest_in(file)), "lacks"),
    "changed value": (lambda file, name, _: file[name].write_direct(file[name][...] + 1), "does not fit|not those"),
}


def digest_in(file: h5py.File) -> str:
    return next(name for name in file.attrs if name in ("sha256", "sha256-00000"))


def blank(name: str, shape: tuple[int, ...] = ()) -> np.ndarray:
    return np.zeros(shape, np.int64 if name == "slice_index" else np.float32)


def huge(name: str) -> tuple[int, ...]:
    return (10**12,) if name == "slice_index" else (10**12 // 6, 6)


@pytest.mark.parametrize("damage", HDF5_DAMAGE)
@pytest.mark.parametrize("name", HDF5)
def test_hdf5_that_lies_is_refused(name: str, damage: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    kind.write(tmp_path)
    path, (change, said) = place_of(kind, tmp_path), HDF5_DAMAGE[damage]
    with h5py.File(path, "a", libver="latest") as file:
        change(file, COLUMN[name], tmp_path / "elsewhere")
    assert re.search(said, refused(kind, tmp_path, path))


@pytest.mark.parametrize("slices", [7, None], ids=["wrong count", "variable length"])
@pytest.mark.parametrize("name", HDF5)
def test_texts_of_another_count_or_of_variable_length_are_refused(
    name: str, slices: int | None, tmp_path: Path
) -> None:
    kind = KINDS[name]
    kind.write(tmp_path)
    path = place_of(kind, tmp_path)
    with h5py.File(path, "a", libver="latest") as file:
        texts = file[TEXTS[name]].asstr()[:].tolist()
        del file[TEXTS[name]]
        if slices is None:
            file.create_dataset(TEXTS[name], data=texts, dtype=h5py.string_dtype())
        else:
            write_texts(file, TEXTS[name], texts[:1] * slices)
    assert re.search("shape|one length", refused(kind, tmp_path, path))


@pytest.mark.parametrize("damage", ["gzip that inflates", "never written"])
def test_a_tile_that_inflates_or_was_never_written_is_refused(damage: str, tmp_path: Path) -> None:
    """The first: a chunk of 64 MB of zeros in 65 kB, where a tile has 768 bytes."""
    import zlib

    kind = KINDS["part of the tiles"]
    kind.write(tmp_path)
    path = place_of(kind, tmp_path)
    with h5py.File(path, "a", libver="latest") as file:
        if damage == "never written":
            shape, chunks = file["tiles"].shape, file["tiles"].chunks
            del file["tiles"]
            file.create_dataset("tiles", shape, np.uint8, chunks=chunks, compression="gzip", fletcher32=True)
        else:
            file["tiles"].id.write_direct_chunk((0, 0, 0, 0), zlib.compress(bytes(64_000_000)))
    said = refused(kind, tmp_path, path)
    assert ("would inflate" in said) == (damage == "gzip that inflates")


def header(entries: str, numbers: bytes = b"") -> bytes:
    text = entries.encode()
    return len(text).to_bytes(8, "little") + text + numbers


def described(dtype: str = '"F32"', shape: str = "[1]", offsets: str = "[0, 4]", name: str = "cnn.w") -> str:
    return f'"{name}": {{"dtype": {dtype}, "shape": {shape}, "data_offsets": {offsets}}}'


SAFETENSORS = ("weights of a run", "PCA", "bundle's weights")
HEADERS = {
    "a header of 1 GB": (1 << 30).to_bytes(8, "little") + b"{}",
    "a header of 2^63": (1 << 63).to_bytes(8, "little") + b"{}",
    "nested": header('{"a":' * 100_000),
    "key twice": header(f"{{{described()}, {described()}}}", bytes(4)),
    "unknown type": header(f"{{{described(dtype=json.dumps('OBJECT'))}}}", bytes(4)),
    "type of a list": header(f"{{{described(dtype='[1]')}}}", bytes(4)),
    "10^12 elements": header(f"{{{described(shape='[1000000000000]')}}}", bytes(4)),
    "shape of texts": header(f"{{{described(shape=json.dumps(['1']))}}}", bytes(4)),
    "negative": header(f"{{{described(shape='[-1]', offsets='[4, 0]')}}}", bytes(4)),
    "many axes": header(f"{{{described(shape=json.dumps([1] * 1000))}}}", bytes(4)),
    "overlap": header(f"{{{described()}, {described(name='cnn.v')}}}", bytes(4)),
    "hole": header(f"{{{described(offsets='[4, 8]')}}}", bytes(8)),
    "more than it says": header(f"{{{described()}}}", bytes(99)),
    "unknown field": header('{"cnn.w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], "x": 1}}', bytes(4)),
    "no seal": header(f"{{{described()}}}", bytes(4)),
}


@pytest.mark.parametrize("damage", HEADERS)
@pytest.mark.parametrize("name", SAFETENSORS)
def test_a_safetensors_header_that_lies_is_refused(name: str, damage: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    kind.write(tmp_path)
    path = place_of(kind, tmp_path)
    path.write_bytes(HEADERS[damage])
    if name == "bundle's weights":
        reseal_bundle(tmp_path)
        if damage == "no seal":  # the bundle's description has its digest
            kind.read(tmp_path)
            return
    refused(kind, tmp_path, path)


def reseal_bundle(folder: Path) -> None:
    """States the digest of whatever the weights are now, as the author of a hostile model would."""
    content = json.loads((folder / "model.json").read_text())
    content["weights_sha256"] = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    (folder / "model.json").write_text(resealed(content))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", SAFETENSORS)
def test_weights_that_are_not_finite_are_refused_by_name(name: str, value: float, tmp_path: Path) -> None:
    kind = KINDS[name]
    kind.write(tmp_path)
    path = place_of(kind, tmp_path)
    given = tensors.read_tensors(path)
    given["pca.mean" if "pca.mean" in given else "mean"][1] = value
    path.write_bytes(tensors.save_tensors(given))
    if name == "bundle's weights":
        reseal_bundle(tmp_path)
    assert "mean holds NaN or infinity" in refused(kind, tmp_path, path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"mean": np.zeros(WIDTH, np.float32)},
        {"mean": np.zeros(7), "components": np.zeros((3, 7)), "explained_variance": np.zeros(3)},
        {
            name: np.zeros(shape)
            for name, shape in (("mean", WIDTH), ("components", (3, WIDTH)), ("explained_variance", 3))
        },
    ],
    ids=["missing", "other width", "float64"],
)
def test_a_pca_of_other_arrays_is_refused(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    kind = KINDS["PCA"]
    kind.write(tmp_path)
    path = place_of(kind, tmp_path)
    path.write_bytes(tensors.save_tensors(arrays))
    refused(kind, tmp_path, path)


def with_digest(content: bytes) -> bytes:
    """A zip as `save_checkpoint` ends it, whatever is in it."""
    start = content[:-2]
    return start + (64).to_bytes(2, "little") + hashlib.sha256(start).hexdigest().encode()


@pytest.mark.parametrize("damage", ["payload", "compressed", "member twice", "NaN", "no network", "another format"])
def test_a_checkpoint_of_a_hostile_author_is_refused_and_not_run(damage: str, tmp_path: Path) -> None:
    kind, path = KINDS["checkpoint"], tmp_path / "last.pt"
    kind.write(tmp_path)
    if damage == "payload":
        torch.save(Payload(tmp_path / "ran"), path)
        path.write_bytes(with_digest(path.read_bytes()))
    elif damage in ("compressed", "member twice"):
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "new", "w", zipfile.ZIP_DEFLATED) as new:
            for member in old.infolist():
                kept = zipfile.ZIP_STORED if damage == "member twice" else None
                new.writestr(member.filename, old.read(member), kept)
            if damage == "member twice":
                with pytest.warns(UserWarning, match="Duplicate name"):
                    new.writestr(old.infolist()[0].filename, b"", zipfile.ZIP_STORED)
        path.write_bytes(with_digest((tmp_path / "new").read_bytes()))
    elif damage == "another format":
        torch.save(state() | {"format": 1}, path)
        path.write_bytes(with_digest(path.read_bytes()))
    else:
        bad = {"w": torch.from_numpy(TENSORS["cnn.w"]) * float("nan")} if damage == "NaN" else "x"
        save_checkpoint(path, state() | {"network": bad})
    refused(kind, tmp_path, path)
    assert not (tmp_path / "ran").exists()


def many_rows() -> pa.Table:
    return pa.table({"x": pa.array(np.zeros(21_000_000, np.uint8))})


def long_texts() -> pa.Table:
    """20,000 times a text of a megabyte, in a file of a few kilobytes: 20 GB."""
    return pa.table({"path": pa.DictionaryArray.from_arrays(np.zeros(20_000, np.int32), ["x" * 1_000_000])})


PARQUET = {
    "many rows": (many_rows, "declares 21,000,000 rows"),
    "long texts": (long_texts, "inflates"),
    "lists": (lambda: pa.table({"path": [[1]]}), "neither numbers nor texts"),
    "bytes": (lambda: pa.table({"path": [b"x"]}), "neither numbers nor texts"),
    "many columns": (lambda: pa.table({f"c{place}": [1] for place in range(300)}), "300 columns"),
    "column twice": (lambda: pa.table([[1], [2]], names=["x", "x"]), "stands twice"),
}


@pytest.mark.parametrize("damage", PARQUET)
def test_parquet_that_inflates_or_holds_other_things_is_refused(damage: str, tmp_path: Path) -> None:
    make, said = PARQUET[damage]
    parquet.write_table(make(), tmp_path / "table.parquet", compression="zstd")
    assert (tmp_path / "table.parquet").stat().st_size < 200_000
    assert said in refused(KINDS["table"], tmp_path, tmp_path / "table.parquet")


def test_a_table_that_pandas_wrote_is_read_and_one_of_ours_that_was_changed_is_not(tmp_path: Path) -> None:
    kind, path = KINDS["table"], tmp_path / "table.parquet"
    kind.write(tmp_path)
    whole = parquet.read_table(path)
    changed = pd.read_parquet(path).assign(split="test")
    changed.to_parquet(path)
    assert comparable(kind.read(tmp_path)) == comparable(changed)
    parquet.write_table(pa.Table.from_pandas(changed).replace_schema_metadata(whole.schema.metadata), path)
    assert "changed since it was written" in refused(kind, tmp_path, path)


def test_lines_of_a_ledger_that_were_changed_are_not_believed(tmp_path: Path) -> None:
    """Of every flipped bit: what is left of the ledger is a part of what it said, never something else."""
    from ich_seq.embeddings.ledger import Done, Ledger, read_done

    ledger = Ledger(tmp_path, "0-of-1")
    for number in range(5):
        ledger.add(f"{number:064x}", Done("", ("a reason",)))
    whole, known = ledger.path.read_bytes(), read_done(tmp_path)
    generator = np.random.default_rng(3)
    for place in generator.choice(8 * len(whole), 200, replace=False).tolist():
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        ledger.path.write_bytes(content)
        assert read_done(tmp_path).items() <= known.items()
        assert PRINT not in read_done(tmp_path)
