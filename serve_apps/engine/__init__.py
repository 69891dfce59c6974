"""How rows become answers: versions, micro-batches, the log, and those who are asked beside and afterwards."""
