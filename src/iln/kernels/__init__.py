"""Operations with a forward and a backward written by hand, for speed and memory."""
