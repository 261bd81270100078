"""Everything a report shows, counted and grouped once, so that renderers only loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from qatrix.claims import Verdict
from qatrix.outcomes import NOT_RUN, TRAINING_POINTS, Excerpt, Record, Run
from qatrix.report.causes import Cause, causes
from qatrix.report.changes import Since
from qatrix.report.frames.flat import pipeline_names
from qatrix.report.frames.headline import Headline, headline
from qatrix.report.frames.matrix import CompatibilityMatrix, compatibility_matrix
from qatrix.report.past import Past
from qatrix.report.store import Store
from qatrix.report.support import SupportTable, support_table
from qatrix.report.vocabulary import SEVERITY, VERDICTS, VerdictWords


@dataclass(frozen=True, kw_only=True)
class VerdictCount:
    """How many cases ended in a verdict, and how many of them were expected to or should not have."""

    words: VerdictWords
    count: int
    expected: int
    unexpected: int


@dataclass(frozen=True, kw_only=True)
class SuiteCount:
    """How many cases of a suite ended in which verdict; `counts` has every verdict of the run."""

    suite: str
    total: int
    unexpected: int
    counts: Mapping[Verdict, int]


@dataclass(frozen=True, kw_only=True)
class NotRun:
    """The cases that did not run for one reason."""

    verdict: Verdict
    reason: str
    records: tuple[Record, ...]


@dataclass(frozen=True, kw_only=True)
class Conservation:
    """Whether every declared case is accounted for: declared = verdicts + unfinished."""

    declared: int
    verdicts: int
    unfinished: int

    @property
    def holds(self) -> bool:
        """Whether no case got lost or came from nowhere."""
        return self.declared == self.verdicts + self.unfinished


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """A run, its records in planned order, and what follows from them.

    `reused` is the number of records that were taken over from earlier runs, `scripts` has
    those that show a case without qatrix, by case id, `script_notes` why a case has none or no
    bug report, `excerpts` the YAML that declares what cases are made of. `since` is what changed
    since the run's baseline, `since_page` where that one's report is, and `past` has the runs before. The page of a
    `live` one looks for the run after it.
    """

    run: Run
    records: tuple[Record, ...]
    unfinished: tuple[str, ...]
    in_flight: tuple[str, ...]
    headline: Headline
    counts: tuple[VerdictCount, ...]
    suites: tuple[SuiteCount, ...]
    matrix: CompatibilityMatrix
    support: SupportTable
    pipelines: tuple[str, ...]
    points: tuple[str, ...]
    unexpected: tuple[Record, ...]
    causes: tuple[Cause, ...]
    not_run: tuple[NotRun, ...]
    conservation: Conservation
    reused: int
    scripts: Mapping[str, str] = field(default_factory=dict)
    script_notes: Mapping[str, str] = field(default_factory=dict)
    excerpts: tuple[Excerpt, ...] = ()
    live: bool = False
    since: Since | None = None
    since_page: str | None = None
    past: Past = field(default_factory=Past)


def read_store(path: Path) -> ReportData:
    """The data of the run in the store at `path`. Raises StoreError where it cannot be read."""
    with Store.reading(path) as store:
        return report_data(
            store.run(),
            store.records(),
            unfinished=store.unfinished(),
            in_flight=store.started(),
            scripts=store.scripts(),
            script_notes=store.script_notes(),
            excerpts=store.excerpts(),
            since=store.since(),
        )


def report_data(
    run: Run,
    records: Sequence[Record],
    *,
    unfinished: Sequence[str] = (),
    in_flight: Sequence[str] = (),
    scripts: Mapping[str, str] | None = None,
    script_notes: Mapping[str, str] | None = None,
    excerpts: Sequence[Excerpt] = (),
    since: Since | None = None,
) -> ReportData:
    """The data of a run; `unfinished` are the ids of cases without a verdict, `in_flight` those that had started.

    `scripts` are those that show a case without qatrix, by case id, `script_notes` why a case has
    none or no bug report, `excerpts` the YAML that declares what cases are made of, `since` what changed.
    """
    columns = ["suite", "verdict", "unexpected", "expected"]
    rows = [(item.suite, item.verdict, item.unexpected, item.expected is not None) for item in records]
    frame = pd.DataFrame(rows, columns=columns)
    unexpected = sorted((item for item in records if item.unexpected), key=lambda item: SEVERITY[item.verdict])
    return ReportData(
        run=run,
        records=tuple(records),
        unfinished=tuple(unfinished),
        in_flight=tuple(in_flight),
        headline=headline(run, records, len(unfinished)),
        counts=_verdict_counts(frame),
        suites=_suite_counts(frame),
        matrix=compatibility_matrix(records),
        support=support_table(records, about=patterns_about(excerpts)),
        pipelines=pipeline_names(records),
        points=_points(records),
        unexpected=tuple(unexpected),
        causes=causes(records, scripts),
        not_run=_not_run(records),
        conservation=Conservation(declared=run.declared, verdicts=len(records), unfinished=len(unfinished)),
        reused=sum(record.reused_from is not None for record in records),
        scripts=scripts or {},
        script_notes=script_notes or {},
        excerpts=tuple(excerpts),
        since=since,
    )


def patterns_about(excerpts: Sequence[Excerpt]) -> dict[str, str]:
    """What patterns compute, by their names, as far as the YAML says."""
    return {item.name: item.about for item in excerpts if item.axis == "pattern" and item.about}


def _points(records: Sequence[Record]) -> tuple[str, ...]:
    """Where outputs were compared; what training gave is told with the case, since few cases train."""
    found = dict.fromkeys(item.at for record in records for item in record.comparisons)
    return tuple(point for point in found if point not in TRAINING_POINTS)


def _verdict_counts(frame: pd.DataFrame) -> tuple[VerdictCount, ...]:
    """The verdicts that occur, the best first."""
    counts = frame["verdict"].value_counts()
    unexpected = frame.loc[frame["unexpected"].astype(bool), "verdict"].value_counts()
    as_expected = frame["expected"].astype(bool) & ~frame["unexpected"].astype(bool)
    expected = frame.loc[as_expected, "verdict"].value_counts()
    return tuple(
        VerdictCount(
            words=words,
            count=int(counts[verdict]),
            expected=int(expected.get(verdict, 0)),
            unexpected=int(unexpected.get(verdict, 0)),
        )
        for verdict, words in reversed(VERDICTS.items())
        if verdict in counts.index
    )


def _suite_counts(frame: pd.DataFrame) -> tuple[SuiteCount, ...]:
    if frame.empty:
        return ()
    table = pd.crosstab(frame["suite"], frame["verdict"])
    unexpected = frame.groupby("suite")["unexpected"].sum()
    present = [verdict for verdict in reversed(VERDICTS) if verdict in table.columns]
    return tuple(
        SuiteCount(
            suite=str(suite),
            total=int(table.loc[suite].sum()),
            unexpected=int(unexpected[suite]),
            counts={verdict: int(table.loc[suite, verdict]) for verdict in present},
        )
        for suite in frame["suite"].unique()
    )


def _not_run(records: Sequence[Record]) -> tuple[NotRun, ...]:
    groups: dict[tuple[Verdict, str], list[Record]] = {}
    for record in records:
        if record.verdict in NOT_RUN:
            groups.setdefault((record.verdict, record.reason or record.summary), []).append(record)
    return tuple(
        NotRun(verdict=verdict, reason=reason, records=tuple(group)) for (verdict, reason), group in groups.items()
    )
