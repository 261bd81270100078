"""The judge: facts go in, outcomes come out. It returns and never raises.

`numerics` compares outputs, `graphs` names ops, counts them and matches expected graphs,
`verdict` says in one word and in one sentence what became of a case, and whether that was
expected.
"""
