"""The commands of the documentation that go on until they are interrupted, as programs with pipelines that only wait."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path

import pytest

from support.documented import goes_on, unlike_the_page
from support.driven import MATRIX, driven, until
from support.pages import LINES

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("workers")]
WATCHED = dict.fromkeys(line.text for line in LINES if goes_on(line.text))


@pytest.mark.parametrize("line", WATCHED)
def test_a_watch_runs_what_an_edit_touches_until_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    text = MATRIX.replace("kills:", "my_block:")
    words = shlex.split(line)[1:]
    matrix = tmp_path / ("my_matrix" if "my_matrix" in words else "matrix")
    matrix.mkdir()
    (matrix / "my_block.yaml").write_text(text.format(sizes=[1, 2]))
    (tmp_path / "my_package.py").touch()
    monkeypatch.setenv("KEPT_RESULTS", str(tmp_path / "kept"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    printed = tmp_path / "printed"
    with printed.open("w") as terminal, driven(tmp_path, *words, terminal=terminal.fileno()) as watch:
        until(lambda: "report: " in printed.read_text())
        (tmp_path / "edited").write_text(text.format(sizes=[1, 3]))
        (tmp_path / "edited").replace(matrix / "my_block.yaml")
        until(lambda: printed.read_text().count("report: ") == 2)
        watch.send(signal.SIGINT)

        assert watch.end().code == 130
    assert "Traceback" not in printed.read_text()
    assert unlike_the_page(line, printed.read_text()) == [], printed.read_text()
