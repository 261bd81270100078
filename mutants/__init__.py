"""How much the checks notice: faults planted on purpose into the programs of real pipelines."""
