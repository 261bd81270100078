"""A cause in Markdown: what it means, what to do, what was measured, why, and where to read on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from qatrix.report.causes import Reasons, figure_sentences, issue_state
from qatrix.report.figures import as_sentence
from qatrix.report.markup import is_web, text, url

# A cause is a paragraph.
_LONGEST: Final = 8000


def cause_paragraphs(cause: Reasons) -> Iterator[str]:
    """Whatever is known, a paragraph each."""
    if cause.sentence:
        yield text(cause.sentence, limit=_LONGEST)
    if cause.advice:
        yield f"What to do: {text(cause.advice, limit=_LONGEST)}"
    yield from map(text, figure_sentences(cause))
    if cause.because:
        yield f"Why: {text(as_sentence(cause.because), limit=_LONGEST)}"
    if cause.issue:
        address = f"<{url(cause.issue.link)}>" if is_web(cause.issue.link) else "an issue"
        yield f"Upstream: {address}, {text(issue_state(cause.issue))}."
    yield from (f"See <{url(link)}>." for link in cause.links if is_web(link))
