"""What the learning loop is worth, measured: scripts that print the figures which the documents quote."""
