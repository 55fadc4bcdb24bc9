"""Graders, one small file a family: each row of their tables says what it runs, covers and does not cover."""
