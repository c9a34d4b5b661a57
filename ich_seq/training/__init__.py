"""What every fit shares: where it computes, its loop, its checkpoints, its log."""
