"""Evaluate models on whole pictures by a task's protocols. See docs/evaluate.md."""

from iln.lab.evaluation.measure import evaluate
from iln.lab.evaluation.result import Evaluation, Group, Score

__all__ = ["Evaluation", "Group", "Score", "evaluate"]
