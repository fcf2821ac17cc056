"""FFHQ: 70,000 faces; 60,000 for training, then 10,000 for testing, as in the PVDGAN paper (§3).

From https://github.com/NVlabs/ffhq-dataset (CC BY-NC-SA 4.0): the files `00000.png` …
`69999.png` of `images1024x1024` or `thumbnails128x128`, in sub-folders of thousands or not.

    ganinv data build ffhq data.input=~/ffhq/images1024x1024 \\
        data.url=s3://bucket/ffhq256 data.resolution=256
"""

from pathlib import Path

from datasets.inputs.listing import list_images, refuse_no_images
from datasets.shards.splits import Split
from datasets.sources.base import BuildOptions, Inputs, spread
from datasets.sources.files import FileSource, ImageFile
from datasets.sources.input_places import input_folder
from ganinv.errors import ConfigError

_TRAINING = 60_000


def source(options: BuildOptions, inputs: Inputs) -> FileSource:
    """Raises `ConfigError` for files whose name is not a number, or for two files of one number."""
    del inputs  # only a directory is read
    where = f"data.input={options.input}"
    folder = input_folder(options, "FFHQ")
    paths, left_out = list_images(folder)
    if not paths:
        raise refuse_no_images(where, left_out)
    left_out.check(options.max_unreadable, "data.max_unreadable")
    files: dict[int, ImageFile] = {}
    for path in paths:
        stem = Path(path).stem
        number = int(stem) if stem.isdecimal() else None
        if number is None or number in files:
            reason = (
                "is not named by a number such as 00000.png"
                if number is None
                else f"has the number of {files[number].path!r}"
            )
            raise ConfigError(
                f"{where}: {path!r} {reason}; name the folder of one copy of FFHQ, or build other"
                " images by data build FOLDER"
            )
        split: Split = "train" if number < _TRAINING else "test"
        files[number] = ImageFile(f"{number:05d}", split, path)
    return FileSource(
        folder,
        spread(list(files.values()), options.images, where),
        options,
        facts={"source": "ffhq", "licence": "FFHQ: CC BY-NC-SA 4.0, non-commercial"},
        attributes={},
        left_out=left_out,
    )
