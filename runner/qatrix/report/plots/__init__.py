"""Plots as points on a canvas, with a caption each; the templates draw them as SVG."""

from __future__ import annotations

from qatrix.report.plots.bars import Bar, Bars
from qatrix.report.plots.codes import CodesPlot as CodesPlot
from qatrix.report.plots.codes import codes_plot as codes_plot
from qatrix.report.plots.layers import SqnrPlot as SqnrPlot
from qatrix.report.plots.layers import sqnr_plot as sqnr_plot
from qatrix.report.plots.neighborhood import Neighborhood as Neighborhood
from qatrix.report.plots.neighborhood import neighborhood as neighborhood
from qatrix.report.plots.neighborhood import runtime_neighborhood as runtime_neighborhood
from qatrix.report.plots.run import RunPlots as RunPlots
from qatrix.report.plots.run import run_plots as run_plots
from qatrix.report.plots.scatter import Scatter

__all__ = [
    "Bar",
    "Bars",
    "CodesPlot",
    "Neighborhood",
    "RunPlots",
    "Scatter",
    "SqnrPlot",
    "codes_plot",
    "neighborhood",
    "run_plots",
    "runtime_neighborhood",
    "sqnr_plot",
]
