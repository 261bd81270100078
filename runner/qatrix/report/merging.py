"""Several shards of one run become that run: what may be joined, and the joining."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from qatrix.errors import UsageError
from qatrix.outcomes import Environment, Excerpt, Record, Run
from qatrix.report.sentences import missing_sentence
from qatrix.report.store import Store


@dataclass(frozen=True, kw_only=True)
class Part:
    """A run that is to be merged: where it is, its cases' places in the whole, and what became of them."""

    path: Path
    run: Run
    ordinals: dict[str, int]
    records: tuple[Record, ...]
    scripts: dict[str, str] = field(default_factory=dict)
    script_notes: dict[str, str] = field(default_factory=dict)
    excerpts: tuple[Excerpt, ...] = ()
    unselected: tuple[str, ...] | None = None

    @property
    def index(self) -> int:
        """Which shard it is, from 1."""
        return int((self.run.shard or "1/1").partition("/")[0])

    @property
    def count(self) -> int:
        """How many shards there are."""
        return int((self.run.shard or "1/1").partition("/")[2])


def read_parts(stores: Iterable[Path]) -> tuple[Part, ...]:
    """The runs in the given stores, in the order of their shards. Raises StoreError for one that cannot be read."""
    parts = []
    for path in stores:
        with Store.reading(path) as store:
            part = Part(
                path=path,
                run=store.run(),
                ordinals=store.ordinals(),
                records=store.records(),
                scripts=store.scripts(),
                script_notes=store.script_notes(),
                excerpts=store.excerpts(),
                unselected=store.unselected(),
            )
            parts.append(part)
    return tuple(sorted(parts, key=lambda part: part.index))


def demand_one_run(parts: Sequence[Part], *, allow_missing: bool) -> None:
    """Raise a UsageError unless the parts are one run: the same matrix, selection and environment, each shard once.

    With `allow_missing` shards may be missing, and cases without a verdict.
    """
    for place, part in enumerate(parts):
        for other in parts[:place]:
            for reason in _differences(other, part):
                msg = f"{other.path} and {part.path} cannot be merged: {reason}"
                raise UsageError(msg)
    _demand_no_overlap(parts)
    if not allow_missing:
        _demand_all(parts)


def missing_shards(parts: Sequence[Part]) -> tuple[str, ...]:
    """The shards of which there is no run: "3/8", …"""
    count = parts[0].count
    present = {part.index for part in parts}
    return tuple(f"{index}/{count}" for index in range(1, count + 1) if index not in present)


def merged_run(parts: Sequence[Part], run_id: str) -> Run:
    """The run that the parts are shards of, as if one machine had run it; `seconds` is the sum of theirs."""
    first = parts[0].run
    missing = missing_shards(parts)
    processors = tuple(dict.fromkeys(part.run.environment.processor for part in parts))
    warnings = [warning for part in parts for warning in part.run.warnings]
    if len(processors) > 1:
        warnings.append(f"the shards ran on different processors: {'; '.join(processors)}")
    if missing:
        warnings.append(missing_sentence(missing))
    return replace(
        first,
        id=run_id,
        started=min(part.run.started for part in parts),
        seconds=sum(part.run.seconds for part in parts),
        command=tuple(_without_shard(first.command)),
        environment=_joined([part.run.environment for part in parts]),
        declared=sum(part.run.declared for part in parts),
        warnings=tuple(dict.fromkeys(warnings)),
        finished=all(len(part.records) == len(part.ordinals) for part in parts),
        shard=None,
        shard_by=None,
        merged_from=tuple(part.run.id for part in parts),
        missing_shards=missing,
    )


def write_merged(parts: Sequence[Part], run: Run, path: Path) -> None:
    """A new store at `path` with the run and all records of its parts, in the order of an unsharded run."""
    ordinals = {case_id: place for part in parts for case_id, place in part.ordinals.items()}
    with Store.create(path, run) as store:
        store.plan_at(dict(sorted(ordinals.items(), key=lambda item: item[1])))
        for part in parts:
            store.finish_all(part.records)
            store.keep_scripts(part.scripts)
            store.keep_script_notes(part.script_notes)
            store.keep_excerpts(part.excerpts)
        lists = [part.unselected for part in parts if part.unselected is not None]
        if len(lists) == len(parts):
            # What one shard did not select, another one did.
            store.keep_unselected(case_id for case_id in lists[0] if case_id not in ordinals)
        store.end(run)


def _demand_no_overlap(parts: Sequence[Part]) -> None:
    """Raise a UsageError where two parts have the same case, or two cases the same place in the whole."""
    owners: dict[str | int, tuple[Part, str]] = {}
    for part in parts:
        for case_id, place in part.ordinals.items():
            for key in (case_id, place):
                other, found = owners.setdefault(key, (part, case_id))
                if other is not part:
                    raise UsageError(_overlap(other, part, found, case_id))


def _overlap(left: Part, right: Part, one: str, other: str) -> str:
    shared = len(left.ordinals.keys() & right.ordinals.keys())
    what = (
        f"both have case {one}" + (f" and {shared - 1} more" if shared > 1 else "")
        if shared
        else f"{one} and {other} stand at the same place of the whole"
    )
    return (
        f"{left.path} and {right.path} cannot be merged: {what}, and each case is of one shard; "
        "name the shards of one run, each once, as qatrix run wrote them"
    )


def _demand_all(parts: Sequence[Part]) -> None:
    """Raise a UsageError where a shard is missing, or a case without a verdict."""
    if missing := missing_shards(parts):
        msg = f"{missing_sentence(missing)}\nname the run of every shard, or give --allow-missing to do without"
        raise UsageError(msg)
    for part in parts:
        if left := len(part.ordinals) - len(part.records):
            verb = "has" if left == 1 else "have"
            msg = (
                f"{part.path} was interrupted: {left} of its {len(part.ordinals)} cases {verb} no verdict\n"
                "finish it with qatrix run --resume, or give --allow-missing to merge what is there"
            )
            raise UsageError(msg)
    if parts[0].run.shard is not None:
        _demand_no_gap(parts)


def _demand_no_gap(parts: Sequence[Part]) -> None:
    """Raise a UsageError unless the cases of all shards stand at all places from the first to the last."""
    places = {place for part in parts for place in part.ordinals.values()}
    gaps = max(places, default=-1) + 1 - len(places)
    if gaps:
        msg = (
            f"all {parts[0].count} shards are there, and of {len(places) + gaps} selected cases {gaps} are in none\n"
            "run each shard again with one command, or give --allow-missing to merge what is there"
        )
        raise UsageError(msg)


def _differences(left: Part, right: Part) -> Iterator[str]:
    """Why two runs are not shards of one, the plainest reason first."""
    if left.path.resolve() == right.path.resolve():
        yield "they are one file; name each shard once"
    for part in (left, right):
        if part.run.shard is None:
            yield f"{part.path} is a whole run, not a shard; only runs made with --shard I/N can be joined"
    if left.count != right.count:
        yield f"one is shard {left.run.shard}, the other shard {right.run.shard}; all must be of the same number"
    if left.index == right.index:
        yield f"both are shard {left.run.shard}; name one of them"
    if left.run.shard_by != right.run.shard_by:
        yield (
            f"they were split differently: one by {left.run.shard_by}, the other by {right.run.shard_by};"
            " give all shards the same --shard-by and the same --durations"
        )
    if left.run.matrix_digest != right.run.matrix_digest:
        yield "they ran different matrices; run every shard on the same YAML files with the same qatrix"
    if left.run.selectors != right.run.selectors:
        yield f"they selected different cases: {_selected(left.run)}, and {_selected(right.run)}"
    if left.run.reference != right.run.reference:
        sides = (part.run.reference or "no reference" for part in (left, right))
        yield f"they were compared with different references: {', '.join(sides)}"
    if facts := list(_environment_differences(left.run.environment, right.run.environment)):
        yield f"they were made in different environments: {', '.join(facts)}"


def _selected(run: Run) -> str:
    return " ".join(run.selectors) or "all"


def _environment_differences(left: Environment, right: Environment) -> Iterator[str]:
    """What could change a result between two environments, as "torch 2.15.0 and 2.14.0".

    A processor is no reason: pipelines are compared on one machine, and runners of one
    kind have many.
    """
    for name, one, other in (
        ("python", left.python, right.python),
        ("threads", left.threads, right.threads),
        *((name, left.packages.get(name), right.packages.get(name)) for name in {**left.packages, **right.packages}),
    ):
        if one != other:
            yield f"{name} {one or 'not installed'} and {other or 'not installed'}"
    for name in {**left.devices, **right.devices}:
        one, other = left.devices.get(name), right.devices.get(name)
        if one != other and (name != "cpu" or None in (one, other)):
            yield f"device {name} {one or 'not there'} and {other or 'not there'}"


def _joined(environments: Sequence[Environment]) -> Environment:
    """The environment of all, in which what differs between machines is listed."""
    first = environments[0]
    return replace(
        first,
        platform=_listed(environment.platform for environment in environments),
        processor=_listed(environment.processor for environment in environments),
        devices={name: _listed(environment.devices[name] for environment in environments) for name in first.devices},
        # A feature that some machines have and others lack is not known of all.
        cpu={name: has for name, has in first.cpu.items() if all(item.cpu.get(name) is has for item in environments)},
    )


def _listed(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


_SHARD_OPTIONS: Final = frozenset({"--shard", "--shard-by", "--durations"})


def _without_shard(command: Sequence[str]) -> Iterator[str]:
    """A command that was given for one shard, as it is given for all."""
    words = iter(command)
    for word in words:
        name, given, _ = word.partition("=")
        if name not in _SHARD_OPTIONS:
            yield word
        elif not given:
            next(words, None)
