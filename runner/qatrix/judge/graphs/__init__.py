"""Graphs: what the ops are called, how often they occur, and whether a graph is the expected one."""

from qatrix.judge.graphs.checks import run_check
from qatrix.judge.graphs.facts import OpCounts, count_fake_quantizes, count_ops, output_steps, unfused_batch_norms

__all__ = ["OpCounts", "count_fake_quantizes", "count_ops", "output_steps", "run_check", "unfused_batch_norms"]
