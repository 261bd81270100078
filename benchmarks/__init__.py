"""Benchmarks: each row of the table is a ratio, or a figure of one whole process, measured in one run of this program.

`cases` measures one case and the scheduler, `lowering` runtimes, `runs` whole runs of the shipped matrix,
`scale` a thousand, a hundred thousand and a million cases, `small` what answers at once; `selection` says which cases
of the matrix are taken, `processes` runs and watches a process, `rows` and `table` are what is
shown, and `__main__` prints and writes it.
"""
