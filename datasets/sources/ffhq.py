"""FFHQ: 70,000 faces; 60,000 for training, then 10,000 for testing, as in the PVDGAN paper (§3).

From https://github.com/NVlabs/ffhq-dataset (CC BY-NC-SA 4.0): the files `00000.png` …
`69999.png` of `images1024x1024` or `thumbnails128x128`, in sub-folders of thousands or not.

    ganinv data build ffhq data.input=~/ffhq/images1024x1024 \\
        data.url=s3://bucket/ffhq256 data.resolution=256
"""

from pathlib import Path

from datasets.shards.splits import Split
from datasets.sources.base import BuildOptions, Inputs, input_folder, spread
from datasets.sources.files import FileSource, ImageFile
from datasets.sources.photographs import list_photographs
from ganinv.errors import ConfigError

_TRAINING = 60_000


def source(options: BuildOptions, inputs: Inputs) -> FileSource:
    """Raises `ConfigError` for files whose name is not a number, or that occur twice."""
    del inputs  # only a directory is read
    folder = input_folder(options, "FFHQ")
    files: dict[str, ImageFile] = {}
    for path in list_photographs(folder):
        stem = Path(path).stem
        if not stem.isdecimal() or stem in files:
            reason = "occurs twice" if stem in files else "is not a number such as 00000.png"
            raise ConfigError(
                f"data.input={options.input}: {path!r} {reason}; name the folder of one copy of"
                " FFHQ, or build other images by data build FOLDER"
            )
        split: Split = "train" if int(stem) < _TRAINING else "test"
        files[stem] = ImageFile(f"{int(stem):05d}", split, path)
    return FileSource(
        folder,
        spread(list(files.values()), options.images, f"data.input={options.input}"),
        options,
        facts={"source": "ffhq", "licence": "FFHQ: CC BY-NC-SA 4.0, non-commercial"},
        attributes={},
    )
