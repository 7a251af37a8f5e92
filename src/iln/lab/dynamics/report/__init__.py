"""A diagnosis as one HTML page that needs nothing else, and as JSON."""

from iln.lab.dynamics.report.page import page
from iln.lab.dynamics.report.subject import Subject, as_json, comparison

__all__ = ["Subject", "as_json", "comparison", "page"]
