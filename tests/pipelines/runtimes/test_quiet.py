"""What native code and libraries say is heard, and reaches no terminal."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import pytest

from qatrix.pipelines.runtimes.quiet import overheard, without_advice


def test_what_native_code_and_its_bindings_print_is_heard_and_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with overheard() as said:
        os.write(2, b"[cpuinfo_utils.cpp:71] Reading file\n")
        print("through Python's stream", file=sys.stderr)

    assert said == ["through Python's stream", "[cpuinfo_utils.cpp:71] Reading file"]
    assert capfd.readouterr() == ("", "")


def test_afterwards_standard_error_is_what_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    before = (sys.stderr, os.fstat(2))

    with pytest.raises(RuntimeError, match="aborted"), overheard():
        raise RuntimeError("aborted")

    assert (sys.stderr, os.fstat(2)) == before
    os.write(2, b"seen\n")
    assert capfd.readouterr().err == "seen\n"


def test_what_was_said_before_an_error_is_kept() -> None:
    with pytest.raises(RuntimeError), overheard() as said:
        os.write(2, b"Check failed\n")
        raise RuntimeError

    assert said == ["Check failed"]


def test_advice_is_silent_and_errors_are_not(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("qatrix.test_quiet")
    logger.setLevel(logging.INFO)

    with without_advice(logger.name):
        warnings.warn("advice", UserWarning, stacklevel=1)
        logger.warning("advice")
        logger.error("an error")

    assert caplog.messages == ["an error"]
    assert logger.level == logging.INFO
