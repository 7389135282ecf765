"""Imagenette: what is unpacked of its archive, and what is not."""
import io
import tarfile

import pytest

from npnet import cli
from npnet.data import DataError, imagenette
from npnet.data.imagenette import SPLITS, WORDS

NAME = "imagenette2-160"


def archive(path, leave_out=(), **more):
    files = {f"{NAME}/{split}/{wnid}/{wnid}_1.JPEG": b"photo" for split in SPLITS for wnid in WORDS
             if (split, wnid) not in leave_out}
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {**files, **more}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_photos_are_unpacked_and_nothing_else(tmp_path):
    more = {f"{NAME}/noisy.csv": b"x", "../outside.JPEG": b"x", f"{NAME}/train/n99999999/a.JPEG": b"x",
            f"{NAME}/train/n01440764/../../../b.JPEG": b"x", "/train/n01440764/c.JPEG": b"x"}
    imagenette.unpack(archive(tmp_path / "a.tgz", **more), tmp_path, NAME, progress=False)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    photos = [f"{NAME}/{split}/{wnid}/{wnid}_1.JPEG" for split in SPLITS for wnid in WORDS]
    assert found == sorted(["a.tgz", f"{NAME}/words.txt", *photos])
    assert (tmp_path / NAME / "words.txt").read_text().splitlines()[0] == "n01440764 tench"
    assert imagenette.download("160", tmp_path) == tmp_path / NAME  # it is there: nothing is fetched


@pytest.mark.parametrize("cut", [10, 200])
def test_an_archive_that_is_broken_leaves_nothing(tmp_path, cut):
    broken = tmp_path / "a.tgz"
    broken.write_bytes(archive(tmp_path / "whole.tgz").read_bytes()[:cut])
    with pytest.raises(DataError, match=r"a.tgz: is broken \(.*remove it and run this again"):
        imagenette.unpack(broken, tmp_path, NAME, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tgz", "whole.tgz"]


def test_a_class_that_is_missing_is_said(tmp_path):
    lacking = archive(tmp_path / "a.tgz", leave_out={("val", "n03888257")})
    with pytest.raises(DataError, match="lacks photos of some class"):
        imagenette.unpack(lacking, tmp_path, NAME, progress=False)
    assert not (tmp_path / NAME).exists()


def test_another_folder_of_that_name_is_not_touched(tmp_path, capsys):
    (tmp_path / NAME / "train").mkdir(parents=True)
    assert cli.main(["download", "imagenette", "--to", str(tmp_path)]) == 2
    assert "is no Imagenette (train/n01440764 holds no photo): move it away" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == [NAME, "train"]


def test_the_command_says_what_comes_next(tmp_path, capsys):
    imagenette.unpack(archive(tmp_path / "a.tgz"), tmp_path, NAME, progress=False)
    assert cli.main(["download", "imagenette", "--to", str(tmp_path)]) == 0
    assert f"npnet data prepare {tmp_path / NAME} {tmp_path / NAME}-prepared --words" in capsys.readouterr().out


def test_versions_are_those_that_are_published():
    with pytest.raises(DataError, match="no version '64': it is one of 160, 320, full"):
        imagenette.download("64")
    assert {name for name, *_ in imagenette.VERSIONS.values()} == {NAME, "imagenette2-320", "imagenette2"}
