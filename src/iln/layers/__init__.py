"""Building blocks of the networks: attention, convolution, padding and feed-forward."""
