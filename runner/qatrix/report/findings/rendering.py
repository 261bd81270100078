"""The findings as one page of Markdown."""

from __future__ import annotations

import jinja2

from qatrix.report.figures import counted, listed
from qatrix.report.findings.data import Finding, Findings, Spread
from qatrix.report.vocabulary import VERDICTS
from qatrix.resources import folder


def findings_markdown(found: Findings) -> str:
    """A heading for each cause: why, the cases, the figures, the releases, a script."""
    return (
        _environment()
        .get_template("findings.md.j2")
        .render(
            findings=found,
            counted=counted,
            told=_told,
            anchor=_anchor,
            figures=_figures,
            releases=_releases,
        )
    )


def _environment() -> jinja2.Environment:
    # Markdown, not HTML: what goes in comes from the project's own YAML and its runs.
    return jinja2.Environment(  # noqa: S701
        loader=jinja2.FileSystemLoader(folder("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _told(finding: Finding) -> str:
    """The verdicts in words: "12 diverged, 2 failed"."""
    return ", ".join(f"{count} {VERDICTS[verdict].word}" for verdict, count in finding.verdicts.items())


def _anchor(title: str) -> str:
    """What GitHub makes of a heading."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _figures(finding: Finding) -> list[str]:
    """Sentences on what was measured."""
    told = []
    if finding.most_abs is not None:
        steps = f", {finding.most_steps:.3g} quantization steps" if finding.most_steps is not None else ""
        told.append(f"Outputs are at most {finding.most_abs:.3g} apart{steps}.")
    if finding.spread is not None:
        told.append(_nearer(finding.spread))
    return told


def _nearer(spread: Spread) -> str:
    parts = [
        f"{name} in {count}" if name != "neither" else f"neither by a decibel in {count}"
        for name, count in sorted(spread.nearer.items(), key=lambda item: (item[0] == "neither", -item[1], item[0]))
    ]
    measured = sum(spread.nearer.values())
    return (
        f"Nearer to the float model, of {counted(measured, 'case')} with an SQNR of both: {listed(parts)}; "
        f"the median of the difference is {spread.median_db:.1f} dB, the most {spread.most_db:.1f} dB."
    )


def _releases(finding: Finding, found: Findings) -> str:
    return ", ".join(
        f"{side.release} ({counted(count, 'case')})" for side, count in zip(found.runs, finding.counts) if count
    )
