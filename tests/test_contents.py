"""What the files of packages hold is noticed, whatever their sizes and times say."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qatrix import contents
from qatrix.contents import code_digest

Change = Callable[[Path], object]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one installed package, `made`, of which every file is older than its RECORD."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    # Files of a test are new; that notes on them are taken at once is a test of its own.
    monkeypatch.setattr(contents, "_SETTLED_NS", -1)
    install(tmp_path / "site")
    return tmp_path / "site"


def install(site: Path) -> None:
    files = {"made/__init__.py": b"a = 1\n", "made/inner/code.py": b"b = 2\n", "made/_C.so": b"compiled"}
    for name, content in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(content)
    record = site / "made-1.0.dist-info/RECORD"
    record.parent.mkdir(exist_ok=True)
    record.write_text("".join(f"{name},{noted(content)},{len(content)}\n" for name, content in files.items()))


def noted(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def writing(name: str, content: bytes, *, same_time: bool = False) -> Change:
    def change(site: Path) -> None:
        path = site / name
        before = path.stat() if path.exists() else None
        path.write_bytes(content)
        if same_time and before is not None:
            assert path.stat().st_size == before.st_size
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change


def rebuild(site: Path) -> None:
    writing("made/_C.so", b"COMPILED")(site)
    os.utime(site / "made/_C.so", (2e10, 2e10))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(writing("made/__init__.py", b"a = 10\n"), id="an edit"),
        pytest.param(writing("made/__init__.py", b"a = 9\n", same_time=True), id="an edit of equal size and time"),
        pytest.param(writing("made/inner/code.py", b"b = 9\n", same_time=True), id="the same further down"),
        pytest.param(writing("made/added.py", b""), id="a new file"),
        pytest.param(lambda site: (site / "made/inner/code.py").unlink(), id="a file less"),
        pytest.param(lambda site: (site / "made/__init__.py").rename(site / "made/a.py"), id="another name"),
        pytest.param(writing("made/_C.so", b"compiled anew"), id="another compiled file"),
        pytest.param(rebuild, id="a compiled file of equal size that is newer than its RECORD"),
    ],
)  # fmt: skip
def test_what_changes_a_file_changes_the_digest(site: Path, change: Change) -> None:
    before = code_digest(["made"])
    change(site)

    assert code_digest(["made"]) != before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(install, id="the same installed again"),
        pytest.param(lambda site: os.utime(site / "made/__init__.py", (2e9, 2e9)), id="another time"),
        pytest.param(lambda site: os.utime(site / "made/_C.so", (2e10, 2e10)), id="another time of a compiled file"),
        pytest.param(lambda site: (site / "made/inner/code.py").chmod(0o600), id="another mode"),
        pytest.param(writing("made/notes.txt", b"no code"), id="a file that is no code"),
        pytest.param(writing("other.py", b"of nobody"), id="a file of another package"),
    ],
)  # fmt: skip
def test_what_changes_no_code_leaves_the_digest(site: Path, change: Change) -> None:
    before = code_digest(["made"])
    change(site)

    assert code_digest(["made"]) == before


def test_a_package_without_a_record_is_read(site: Path) -> None:
    (site / "made-1.0.dist-info/RECORD").unlink()
    before = code_digest(["made"])
    writing("made/_C.so", b"COMPILED", same_time=True)(site)

    assert code_digest(["made"]) != before


def test_files_that_stay_as_they_are_are_not_read_again(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_digest(["made"])
    monkeypatch.setattr(contents, "_content", None)

    assert code_digest(["made"]) == before


def test_no_note_is_kept_of_a_file_that_may_be_written_within_the_same_tick(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "_SETTLED_NS", 10**12)
    code_digest(["made"])

    assert not (site.parent / "cache/qatrix/contents").exists()


def test_a_damaged_note_is_no_digest(site: Path) -> None:
    before = code_digest(["made"])
    for note in (site.parent / "cache/qatrix/contents").iterdir():
        note.write_text("what")

    assert code_digest(["made"]) == before


def test_without_a_place_for_notes_the_digest_is_the_same(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_digest(["made"])
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")

    assert code_digest(["made"]) == before


def test_a_package_that_is_not_there_has_a_digest_too(site: Path) -> None:
    assert code_digest(["made"]) != code_digest(["made", "missing_here"])


def test_only_the_newest_notes_are_kept(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_KEPT", 2)
    for number in range(4):
        writing("made/__init__.py", b"#" * number)(site)
        code_digest(["made"])

    assert len(list((site.parent / "cache/qatrix/contents").iterdir())) == 2


def test_an_edit_below_a_folder_that_is_a_link_is_noticed(site: Path, tmp_path: Path) -> None:
    writing_to = tmp_path / "elsewhere"
    writing_to.mkdir()
    (writing_to / "code.py").write_bytes(b"c = 3\n")
    (site / "made/linked").symlink_to(writing_to)
    # A link that leads back is followed once.
    (writing_to / "back").symlink_to(site / "made")
    before = code_digest(("made",))
    (writing_to / "code.py").write_bytes(b"c = 4\n")

    assert code_digest(("made",)) != before


def test_a_package_that_is_reached_by_a_link_is_the_one_that_the_link_leads_to(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = code_digest(("made",))
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/made").symlink_to(site / "made")
    monkeypatch.syspath_prepend(str(tmp_path / "alone"))

    assert code_digest(("made",)) == before
