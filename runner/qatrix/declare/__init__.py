"""Declarations: YAML files go in, cases come out.

`yamltext` reads text and keeps places, `schema` says what a file may contain, `language`
parses the small language, `load` joins all files into one `spec.Matrix` and returns every
problem it found, `expand` turns a matrix into cases, `selection` picks some of them,
`expected` finds the expectation that applies to a case. No torch, no pandas.
"""
