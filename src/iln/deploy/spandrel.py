"""Our networks in spandrel, the library with which chaiNNer, ComfyUI and others load models.

`register()` adds one architecture to spandrel's registry. It takes files whose norms hold gamma and
beta (i-LN); where these carry their description as a tensor, as those of `iln.save` do, it holds.
LayerNorm's files stay spandrel's own. Nothing but PyTorch, NumPy and safetensors is needed beside
spandrel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from iln.backbones import BACKBONES, Backbone, name_of
from iln.checkpoints.files import OUR_KEY
from iln.checkpoints.native import from_weights
from iln.checkpoints.published import Answers, has_gamma
from iln.extras import need

ID = "iLN"


def register(registry: Any = None) -> None:
    """Let spandrel load our networks, from now on and in this process; once is enough.

    Args:
        registry: an `ArchRegistry` of spandrel; None takes the one that every `ModelLoader` uses.

    Raises:
        InputError: if spandrel is missing.
    """
    spandrel = need("spandrel", "spandrel")

    class Architecture(spandrel.Architecture):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__(id=ID, name="i-LN", detect=is_ours)

        def load(self, state_dict: Mapping[str, Tensor]) -> Any:
            model, _ = from_weights(state_dict, Answers(), "the weights")
            return _described(spandrel, self, model)

    support = spandrel.ArchSupport.from_architecture(Architecture())
    target = spandrel.MAIN_REGISTRY if registry is None else registry
    target.add(support, ignore_duplicates=True)


def is_ours(state_dict: Mapping[str, Any]) -> bool:
    """Whether a state dict is an i-LN network's, or carries our description."""
    marks = [backbone.mark for _, backbone in BACKBONES.values()]
    if "conv_first.weight" not in state_dict:
        return False
    return OUR_KEY in state_dict or (
        has_gamma(state_dict) and any(mark in state_dict for mark in marks)
    )


def _described(spandrel: Any, architecture: Any, model: Backbone) -> Any:
    spec = model.spec
    return spandrel.ImageModelDescriptor(
        model,
        model.state_dict(),
        architecture=architecture,
        purpose="Restoration" if spec.scale == 1 else "SR",
        tags=[name_of(spec), spec.norm, f"{spec.embed_dim}dim", f"w{spec.window}"],
        supports_half=spec.norm == "i-ln",  # of the others, features may grow beyond float16
        supports_bfloat16=True,
        scale=spec.scale,
        input_channels=spec.in_chans,
        output_channels=spec.in_chans,
        # The statistics are those of the whole picture. Any size is taken.
        tiling=spandrel.ModelTiling.DISCOURAGED,
        call_fn=_call,
    )


def _call(model: Backbone, image: Tensor) -> Tensor:
    """Pictures stay float32 in the network, whatever its precision (float16 would round them)."""
    restored: Tensor = model(image.float())
    return restored.to(image.dtype)
