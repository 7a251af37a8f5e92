"""Research code: tasks, degradations, training, evaluation, diagnosis and the paper."""
