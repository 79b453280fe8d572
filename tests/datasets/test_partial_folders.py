"""Folders that are not what a command is for, or not all there: told, not passed over."""

from pathlib import Path

import pytest

from closefit.batch.folder import BatchFolder
from closefit.datasets import load
from tests.datasets.test_export import batch as batch
from tests.datasets.test_export import reviewed as reviewed


def test_clips_of_damaged_lines_of_the_index_are_left_out_and_told(
    reviewed: BatchFolder, tmp_path: Path, invoke
) -> None:
    first, *rest = reviewed.index.path.read_bytes().splitlines(keepends=True)
    assert b'"hug"' in first
    reviewed.index.path.write_bytes(b"".join([first[5:], *rest]))
    result = invoke("dataset", "export", reviewed.root, "--no-pixels", "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "index.jsonl` are damaged" in result.stderr
    names = {clip.name for clip in load(tmp_path / "out")}
    assert names
    assert "hug" not in names


@pytest.mark.parametrize("layout", ["wds", "prior"])
def test_the_loader_says_what_it_does_not_read(
    reviewed: BatchFolder, tmp_path: Path, invoke, layout: str
) -> None:
    out = tmp_path / "out"
    command = ("dataset", "export", reviewed.root, "--no-pixels", "--format", layout)
    assert invoke(*command, "--out", out).exit_code == 0
    with pytest.raises(ValueError, match="holds shards"):
        load(out)
