"""The laboratory: tasks and their damage, training, evaluation, dynamics, and the paper."""
