"""The ladder of evidence, cheap to dear: each rung reads one failure and says what speaks for which cause."""
