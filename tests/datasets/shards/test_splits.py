"""Names of folders and files decide the split; what they leave open is an error."""

import pytest

from datasets.shards.splits import Split, splits_by_name, splits_if_all_named
from ganinv.errors import ConfigError

TRAIN = ("train", "Training", "TRAIN", "train2017", "train_images", "training-set", "trainA", "trn")
TEST = (
    *("test", "Testing", "val", "valid", "Validation", "dev", "eval", "evaluation", "val2017"),
    *("test_set", "testB", "held-out", "hold_out", "devel", "tst", "validation images"),
)


@pytest.mark.parametrize(
    ("name", "split"), [*((n, "train") for n in TRAIN), *((n, "test") for n in TEST)]
)
def test_one_folder_is_enough(name: str, split: Split) -> None:
    assert splits_by_name([f"{name}/a.png", f"deep/{name}/x/b.png"], "here") == [split, split]


@pytest.mark.parametrize(
    "name",
    ["trainval", "train_val", "train_station", "contest", "latest", "7dev3", "a", "test_tube"],
)
def test_other_names_decide_nothing_alone(name: str) -> None:
    assert splits_by_name([f"{name}/a.png", "b.png"], "here") is None


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["seg_train/a.png", "seg_test/b.png"], ["train", "test"]),
        (["bedroom_train_lmdb/a.png", "bedroom_val_lmdb/b.png"], ["train", "test"]),
        (["val/train/a.png", "train/val/b.png"], ["test", "train"]),  # the outermost decides
        (["celebs/train/a.png", "celebs/dev/b.png"], ["train", "test"]),
    ],
)
def test_names_of_several_words_count_if_both_splits_are_named(
    names: list[str], splits: list[Split]
) -> None:
    assert splits_by_name(names, "here") == splits


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train-00000-of-00002.tar", "validation-0.tar"], ["train", "test"]),
        (["imagenet-train-000.tar", "imagenet-val-000.tar"], ["train", "test"]),
        (["cifar10-train.arrow", "cifar10-test.arrow"], ["train", "test"]),
        (["train-faces.tar", "x/dev/0.tar"], ["train", "test"]),
        (["imagenet-train-000.tar"], None),
        (["faces-000.tar"], None),
    ],
)
def test_names_of_files(names: list[str], splits: list[Split] | None) -> None:
    assert splits_by_name(names, "here", files=True) == splits
    assert splits_by_name([name for name in names if "/" not in name], "here") is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["train/a.png", "test/a.png", "extra/a.png"],
            "the names train, test decide .* about extra;",
        ),
        (["train/a.png", "b.png"], r"the names train decide .* about b\.png;"),
        (
            ["x/train/a.png", "x/more/a.png", "x/c.png"],
            r"the names x/train .* about x/more, x/c\.png;",
        ),
        (["x/train/a.png", "y/more/a.png"], "the names x/train .* about y;"),
        (
            ["train/a", *(f"c{i}/a" for i in range(7))],
            "the names train .* about c0, c1, c2, c3, c4, …;",
        ),
    ],
)
def test_an_unknown_name_beside_known_ones_is_an_error(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^here: {message} .*data.split_by_name=false"):
        splits_by_name(names, "here")


def test_files_that_all_name_a_split() -> None:
    assert splits_if_all_named(["x/train_1.png", "x/test_1.png"]) == ["train", "test"]
    assert splits_if_all_named(["train_1.png", "test_1.png", "a.png"]) is None
    assert splits_if_all_named(["train_1.png", "train_2.png"]) is None
