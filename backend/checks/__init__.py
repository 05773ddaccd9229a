"""The links of the chain from a task in Label Studio to a caption and back, each with a check of its own."""
