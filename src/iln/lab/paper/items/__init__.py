"""One file for each figure or table of the paper, and some of our own."""
