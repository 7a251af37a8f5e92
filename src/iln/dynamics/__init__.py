"""See what happens inside: probes on every Transformer block, and pictures of what they find."""

from iln.dynamics.channels import Alignment, alignment, draw_alignment, draw_channels
from iln.dynamics.curves import History, draw_training, read_history
from iln.dynamics.drawing import write_png
from iln.dynamics.measures import BlockMeasures
from iln.dynamics.observer import Observer, as_json, scalars
from iln.dynamics.position_bias import bias_grids, draw_position_bias, roughness
from iln.dynamics.probe import Probe
from iln.dynamics.spatial import TokenMaps, draw_token_maps, token_maps

__all__ = [
    "Alignment",
    "BlockMeasures",
    "History",
    "Observer",
    "Probe",
    "TokenMaps",
    "alignment",
    "as_json",
    "bias_grids",
    "draw_alignment",
    "draw_channels",
    "draw_position_bias",
    "draw_token_maps",
    "draw_training",
    "read_history",
    "roughness",
    "scalars",
    "token_maps",
    "write_png",
]
