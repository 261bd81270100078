"""The report wing: keeps what became of every case, and shows it.

In come `outcomes.Run` and `outcomes.Record`, one at a time, while a run goes on; `store` commits
them to one SQLite file, which is the truth. Out go the files that are derived from it
(`writing.write_reports`): `index.html`, `results.json`, `results.csv`, `junit.xml` and
`summary.md`. `frames` turns a store into ready data; the renderers only loop and escape.
Nothing here imports torch, judges a case or knows how many pipelines there are.
"""

from __future__ import annotations
