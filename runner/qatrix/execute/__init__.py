"""Execution: one case goes in, one record comes out, whatever happens on the way.

`case` runs a case through its pipelines and has the judge state what became of it;
`stages` is the only place that times stages and catches what they raise; `workers`
decides in which process cases run, `isolation` is what a worker does around them,
`cluster` gives them to the nodes of a Ray cluster instead, and `options` says how many and within which limits.
"""
