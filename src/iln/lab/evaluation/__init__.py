"""How good models are: whole pictures, a task's protocols, side by side; see docs/evaluate.md."""

from iln.lab.evaluation.measure import evaluate
from iln.lab.evaluation.result import Evaluation, Group, Score

__all__ = ["Evaluation", "Group", "Score", "evaluate"]
