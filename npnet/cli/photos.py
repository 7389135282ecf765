"""Commands that fetch and prepare data: download, data, augment."""
import argparse
import os
import sys
from pathlib import Path

from npnet.errors import UserError

from .options import Add, must_be_new, picture, positive


def add_to(add: Add) -> None:
    """The commands, and their options."""
    sub = add("download", download, "Fetch a data set, or BVLC's GoogLeNet; goes on with a broken download.",
              "cifar10", "cifar10 --to /data", "imagenette --size 320", "googlenet")
    sub.add_argument("dataset", choices=("cifar10", "imagenette", "googlenet"))
    sub.add_argument("--size", choices=("160", "320", "full"), default="160",
                     help="of imagenette's photos, the shorter side in pixels; default: 160 (99 MB; 340 MB, 1.6 GB)")
    sub.add_argument("--to", type=Path, metavar="DIR", help="default: NPNET_DATA, else data/")

    sub = add("data", data, "Make photos ready for training: folders of classes become shards.",
              "prepare photos/ prepared/", "prepare imagenet/ prepared/ --words synset_words.txt --jobs 8")
    sub.add_argument("action", choices=("prepare",))
    sub.add_argument("source", type=Path, help="a folder for each class, or train and val with those in them")
    sub.add_argument("target", type=Path, help="a new folder; the same command goes on with what was stopped")
    sub.add_argument("--side", type=positive, default=256, metavar="N", help="pixels; default: 256")
    sub.add_argument("--squash", action="store_true", help="the whole picture, whatever its shape, as Caffe's tutorial")
    sub.add_argument("--words", type=Path, metavar="FILE", help="lines of a folder's name and what it means")
    sub.add_argument("--jobs", type=positive, default=0, metavar="N", help="processes; default: one for each core")

    sub = add("augment", augment, "What training makes of a photo, on a sheet: crops, mirrors, colours (AlexNet §4.1).",
              "photo.jpg", "photo.jpg --data prepared/ --out sheet.png --seed 3")
    sub.add_argument("image", type=Path)
    sub.add_argument("--data", type=Path, metavar="DIR", help="photos whose colours it takes; default: ImageNet's")
    sub.add_argument("--crop", type=positive, default=224, metavar="N", help="of 256 pixels; default: 224")
    sub.add_argument("--seed", type=int, default=0, metavar="N")
    sub.add_argument("--out", type=picture, metavar="FILE", help="png or svg; default: NAME-augmented.png")


def download(options: argparse.Namespace) -> int:
    """``npnet download``."""
    from npnet.data import cifar10, imagenette

    to = options.to or os.environ.get("NPNET_DATA") or "data"
    if options.dataset == "cifar10":
        print(f"CIFAR-10 is in {cifar10.download(to)}")
        return 0
    if options.dataset == "googlenet":
        from npnet.recipes import published

        run = published.download(to)
        print(f"BVLC's GoogLeNet is in {run}: npnet classify PHOTO --run {run}")
        return 0
    folder = imagenette.download(options.size, to)
    print(f"Imagenette is in {folder}. To train on it: npnet data prepare {folder} {folder}-prepared "
          f"--words {folder / imagenette.WORDS_FILE}, npnet train alexnet --data {folder}-prepared")
    return 0


def data(options: argparse.Namespace) -> int:
    """``npnet data prepare``."""
    from npnet.data.photos import INDEX
    from npnet.data.prepare import Settings, prepare

    settings = Settings(side=options.side, squash=options.squash)
    made = prepare(options.source, options.target, settings, jobs=options.jobs, words=options.words)
    for split, index in made.items():
        folder, skipped = options.target / split, index["skipped"]
        for name, reason in skipped[:5]:
            print(f"skipped: {name}: {reason}", file=sys.stderr)
        more = f", {len(skipped)} skipped ({folder / INDEX} lists them)" if skipped else ""
        print(f"{folder}: {index['images']:,} photos of {len(index['classes'])} classes, {options.side} × "
              f"{options.side}, in {len(index['shards'])} shards{more}")
    return 0


def augment(options: argparse.Namespace) -> int:
    """``npnet augment``."""
    from npnet import plot
    from npnet.data import Photos, photo
    from npnet.data import augment as change

    out = options.out or Path(f"{options.image.stem}-augmented.png")
    must_be_new(out)
    if not 1 <= options.crop <= photo.SIDE:
        raise UserError(f"--crop (={options.crop}) must be at most {photo.SIDE}")
    if not options.image.is_file():
        raise UserError(f"{options.image}: there is no such file")
    image = photo.square(photo.read(options.image, str(options.image)))
    covariance = Photos(options.data).covariance() if options.data else change.IMAGENET
    rows, boxes = change.shown(image, covariance, options.crop, options.seed)
    plot.sheet(rows, f"{options.image.name}: AlexNet §4.1", [out], boxes)
    count = 2 * (photo.SIDE - options.crop + 1) ** 2
    print(f"{out}: {count:,} crops and mirrors of {options.crop} × {options.crop} are possible"
          + (" (the paper counts 2,048)" if options.crop == 224 else ""))
    return 0
