"""Files from elsewhere: their digest is that of their content, where anybody reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qatrix.files import LARGEST, content_digest


def test_the_digest_of_a_folder_changes_with_a_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_text("one")
    before = content_digest(tmp_path)
    (tmp_path / "a.pt").write_text("three")

    assert content_digest(tmp_path) != before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_nobody_reads_is_not_hashed(tmp_path: Path) -> None:
    large, pipe = tmp_path / "large.pt", tmp_path / "pipe.pt"
    large.touch()
    os.truncate(large, LARGEST + 1)
    os.mkfifo(pipe)

    assert [content_digest(large), content_digest(pipe), content_digest(tmp_path / "gone.pt")] == 3 * ["absent"]
