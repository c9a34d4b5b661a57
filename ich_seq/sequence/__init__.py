"""Stage two: a bidirectional LSTM that reads a series feet to head and refines stage one's probabilities."""
