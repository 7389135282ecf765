import io
import os
import re
import tarfile

import numpy as np
import pytest

from npnet import data
from npnet.data import DataError, cifar10
from npnet.data import download as http

FILES = [name for files in cifar10.FILES.values() for name in files]
FULL = 30_730_000


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path, monkeypatch, request):
    if not request.node.name.startswith("test_real"):
        monkeypatch.delenv("NPNET_DATA", raising=False)
        monkeypatch.chdir(tmp_path)


@pytest.fixture
def short(monkeypatch):
    """Files of 20 records."""
    monkeypatch.setattr(cifar10, "RECORDS", 20)


def write(folder, files=FILES, seed=0):
    """A made-up set of 20 records a file. Returns the records, by file."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, made = np.random.default_rng(seed), {}
    for name in files:
        made[name] = rng.integers(0, 256, (20, 3073), dtype=np.uint8)
        made[name][:, 0] %= 10
        made[name].tofile(folder / name)
    return made


def zeros(file, size):
    """A file of zeros that takes no room."""
    with open(file, "wb") as f:
        f.truncate(size)


def test_a_record_is_a_label_and_three_planes_of_rows(tmp_path, short):
    made = write(tmp_path / "cifar-10-batches-bin")
    train, test = cifar10.load("train", tmp_path), cifar10.load("test", tmp_path / "cifar-10-batches-bin")
    assert (len(train), len(test), train.name, test.name) == (100, 20, "cifar10 train", "cifar10 test")
    record = made["data_batch_2.bin"][7]
    assert train.labels[27] == record[0]
    assert train.classes[0] == "airplane"
    for channel, row, column in ((0, 0, 0), (1, 2, 3), (2, 31, 30)):
        assert train.images[27, channel, row, column] == record[1 + channel * 1024 + row * 32 + column]


def test_the_first_images_of_a_folder_are_loaded_by_how_many(tmp_path, short):
    write(tmp_path)
    whole = cifar10.load("train", tmp_path)
    assert len(data.load(tmp_path, "train", 101)) == len(whole) == 100
    np.testing.assert_array_equal(data.load(tmp_path, "train", 21).images, whole.images[:21])


def test_class_names_come_from_the_meta_file_where_there_is_one(tmp_path, short):
    write(tmp_path)
    (tmp_path / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n\n")
    assert cifar10.load("test", tmp_path).classes == tuple("abcdefghij")


def test_folders_are_searched_in_their_order(tmp_path, short, monkeypatch):
    assert cifar10.find() is None
    write(tmp_path / "data" / "cifar-10-batches-bin")
    assert cifar10.find() == cifar10.Path("data/cifar-10-batches-bin")
    write(tmp_path / "elsewhere")
    monkeypatch.setenv("NPNET_DATA", str(tmp_path / "elsewhere"))
    assert cifar10.find() == tmp_path / "elsewhere"
    write(tmp_path / "given" / "cifar-10-batches-bin")
    assert cifar10.find(tmp_path / "given") == tmp_path / "given" / "cifar-10-batches-bin"
    monkeypatch.setenv("NPNET_DATA", str(tmp_path / "empty"))
    assert cifar10.find() == cifar10.Path("data/cifar-10-batches-bin")
    with pytest.raises(DataError, match=r"empty holds no CIFAR-10: looked for test_batch\.bin"):
        cifar10.find(tmp_path / "empty")


@pytest.mark.parametrize("size", [0, FULL - 1, FULL + 1])
def test_a_file_of_wrong_size_is_named_with_expected_and_found(tmp_path, size):
    zeros(tmp_path / "test_batch.bin", size)
    with pytest.raises(DataError, match=rf"test_batch\.bin has {size:,} bytes, expected 30,730,000"):
        cifar10.load("test", tmp_path)


def test_a_wrong_label_is_named_with_its_record(tmp_path):
    zeros(tmp_path / "test_batch.bin", FULL)
    with open(tmp_path / "test_batch.bin", "r+b") as f:
        f.seek(1234 * 3073)
        f.write(b"\x0a")
    with pytest.raises(DataError, match=r"test_batch\.bin is damaged: record 1234 has the label 10"):
        cifar10.load("test", tmp_path)


def test_a_missing_file_and_a_wrong_split_are_named(tmp_path, short):
    write(tmp_path, FILES[:3])
    with pytest.raises(DataError, match=r"data_batch_4\.bin is missing"):
        cifar10.load("train", tmp_path)
    with pytest.raises(DataError, match="'valid'"):
        cifar10.load("valid", tmp_path)


def pack(archive, folder, extra=(), names=(*FILES, "batches.meta.txt")):
    """The published archive in small: a folder, the files, and whatever `extra` members."""
    with tarfile.open(archive, "w:gz") as tar:
        for member, content in extra:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name in names:
            tar.add(folder / name, f"cifar-10-batches-bin/{name}")


@pytest.fixture
def packed(tmp_path, short):
    made = write(tmp_path / "source")
    (tmp_path / "source" / "batches.meta.txt").write_text("\n".join(cifar10.CLASSES))
    pack(tmp_path / "archive.tar.gz", tmp_path / "source")
    (tmp_path / "here").mkdir()
    return made


def test_the_archive_unpacks_to_its_files(tmp_path, packed):
    cifar10.unpack(tmp_path / "archive.tar.gz", tmp_path / "here")
    target = tmp_path / "here" / "cifar-10-batches-bin"
    assert sorted(os.listdir(target)) == sorted([*FILES, "batches.meta.txt"])
    assert os.listdir(tmp_path / "here") == ["cifar-10-batches-bin"]
    for name in FILES:
        assert (target / name).read_bytes() == packed[name].tobytes()


def test_only_the_expected_members_are_written(tmp_path, packed):
    link = tarfile.TarInfo("cifar-10-batches-bin/out")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
    folder = "cifar-10-batches-bin"
    names = ("../evil", str(tmp_path / "evil"), f"{folder}/../../evil", f"{folder}/out/evil", f"{folder}/evil")
    extra = [(link, b""), *((tarfile.TarInfo(name), b"evil") for name in names)]
    pack(tmp_path / "bad.tar.gz", tmp_path / "source", extra)
    cifar10.unpack(tmp_path / "bad.tar.gz", tmp_path / "here")
    found = {path.name for path in tmp_path.rglob("*")}
    assert "evil" not in found
    assert "out" not in found
    assert len(os.listdir(tmp_path / "here" / "cifar-10-batches-bin")) == 7


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path, packed):
    (tmp_path / "secret").write_bytes(bytes(20 * 3073))
    link = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
    pack(tmp_path / "bad.tar.gz", tmp_path / "source", [(link, b"")], FILES[:-1])
    with pytest.raises(DataError, match=r"lacks cifar-10-batches-bin/test_batch\.bin"):
        cifar10.unpack(tmp_path / "bad.tar.gz", tmp_path / "here")
    assert os.listdir(tmp_path / "here") == []


def test_a_broken_archive_leaves_nothing(tmp_path, packed):
    whole = (tmp_path / "archive.tar.gz").read_bytes()
    for content in (whole[: len(whole) // 2], b"not an archive", whole[:1000] + bytes(1000) + whole[2000:]):
        (tmp_path / "bad.tar.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.tar\.gz.*again"):
            cifar10.unpack(tmp_path / "bad.tar.gz", tmp_path / "here")
        assert os.listdir(tmp_path / "here") == []


def test_what_is_there_is_never_written_over(tmp_path, packed):
    mine = write(tmp_path / "here" / "cifar-10-batches-bin", FILES[:2], seed=1)
    cifar10.unpack(tmp_path / "archive.tar.gz", tmp_path / "here")
    for name in FILES:
        expected = mine.get(name, packed[name])
        assert (tmp_path / "here" / "cifar-10-batches-bin" / name).read_bytes() == expected.tobytes()


def test_download_fetches_the_published_archive_unless_the_files_are_there(tmp_path, packed, monkeypatch):
    asked = []

    def fetch(urls, path, size, md5, sha256, progress):
        asked.append((len(urls), size, md5, sha256))
        os.link(tmp_path / "archive.tar.gz", path)
        return path

    monkeypatch.setattr(http, "fetch", fetch)
    target = cifar10.download(tmp_path / "here", progress=False)
    assert target == cifar10.find(tmp_path / "here")
    assert len(cifar10.load("train", target)) == 100
    assert asked == [(3, 170_052_171, cifar10.ARCHIVE_MD5, cifar10.ARCHIVE_SHA256)]
    assert cifar10.download(tmp_path / "here") == target
    assert len(asked) == 1
    (target / FILES[0]).write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"data_batch_1\.bin has 7 bytes, expected 61,460"):
        cifar10.download(tmp_path / "here")


def test_the_published_digests_are_digests():
    """A digit too many once refused every download, after 170 MB."""
    assert re.fullmatch("[0-9a-f]{32}", cifar10.ARCHIVE_MD5)
    assert re.fullmatch("[0-9a-f]{64}", cifar10.ARCHIVE_SHA256)


def test_a_set_that_lies_openly_in_the_folder_is_not_downloaded_again(tmp_path, packed, monkeypatch):
    cifar10.unpack(tmp_path / "archive.tar.gz", tmp_path)
    monkeypatch.setattr(http, "fetch", None)
    assert cifar10.download(tmp_path / cifar10.FOLDER) == tmp_path / cifar10.FOLDER


@pytest.mark.skipif(not os.environ.get("NPNET_DATA"), reason="needs CIFAR-10 in $NPNET_DATA")
def test_real_cifar10_is_balanced_and_has_the_known_mean():
    train, test = cifar10.load("train"), cifar10.load("test")
    np.testing.assert_array_equal(np.bincount(train.labels), np.full(10, 5000))
    np.testing.assert_array_equal(np.bincount(test.labels), np.full(10, 1000))
    np.testing.assert_allclose(train.mean_image().mean(axis=(1, 2)), [125.307, 122.950, 113.865], atol=1e-3)
    assert train.classes == cifar10.CLASSES
