"""Feature statistics of every Transformer block: hooks, measures, plots and reports."""

from iln.lab.dynamics.channels import Alignment, alignment, draw_alignment
from iln.lab.dynamics.curves import History, draw_training, read_history
from iln.lab.dynamics.diagnosis import Diagnosis, diagnose
from iln.lab.dynamics.drawing import write_png
from iln.lab.dynamics.measures import BlockMeasures
from iln.lab.dynamics.observer import Observer, as_json, scalars
from iln.lab.dynamics.position_bias import bias_grids, draw_position_bias, roughness
from iln.lab.dynamics.probe import Probe
from iln.lab.dynamics.spatial import TokenMaps, draw_token_maps, token_maps
from iln.lab.dynamics.verdict import Finding, Verdict, judge

__all__ = [
    "Alignment",
    "BlockMeasures",
    "Diagnosis",
    "Finding",
    "History",
    "Observer",
    "Probe",
    "TokenMaps",
    "Verdict",
    "alignment",
    "as_json",
    "bias_grids",
    "diagnose",
    "draw_alignment",
    "draw_position_bias",
    "draw_token_maps",
    "draw_training",
    "judge",
    "read_history",
    "roughness",
    "scalars",
    "token_maps",
    "write_png",
]
