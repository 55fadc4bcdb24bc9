"""eval: grade, compare, prove."""
