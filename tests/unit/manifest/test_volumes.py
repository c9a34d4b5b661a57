"""Small faithful copies of CT-ICH, BHSD, CQ500 and of someone's own data: what is read, what is refused, traps included."""

import hashlib
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from dicom_factory import make_series

from ich_seq.config import SplitConfig
from ich_seq.dicom import read_slice_hu, read_study_files
from ich_seq.errors import DatasetError, PixelsUnreadableError
from ich_seq.labels import LABEL_NAMES, SUBTYPE_NAMES
from ich_seq.manifest.index import IndexChoices, index_dataset, split_record
from ich_seq.manifest.own import read_own_labels
from ich_seq.manifest.table import COLUMNS, OPTIONAL_COLUMNS, PER_SCAN, PER_SLICE, slice_places, write_table
from ich_seq.nifti import NiftiScan, read_stored_slice
from ich_seq.volume import WHOLE_FILE, Volume

SPLIT = SplitConfig(stage_one=0.5, stage_two=0.0, validation=0.25, test=0.25)
CT_ICH_COLUMNS = (
    "PatientNumber,SliceNumber,Intraventricular,Intraparenchymal,Subarachnoid,Epidural,Subdural,No_Hemorrhage,"
    "Fracture_Yes_No"
)


def scan_array(slices: int, seed: int = 0, shape: tuple[int, int] = (12, 10)) -> np.ndarray:
    """HU that differ at every voxel: x, y, slice."""
    rng = np.random.default_rng(seed)
    return rng.integers(-1000, 1500, (*shape, slices)).astype(np.int16)


def save(path: Path, array: np.ndarray, diagonal: tuple[float, float, float] = (-0.5, -0.5, 5.0)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([*diagonal, 1.0])), path)
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("signs", [(-1, -1, 1), (1, 1, 1), (-1, 1, -1), (1, -1, -1)])
def test_slices_run_feet_to_head_with_left_on_the_right_whatever_the_affine(tmp_path: Path, signs, ending: str):
    """One voxel at a known place of the patient: the most right, most anterior, lowest one."""
    array = np.zeros((12, 10, 4), np.int16)
    corner = [11 if signs[0] > 0 else 0, 9 if signs[1] > 0 else 0, 0 if signs[2] > 0 else 3]
    array[tuple(corner)] = 70
    scan = NiftiScan(save(tmp_path / f"a{ending}", array, (0.5 * signs[0], 0.7 * signs[1], 5.0 * signs[2])))
    assert scan[0].shape == (10, 12)
    assert scan[0][0, 0] == 70, "right is on the left of the picture, front at the top, feet first"
    assert np.count_nonzero(scan[0]) == 1
    assert np.diff(scan.positions_mm) == pytest.approx([5, 5, 5])
    assert scan.pixel_spacing_mm == pytest.approx((0.7, 0.5))


def test_axes_in_another_order_are_put_right(tmp_path: Path):
    """Stored as (slice, row, column): the affine says so."""
    array = scan_array(4)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = 5.0, -0.5, -0.5, 1.0
    nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0), affine), tmp_path / "a.nii")
    plain = NiftiScan(save(tmp_path / "b.nii", array))
    turned = NiftiScan(tmp_path / "a.nii")
    assert all(np.array_equal(plain[k], turned[k]) for k in range(4))


@pytest.mark.parametrize(
    ("array", "singular", "match"),
    [
        (np.zeros((4, 4), np.int16), False, "not one volume"),
        (np.zeros((4, 4, 3, 2), np.int16), False, "not one volume"),
        (np.zeros((4, 4, 3), np.int16), True, "singular"),
        (np.full((4, 4, 3), np.nan, np.float32), False, "no finite numbers"),
    ],
)
def test_a_volume_that_cannot_be_read_as_one_scan_is_refused(tmp_path: Path, array, singular: bool, match: str):
    path = save(tmp_path / "a.nii", array)
    if singular:
        content = bytearray(path.read_bytes())
        content[280:328] = bytes(48)  # the affine's three rows
        path.write_bytes(content)
    with pytest.raises(PixelsUnreadableError, match=match):
        NiftiScan(path)[0]


@pytest.mark.parametrize("content", [b"", b"not NIfTI", b"\x1f\x8b" + b"\0" * 40])
def test_a_file_that_is_no_nifti_is_refused_by_name(tmp_path: Path, content: bytes):
    (tmp_path / "bad.nii.gz").write_bytes(content)
    with pytest.raises(PixelsUnreadableError, match=r"bad\.nii\.gz: "):
        NiftiScan(tmp_path / "bad.nii.gz")


def ct_ich(root: Path, patients: tuple[int, ...] = (49, 50, 51, 66)) -> list[str]:
    """Volumes of three slices; patient n bleeds (subdural) in its last slice when n is odd."""
    rows = []
    for number in patients:
        save(root / "ct_scans" / f"{number:03d}.nii", scan_array(3, number))
        for k in range(1, 4):
            bleeds = number % 2 == 1 and k == 3
            rows.append(f"{number},{k},0,0,0,0,{int(bleeds)},{int(not bleeds)},0")
    return rows


def write_ct_ich(root: Path, rows: list[str]) -> None:
    (root / "hemorrhage_diagnosis_raw_ct.csv").write_text("\n".join([CT_ICH_COLUMNS, *rows]) + "\n")


def test_ct_ich_is_read_with_its_own_columns_and_its_inverted_any(tmp_path: Path):
    write_ct_ich(tmp_path, [*ct_ich(tmp_path), "130,1,0,0,0,0,0,1,0"])
    table, notes = index_dataset("ct_ich", tmp_path, SPLIT)
    assert {name: str(kind) for name, kind in table.dtypes.items()} == COLUMNS | OPTIONAL_COLUMNS
    assert len(table) == 12
    assert set(table["labelled"]) == {PER_SLICE}
    positive = table[table["any"] == 1]
    assert positive["patient_id"].tolist() == ["049", "051"]
    assert positive["slice_index"].tolist() == [2, 2]
    assert positive["subdural"].tolist() == [1, 1]
    assert positive[["epidural", "intraventricular"]].to_numpy().sum() == 0
    assert any("130" in note and "no volume" in note for note in notes)
    hu = read_stored_slice(*slice_places(positive, tmp_path)[0])
    np.testing.assert_array_equal(hu, scan_array(3, 49)[:, :, 2].T)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda rows: rows[:-1], "E-LABEL-INCOMPLETE"),
        (lambda rows: [*rows, rows[0]], None),
        (lambda rows: [*rows, rows[0].replace(",1,0", ",1,1").replace("0,1,1", "1,0,1")], "E-LABEL-CONFLICT"),
        (lambda rows: [rows[0].replace("1,0,0,0,0,0,1,0", "1,0,0,0,0,0,0,0"), *rows[1:]], "E-LABEL-INCONSISTENT"),
        (lambda rows: [rows[0].replace("49,1,0", "49,1,2"), *rows[1:]], "E-LABEL-INCOMPLETE"),
    ],
)
def test_faulty_labels_of_ct_ich_are_refused_and_exact_copies_noted(tmp_path: Path, change, code: str | None):
    write_ct_ich(tmp_path, change(ct_ich(tmp_path)))
    if code is None:
        assert any("repeat an earlier one" in note for note in index_dataset("ct_ich", tmp_path, SPLIT)[1])
        return
    with pytest.raises(DatasetError) as refusal:
        index_dataset("ct_ich", tmp_path, SPLIT)
    assert refusal.value.code == code


def bhsd(root: Path) -> None:
    """Four volumes of RSNA's patients; the mask of volume n has value n in slice 1."""
    for number in range(1, 5):
        name = f"ID_0000000{number}_ID_aaaaaaaa{number}.nii.gz"
        save(root / "images" / name, scan_array(3, number))
        mask = np.zeros((12, 10, 3), np.uint8)
        mask[2, 3, 1] = number
        save(root / "ground truths" / name, mask)


def test_bhsd_takes_its_labels_from_masks_and_its_patients_from_names(tmp_path: Path):
    bhsd(tmp_path)
    table, notes = index_dataset("bhsd", tmp_path, SPLIT)
    positive = table[table["any"] == 1]
    assert positive["patient_id"].tolist() == [f"ID_0000000{number}" for number in range(1, 5)]
    assert positive["study_instance_uid"].tolist() == [f"ID_aaaaaaaa{number}" for number in range(1, 5)]
    assert [next(name for name in SUBTYPE_NAMES if row[name]) for row in positive.to_dict("records")] == list(
        SUBTYPE_NAMES[:4]
    )
    assert not any("not named after" in note for note in notes)


@pytest.mark.parametrize("fault", ["value", "shape", "absent"])
def test_a_mask_that_does_not_fit_is_refused(tmp_path: Path, fault: str):
    bhsd(tmp_path)
    path = next(iter((tmp_path / "ground truths").iterdir()))
    path.unlink()
    if fault != "absent":
        save(path, np.full((12, 10, 3 if fault == "value" else 4), 6, np.uint8))
    with pytest.raises(
        DatasetError, match={"value": "values other than", "shape": "shape", "absent": "no mask"}[fault]
    ):
        index_dataset("bhsd", tmp_path, SPLIT)


def cq500(root: Path) -> None:
    """Four scans: thick soft-tissue and thin bone series each; scan 2's readers disagree."""
    for number in range(4):
        folder = root / f"CQ500CT{number} CQ500CT{number}" / "Unknown Study"
        make_series(folder / "CT 5mm", slices=20, uid_seed=f"s{number}")

        def bone(dataset, index, number=number):
            dataset.SeriesInstanceUID = f"1.2.{number}"
            dataset.SOPInstanceUID = f"1.2.{number}.{index + 1}"
            dataset.ConvolutionKernel = "BONE"

        make_series(folder / "CT BONE", slices=20, edit=bone, uid_seed=f"s{number}")
    columns = ["ICH", "IPH", "IVH", "SDH", "EDH", "SAH"]
    votes = {0: ["000000", "000000", "100100"], 1: ["110000", "110000", "000000"], 2: ["110000", "100100", "000000"]}
    header = "name,Category," + ",".join(f"R{r}:{c}" for r in (1, 2, 3) for c in columns)
    rows = [
        f"CQ500-CT-{number},B1," + ",".join(bit for reader in votes.get(number, ["0" * 6] * 3) for bit in reader)
        for number in range(5)
    ]
    (root / "reads.csv").write_text("\n".join([header, *rows]) + "\n")


def test_cq500_takes_two_of_three_readers_and_one_series_of_each_scan(tmp_path: Path):
    cq500(tmp_path)
    table, notes = index_dataset("cq500", tmp_path, SPLIT, IndexChoices(jobs=1))
    assert set(table["labelled"]) == {PER_SCAN}
    assert table.groupby("patient_id")["series_instance_uid"].nunique().to_dict() == {
        f"CQ500-CT-{number}": 1 for number in range(4)
    }
    assert not table["path"].str.contains("BONE").any()
    assert all((tmp_path / path).is_file() for path in table["path"])
    scans = table.drop_duplicates("patient_id").set_index("patient_id")[list(LABEL_NAMES)]
    assert scans.loc["CQ500-CT-0"].sum() == 0
    assert scans.loc["CQ500-CT-1"].to_dict() == dict.fromkeys(LABEL_NAMES, 0) | {"intraparenchymal": 1, "any": 1}
    assert scans.loc["CQ500-CT-2"].to_dict() == dict.fromkeys(LABEL_NAMES, 0) | {"any": 1}
    assert any("ICH by majority and no subtype" in note and "CQ500-CT-2" in note for note in notes)
    assert any("labels have no scan: 4" in note for note in notes)


def own(root: Path, key: str) -> list[str]:
    """Two DICOM series and a NIfTI volume; the CSV's rows for a key."""
    rows = []
    for number in (1, 2):
        paths = make_series(root / f"patient {number}", slices=4, uid_seed=f"o{number}", edit=_patient(number))
        if key == "path":
            rows += [f"{path.relative_to(root).as_posix()},0,{number - 1},0,0,0" for path in paths]
    save(root / "volume.nii.gz", scan_array(4))
    if key == "path":
        rows.append("volume.nii.gz,0,0,0,0,1")
    return rows


def _patient(number: int):
    def edit(dataset, index) -> None:
        dataset.PatientID = f"p{number}"

    return edit


def write_own(root: Path, key: str, rows: list[str], name: str = "labels.csv") -> Path:
    (root / name).write_text("\n".join([f"{key},{','.join(SUBTYPE_NAMES)}", *rows]) + "\n")
    return root / name


def test_own_data_is_labelled_by_path_and_a_volume_as_a_whole(tmp_path: Path):
    write_own(tmp_path, "path", own(tmp_path, "path"))
    (tmp_path / "notes.txt").write_text("not an image")
    table, notes = index_dataset("own", tmp_path, SPLIT, IndexChoices(jobs=1))
    assert len(table) == 12
    assert table.groupby("labelled").size().to_dict() == {PER_SLICE: 8, PER_SCAN: 4}
    names = {f"patient-{hashlib.sha256(name.encode()).hexdigest()[:16]}": name for name in ("p1", "p2", "volume")}
    by_patient = table.groupby("patient_id")["any"].sum().to_dict()
    assert {names[patient]: count for patient, count in by_patient.items()} == {"p1": 0, "p2": 4, "volume": 4}
    in_nifti = table[table["slice_index"] >= 0]
    named = f"nifti-{hashlib.sha256(b'volume.nii.gz').hexdigest()[:16]}"
    assert set(in_nifti["study_instance_uid"]) == set(in_nifti["series_instance_uid"]) == {named}
    assert sorted(in_nifti["sop_instance_uid"]) == [f"{named}#{place}" for place in range(4)]
    assert any("taken as the OR" in note for note in notes)


def test_own_labels_by_series_and_from_another_place(tmp_path: Path):
    own(tmp_path / "images", "series_instance_uid")
    uids = index_series(tmp_path / "images")
    csv = write_own(tmp_path, "series_instance_uid", [f"{uid},1,0,0,0,0" for uid in uids], "mine.csv")
    table, notes = index_dataset("own", tmp_path / "images", SPLIT, IndexChoices(labels=csv, jobs=1))
    assert set(table["labelled"]) == {PER_SCAN}
    assert sorted(set(table["series_instance_uid"])) == uids
    assert any("4 slices have no label" in note for note in notes)


def index_series(root: Path) -> list[str]:
    return sorted(study.chosen.series_instance_uid for study in read_study_files([root]).studies if study.chosen)


def test_training_reads_a_turned_slice_as_scoring_does(tmp_path: Path):
    """Stored with rows to the front and columns to the right: both are turned to the usual display."""

    def turned(dataset, index) -> None:
        dataset.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]

    paths = make_series(tmp_path / "s", slices=4, edit=turned)
    (study,) = read_study_files([tmp_path / "s"]).studies
    assert study.chosen is not None
    volume = Volume(study.chosen)
    by_name = {header.name: volume[index] for index, header in enumerate(study.chosen.headers)}
    for path in paths:
        np.testing.assert_array_equal(read_stored_slice(path, WHOLE_FILE), by_name[path.name])
        assert not np.array_equal(read_slice_hu(path), by_name[path.name])


@pytest.mark.parametrize(
    ("key", "rows", "match"),
    [
        ("name", [], "the first column is name"),
        ("path", ["absent.dcm,0,0,0,0,0"], "E-LABEL-WITHOUT-IMAGE: 1 labels"),
        ("path", ["volume.nii.gz,0,0,0,0,x"], "E-LABEL-INCOMPLETE"),
        ("path", ["volume.nii.gz,0,0,0,0,0", "volume.nii.gz,0,0,0,0,1"], "E-LABEL-CONFLICT"),
    ],
)
def test_faulty_labels_of_own_data_are_refused(tmp_path: Path, key: str, rows: list[str], match: str):
    own(tmp_path, key)
    write_own(tmp_path, key, rows)
    with pytest.raises(DatasetError, match=match):
        index_dataset("own", tmp_path, SPLIT, IndexChoices(jobs=1))


@pytest.mark.parametrize(("mark", "said"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_labels_with_another_separator_than_commas_are_refused_with_the_way_out(tmp_path: Path, mark: str, said: str):
    path = tmp_path / "labels.csv"
    path.write_text(mark.join(["path", *SUBTYPE_NAMES]) + "\n" + mark.join(["a.dcm", *"00000"]) + "\n")
    with pytest.raises(
        DatasetError, match=f"labels.csv: E-LABEL-INCOMPLETE: {said} separate its columns; save it with commas"
    ):
        read_own_labels(path)


def test_patients_of_another_table_can_be_left_out(tmp_path: Path):
    bhsd(tmp_path)
    table, _ = index_dataset("bhsd", tmp_path, SPLIT)
    write_table(table[table["patient_id"] <= "ID_00000002"].reset_index(drop=True), tmp_path / "other.parquet")
    rest, notes = index_dataset("bhsd", tmp_path, SPLIT, IndexChoices(exclude=(tmp_path / "other.parquet",)))
    assert sorted(set(rest["patient_id"])) == ["ID_00000003", "ID_00000004"]
    assert any("2 patients with 6 slices are left out" in note for note in notes)


def test_every_patient_is_held_out_in_one_fold_only(tmp_path: Path):
    bhsd(tmp_path)
    held_out = []
    for fold in range(4):
        split = SplitConfig(stage_one=0.5, stage_two=0.0, validation=0.25, test=0.25, folds=4, fold=fold)
        table, _ = index_dataset("bhsd", tmp_path, split)
        held_out += sorted(set(table.loc[table["split"] == "test", "patient_id"]))
        assert set(table["split"]) == {"stage_one", "validation", "test"}
        assert split_record(table, split)["rule"] == "folds by patient"
    assert sorted(held_out) == [f"ID_0000000{number}" for number in range(1, 5)]


def test_the_first_series_rule_says_that_it_leaks(tmp_path: Path):
    write_own(tmp_path, "path", own(tmp_path, "path"))
    split = SPLIT.model_copy(update={"first_series": 1})
    table, notes = index_dataset("own", tmp_path, split, IndexChoices(jobs=1))
    by_series = table.drop_duplicates("series_instance_uid").sort_values("series_instance_uid")["split"].tolist()
    assert by_series == ["stage_one", "validation", "test"]
    assert any(note.startswith("THE SPLIT LEAKS") for note in notes)
    assert pd.Series(by_series).nunique() == 3
