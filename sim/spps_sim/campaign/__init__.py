"""One short transfer, killed at many cycles; hostile frames."""
